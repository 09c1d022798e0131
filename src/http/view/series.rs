//! Rates, counts and latencies over a period as JSON. They are parts of `stats` messages and of the history.

use serde::Serialize;

use super::encode::Displayed;
use crate::engine::{HistoryPoint, IntervalCounts, Latency, Rates};
use crate::job::Time;

/// Events per second.
#[derive(Serialize, Default)]
pub(super) struct RatesView {
    events: f64,
    enqueued: f64,
    started: f64,
    completed: f64,
    failed: f64,
}

/// Percentiles in milliseconds.
#[derive(Serialize)]
pub(super) struct LatencyView {
    p50: u32,
    p95: u32,
    p99: u32,
}

/// The number of events of a period.
#[derive(Serialize, Default)]
pub(super) struct CountsView {
    events: u32,
    enqueued: u32,
    started: u32,
    completed: u32,
    failed: u32,
}

/// The last whole second of a queue: `{"events","enqueued","started","completed","failed","wait_ms","run_ms"}`.
#[derive(Serialize, Default)]
pub(super) struct SecondView {
    #[serde(flatten)]
    counts: CountsView,
    wait_ms: Option<LatencyView>,
    run_ms: Option<LatencyView>,
}

/// One second or minute of the history: `{"at","events","enqueued","started","completed","failed","wait_ms","run_ms"}`.
#[derive(Serialize)]
pub(crate) struct PointView {
    at: Displayed<Time>,
    #[serde(flatten)]
    counts: CountsView,
    wait_ms: Option<LatencyView>,
    run_ms: Option<LatencyView>,
}

impl PointView {
    pub(crate) fn of(point: &HistoryPoint) -> PointView {
        PointView {
            at: Displayed(point.at),
            counts: CountsView::of(point.counts),
            wait_ms: point.wait.map(LatencyView::of),
            run_ms: point.run.map(LatencyView::of),
        }
    }
}

impl SecondView {
    pub(super) fn of(point: &HistoryPoint) -> SecondView {
        SecondView {
            counts: CountsView::of(point.counts),
            wait_ms: point.wait.map(LatencyView::of),
            run_ms: point.run.map(LatencyView::of),
        }
    }
}

impl CountsView {
    pub(super) fn of(counts: IntervalCounts) -> CountsView {
        let IntervalCounts { events, enqueued, started, completed, failed } = counts;
        CountsView { events, enqueued, started, completed, failed }
    }
}

impl LatencyView {
    pub(super) fn of(latency: Latency) -> LatencyView {
        let Latency { p50, p95, p99 } = latency;
        LatencyView { p50, p95, p99 }
    }
}

impl RatesView {
    pub(super) fn of(rates: Rates) -> RatesView {
        let Rates { events, enqueued, started, completed, failed } = rates;
        RatesView { events, enqueued, started, completed, failed }
    }
}
