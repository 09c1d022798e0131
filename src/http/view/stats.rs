//! The counters of the server and of its queues as JSON, for the API and for `stats` messages.

use std::collections::BTreeMap;

use serde::Serialize;

use super::encode::{Displayed, to_json};
use super::series::{LatencyView, PointView, RatesView, SecondView};
use crate::engine::{EngineConfig, LiveStats, Stats};
use crate::job::{Cursor, RateLimit, State, Time};

/// Job counts by state.
type ByState = BTreeMap<&'static str, u64>;

/// The counters of the server.
#[derive(Serialize)]
pub(crate) struct StatsView<'a> {
    states: ByState,
    queues: Vec<QueueStatsView<'a>>,
    kinds: BTreeMap<&'a str, ByState>,
    cursor: Displayed<Cursor>,
    oldest: Displayed<Cursor>,
}

/// The settings and the counters of one queue.
#[derive(Serialize)]
pub(crate) struct QueueStatsView<'a> {
    name: &'a str,
    paused: bool,
    /// How many attempts may run at once over all workers; null when the queue has no limit.
    concurrency: Option<usize>,
    /// How many of them may run in the server's process.
    slots: usize,
    weight: u32,
    /// Such as `100/1m`; only for a queue that has a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimit>,
    states: ByState,
    /// When the job that has waited longest became available; null when there is none.
    waiting_since: Option<Displayed<Time>>,
    /// Only in `stats` messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<RatesView>,
    /// The last whole second; only in `stats` messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<SecondView>,
}

/// A `stats` message.
#[derive(Serialize)]
pub(crate) struct StatsMessage<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    stats: StatsView<'a>,
    per_second: RatesView,
    wait_ms: Option<LatencyView>,
    run_ms: Option<LatencyView>,
    /// The last whole second.
    second: PointView,
}

/// Creates the view of the counters of the server.
pub(crate) fn stats_view<'a>(stats: &'a Stats, config: &EngineConfig) -> StatsView<'a> {
    let kinds = stats.kinds.iter().map(|(kind, states)| (kind.as_str(), counts(states)));
    StatsView {
        states: counts(&stats.states),
        queues: queue_views(stats, config),
        kinds: kinds.collect(),
        cursor: Displayed(stats.cursor),
        oldest: Displayed(stats.oldest),
    }
}

/// Writes a `stats` message. It has the fields of `GET /api/v1/stats` without `store`; the rates `per_second`;
/// `wait_ms` and `run_ms` as `{"p50","p95","p99"}` over the last seconds, null when there is nothing to measure; and
/// `second`, the last whole second. Queues also have `per_second` and `second`.
pub(crate) fn stats_message(live: &LiveStats, config: &EngineConfig) -> String {
    to_json(&stats_message_view(live, config))
}

/// Creates the view of a `stats` message.
pub(crate) fn stats_message_view<'a>(
    live: &'a LiveStats,
    config: &EngineConfig,
) -> StatsMessage<'a> {
    let mut stats = stats_view(&live.stats, config);
    for (queue, name) in stats.queues.iter_mut().zip(live.stats.queues.keys()) {
        let recent = live.queues.get(name);
        queue.per_second = Some(recent.map(|(rates, _)| RatesView::of(*rates)).unwrap_or_default());
        let second = recent.map(|(_, second)| SecondView::of(second));
        queue.second = Some(second.unwrap_or_default());
    }
    StatsMessage {
        r#type: "stats",
        stats,
        per_second: RatesView::of(live.rates),
        wait_ms: live.wait.map(LatencyView::of),
        run_ms: live.run.map(LatencyView::of),
        second: PointView::of(&live.second),
    }
}

/// Counts jobs by state, including the states without jobs.
fn counts(states: &BTreeMap<State, u64>) -> ByState {
    let count = |state: State| states.get(&state).copied().unwrap_or_default();
    State::ALL.into_iter().map(|state| (state.as_str(), count(state))).collect()
}

/// Creates the views of all queues, without the rates that only `stats` messages have.
pub(crate) fn queue_views<'a>(stats: &'a Stats, config: &EngineConfig) -> Vec<QueueStatsView<'a>> {
    let views = stats.queues.iter().map(|(name, stats)| {
        let run = config.queue_view(name, stats);
        QueueStatsView {
            name: name.as_str(),
            paused: stats.settings.paused,
            concurrency: run.concurrency,
            slots: run.slots,
            weight: run.weight,
            rate_limit: run.rate_limit,
            states: counts(&stats.states),
            waiting_since: stats.waiting_since.map(Displayed),
            per_second: None,
            second: None,
        }
    });
    views.collect()
}
