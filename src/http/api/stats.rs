//! `GET /api/v1/stats`: the counters of jobs, queues, kinds and the store.
//! They are kept in memory, so no read examines jobs.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::extract::NoQuery;
use crate::engine::Storage;
use crate::http::view::{StatsView, stats_view};
use crate::http::{Api, Problem, json};

#[derive(Serialize)]
struct StatsAnswer<'a> {
    #[serde(flatten)]
    stats: StatsView<'a>,
    /// Whether the server was started with `--paused` and was not resumed.
    paused: bool,
    store: StorageView,
}

/// The size of the store at the moment, and the totals of what was accepted, written and synced since the start.
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

/// Returns `{"states", "queues", "kinds", "paused", "store", "cursor", "oldest"}`; `oldest` is the cursor at the start of the
/// log.
pub async fn get(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let storage = api.engine.storage().await?;
    let stats = stats_view(&stats, api.engine.config());
    let (paused, store) = (api.engine.is_paused(), StorageView::of(&storage));
    Ok(json(&StatsAnswer { stats, paused, store }))
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
