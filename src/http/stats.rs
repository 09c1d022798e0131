//! `/api/v1/stats`, `/api/v1/queues` and `/api/v1/kinds`: counters and what this server can run.
//! None of them scans anything.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::PathQueue;
use super::view::Shown;
use super::{Api, Problem, json};
use crate::engine::{EngineConfig, QueueStats, Storage};
use crate::job::{Cursor, QueueName, State as JobState};

type Counts = BTreeMap<&'static str, u64>;

#[derive(Serialize)]
struct StatsView<'a> {
    states: Counts,
    queues: Vec<QueueView<'a>>,
    kinds: BTreeMap<&'a str, Counts>,
    store: StorageView,
    cursor: Shown<Cursor>,
    oldest: Shown<Cursor>,
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
}

#[derive(Serialize)]
struct KindView<'a> {
    kind: &'a str,
    about: &'a str,
    example: Box<RawValue>,
}

/// `{"states", "queues", "kinds", "store", "cursor", "oldest"}`; `oldest` is where the log begins.
pub async fn stats(State(api): State<Api>) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let storage = api.engine.storage().await?;
    let kinds = stats.kinds.iter().map(|(kind, states)| (kind.as_str(), counts(states)));
    Ok(json(&StatsView {
        states: counts(&stats.states),
        queues: queue_views(&stats.queues, api.engine.config()),
        kinds: kinds.collect(),
        store: StorageView::of(&storage),
        cursor: Shown(stats.cursor),
        oldest: Shown(stats.oldest),
    }))
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

/// What can be submitted here: `{"kinds": [{"kind","about","example"}]}`.
pub async fn kinds(State(api): State<Api>) -> Response {
    let kinds = api.engine.kinds().into_iter().map(|info| KindView {
        kind: info.kind.as_str(),
        about: &info.about,
        example: info.example.raw(),
    });
    json(&KindsView { kinds: kinds.collect() })
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
