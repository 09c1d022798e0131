//! `/api/v1/stats`, `/api/v1/queues` and `/api/v1/kinds`: counters and what this server can run.
//! None of them scans anything.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::PathQueue;
use super::view::{Shown, to_json};
use super::{Api, Problem, json};
use crate::engine::{EngineConfig, Latency, Pulse, QueueStats, Rates, Stats, Storage};
use crate::job::{Cursor, QueueName, State as JobState};

type Counts = BTreeMap<&'static str, u64>;

#[derive(Serialize)]
struct StatsView<'a> {
    states: Counts,
    queues: Vec<QueueView<'a>>,
    kinds: BTreeMap<&'a str, Counts>,
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
    states: Counts,
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
        queues: queue_views(&stats.queues, config),
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
}

#[derive(Serialize)]
struct RatesView {
    enqueued: f64,
    started: f64,
    completed: f64,
    failed: f64,
}

#[derive(Serialize)]
struct LatencyView {
    p50: u64,
    p99: u64,
}

/// The `stats` message: what `GET /api/v1/stats` answers but for `store`, `per_second`, and `wait_ms` and `run_ms` as
/// `{"p50","p99"}` over the last seconds, null when there is nothing to measure.
pub fn pulse_json(pulse: &Pulse, config: &EngineConfig) -> String {
    let Rates { enqueued, started, completed, failed } = pulse.rates;
    let latency = |of: Latency| LatencyView { p50: of.p50, p99: of.p99 };
    to_json(&PulseView {
        r#type: "stats",
        stats: stats_view(&pulse.stats, config),
        per_second: RatesView { enqueued, started, completed, failed },
        wait_ms: pulse.wait.map(latency),
        run_ms: pulse.run.map(latency),
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

/// Every known queue: `{"queues": [{"name","paused","concurrency","weight","states"}], "cursor"}`.
pub async fn queues(State(api): State<Api>) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let queues = queue_views(&stats.queues, api.engine.config());
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
fn counts(states: &BTreeMap<JobState, u64>) -> Counts {
    let count = |state: JobState| states.get(&state).copied().unwrap_or_default();
    JobState::ALL.into_iter().map(|state| (state.as_str(), count(state))).collect()
}

fn queue_views<'a>(
    queues: &'a BTreeMap<QueueName, QueueStats>,
    config: &EngineConfig,
) -> Vec<QueueView<'a>> {
    let view = |(name, stats): (&'a QueueName, &'a QueueStats)| {
        let own = config.queues.iter().find(|(queue, _)| queue == name).map(|(_, own)| *own);
        let own = own.unwrap_or(config.default_queue);
        QueueView {
            name: name.as_str(),
            paused: stats.paused,
            concurrency: own.concurrency,
            weight: own.weight,
            states: counts(&stats.states),
        }
    };
    queues.iter().map(view).collect()
}
