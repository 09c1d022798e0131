//! `/api/v1/stats`, `/api/v1/queues` and `/api/v1/kinds`: counters and what this server can run.
//! None of them scans anything.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::PathQueue;
use crate::engine::Storage;
use crate::http::view::{QueueView, Shown, StatsView, queue_views, stats_view};
use crate::http::{Api, Problem, json};
use crate::job::Cursor;

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
