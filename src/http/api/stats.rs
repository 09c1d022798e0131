//! `/api/v1/stats`, `/api/v1/queues` and `/api/v1/kinds`: counters and what this server can run.
//! None of them scans anything.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::PathQueue;
use crate::engine::{Counts, EngineConfig, Latency, LiveStats, Point, Rates, Stats, Storage};
use crate::http::view::{Shown, to_json};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, RateLimit, State as JobState, Time};

type ByState = BTreeMap<&'static str, u64>;

#[derive(Serialize)]
struct StatsView<'a> {
    states: ByState,
    queues: Vec<QueueView<'a>>,
    kinds: BTreeMap<&'a str, ByState>,
    cursor: Shown<Cursor>,
    oldest: Shown<Cursor>,
}

#[derive(Serialize)]
struct WholeView<'a> {
    #[serde(flatten)]
    stats: StatsView<'a>,
    store: StorageView,
}

/// Bytes are of now; what was accepted, written, grouped and synced is counted since the start.
#[derive(Serialize)]
struct StorageView {
    disk_bytes: u64,
    journal_bytes: u64,
    journal_chunks: u64,
    archive_runs: u64,
    archived_jobs: u64,
    accepted_bytes: u64,
    written_bytes: u64,
    groups: u64,
    syncs: u64,
    publish_p50_ns: u64,
    publish_p99_ns: u64,
}

#[derive(Serialize)]
struct QueuesView<'a> {
    queues: Vec<QueueView<'a>>,
    cursor: Shown<Cursor>,
}

#[derive(Serialize)]
struct QueueView<'a> {
    name: &'a str,
    paused: bool,
    concurrency: usize,
    weight: u32,
    /// As `100/1m`; only of a queue that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<RateLimit>,
    states: ByState,
    /// Since when the job that waits longest is available; null when none is.
    waiting_since: Option<Shown<Time>>,
    /// Only in `stats` messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<RatesView>,
    /// The last whole second; only in `stats` messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    second: Option<SecondView>,
}

#[derive(Serialize)]
struct KindsView<'a> {
    kinds: Vec<KindView<'a>>,
    cursor: Shown<Cursor>,
}

#[derive(Serialize)]
struct KindView<'a> {
    kind: &'a str,
    about: &'a str,
    example: Box<RawValue>,
    /// JSON Schema of its payloads, where it is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Box<RawValue>>,
}

/// `{"states", "queues", "kinds", "store", "cursor", "oldest"}`; `oldest` is where the log begins.
pub async fn stats(State(api): State<Api>) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let storage = api.engine.storage().await?;
    let stats = stats_view(&stats, api.engine.config());
    Ok(json(&WholeView { stats, store: StorageView::of(&storage) }))
}

fn stats_view<'a>(stats: &'a Stats, config: &EngineConfig) -> StatsView<'a> {
    let kinds = stats.kinds.iter().map(|(kind, states)| (kind.as_str(), counts(states)));
    StatsView {
        states: counts(&stats.states),
        queues: queue_views(stats, config),
        kinds: kinds.collect(),
        cursor: Shown(stats.cursor),
        oldest: Shown(stats.oldest),
    }
}

#[derive(Serialize)]
struct PulseView<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    stats: StatsView<'a>,
    per_second: RatesView,
    wait_ms: Option<LatencyView>,
    run_ms: Option<LatencyView>,
    /// The last whole second.
    second: PointView,
}

#[derive(Serialize, Default)]
struct RatesView {
    events: f64,
    enqueued: f64,
    started: f64,
    completed: f64,
    failed: f64,
}

#[derive(Serialize)]
struct LatencyView {
    p50: u32,
    p95: u32,
    p99: u32,
}

#[derive(Serialize, Default)]
struct CountsView {
    events: u32,
    enqueued: u32,
    started: u32,
    completed: u32,
    failed: u32,
}

/// The last whole second of a queue: `{"events","enqueued","started","completed","failed","wait_ms","run_ms"}`.
#[derive(Serialize, Default)]
struct SecondView {
    #[serde(flatten)]
    counts: CountsView,
    wait_ms: Option<LatencyView>,
    run_ms: Option<LatencyView>,
}

/// One second or minute: `{"at","events","enqueued","started","completed","failed","wait_ms","run_ms"}`.
#[derive(Serialize)]
pub struct PointView {
    at: Shown<Time>,
    #[serde(flatten)]
    counts: CountsView,
    wait_ms: Option<LatencyView>,
    run_ms: Option<LatencyView>,
}

impl PointView {
    pub fn of(point: &Point) -> PointView {
        PointView {
            at: Shown(point.at),
            counts: CountsView::of(point.counts),
            wait_ms: point.wait.map(LatencyView::of),
            run_ms: point.run.map(LatencyView::of),
        }
    }
}

impl SecondView {
    fn of(point: &Point) -> SecondView {
        SecondView {
            counts: CountsView::of(point.counts),
            wait_ms: point.wait.map(LatencyView::of),
            run_ms: point.run.map(LatencyView::of),
        }
    }
}

impl CountsView {
    fn of(counts: Counts) -> CountsView {
        let Counts { events, enqueued, started, completed, failed } = counts;
        CountsView { events, enqueued, started, completed, failed }
    }
}

impl LatencyView {
    fn of(latency: Latency) -> LatencyView {
        let Latency { p50, p95, p99 } = latency;
        LatencyView { p50, p95, p99 }
    }
}

impl RatesView {
    fn of(rates: Rates) -> RatesView {
        let Rates { events, enqueued, started, completed, failed } = rates;
        RatesView { events, enqueued, started, completed, failed }
    }
}

/// The `stats` message: what `GET /api/v1/stats` answers but for `store`, `per_second`, and `wait_ms` and `run_ms` as
/// `{"p50","p95","p99"}` over the last seconds, null when there is nothing to measure; `second` is the last
/// whole second. Queues have `per_second` and `second` too.
pub fn pulse_json(pulse: &LiveStats, config: &EngineConfig) -> String {
    let mut stats = stats_view(&pulse.stats, config);
    for (queue, name) in stats.queues.iter_mut().zip(pulse.stats.queues.keys()) {
        let lately = pulse.queues.get(name);
        queue.per_second = Some(lately.map(|(rates, _)| RatesView::of(*rates)).unwrap_or_default());
        let second = lately.map(|(_, second)| SecondView::of(second));
        queue.second = Some(second.unwrap_or_default());
    }
    to_json(&PulseView {
        r#type: "stats",
        stats,
        per_second: RatesView::of(pulse.rates),
        wait_ms: pulse.wait.map(LatencyView::of),
        run_ms: pulse.run.map(LatencyView::of),
        second: PointView::of(&pulse.second),
    })
}

impl StorageView {
    fn of(storage: &Storage) -> StorageView {
        StorageView {
            disk_bytes: storage.disk_bytes,
            journal_bytes: storage.journal_bytes,
            journal_chunks: storage.journal_chunks,
            archive_runs: storage.archive_runs,
            archived_jobs: storage.archived_jobs,
            accepted_bytes: storage.accepted_bytes,
            written_bytes: storage.written_bytes,
            groups: storage.groups,
            syncs: storage.syncs,
            publish_p50_ns: storage.publish_p50_ns,
            publish_p99_ns: storage.publish_p99_ns,
        }
    }
}

/// Every known queue: `{"queues": [{"name","paused","concurrency","weight","rate_limit"?,"states",
/// "waiting_since"}], "cursor"}`; `concurrency` is how many attempts may run at once, `rate_limit` how often
/// they may begin (`100/1m`), `waiting_since` when the job that waits longest became available.
pub async fn queues(State(api): State<Api>) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let queues = queue_views(&stats, api.engine.config());
    Ok(json(&QueuesView { queues, cursor: Shown(stats.cursor) }))
}

/// Holds the claims of a queue back: 204, also when it is paused already.
pub async fn pause(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
) -> Result<StatusCode, Problem> {
    api.engine.pause(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets the claims of a queue go on: 204.
pub async fn resume(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
) -> Result<StatusCode, Problem> {
    api.engine.resume(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What can be submitted here: `{"kinds": [{"kind","about","example","schema"?}], "cursor"}`.
pub async fn kinds(State(api): State<Api>) -> Response {
    let cursor = Shown(api.engine.head());
    let kinds = api.engine.kinds().into_iter().map(|info| KindView {
        kind: info.kind.as_str(),
        about: &info.about,
        example: info.example.raw(),
        schema: info.schema.as_ref().map(|schema| schema.source().raw()),
    });
    json(&KindsView { kinds: kinds.collect(), cursor })
}

/// Every state is there, also those without jobs.
fn counts(states: &BTreeMap<JobState, u64>) -> ByState {
    let count = |state: JobState| states.get(&state).copied().unwrap_or_default();
    JobState::ALL.into_iter().map(|state| (state.as_str(), count(state))).collect()
}

fn queue_views<'a>(stats: &'a Stats, config: &EngineConfig) -> Vec<QueueView<'a>> {
    let views = stats.queues.iter().map(|(name, stats)| {
        let run = config.queue_view(name, stats);
        QueueView {
            name: name.as_str(),
            paused: stats.paused,
            concurrency: run.concurrency,
            weight: run.weight,
            rate_limit: run.rate_limit,
            states: counts(&stats.states),
            waiting_since: stats.waiting_since.map(Shown),
            per_second: None,
            second: None,
        }
    });
    views.collect()
}
