//! `GET /api/v1/workers`: the worker of this process and the attempts that it runs.
//! The list is kept in memory, so no read examines jobs.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::query::limit_query;
use crate::engine::HeldAttempt;
use crate::http::view::{Displayed, millis};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, JobId, Time};

#[derive(Serialize)]
struct WorkersView<'a> {
    workers: [WorkerView<'a>; 1],
    attempts: Vec<HeldAttemptView<'a>>,
    total: usize,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
struct WorkerView<'a> {
    name: &'a str,
    started_at: Option<Displayed<Time>>,
    running: usize,
    max_running: usize,
    lingering: usize,
    lease_ms: u64,
}

#[derive(Serialize)]
struct HeldAttemptView<'a> {
    job: JobId,
    queue: &'a str,
    kind: &'a str,
    attempt: u16,
    worker: &'a str,
    started_at: Displayed<Time>,
    heartbeat_at: Displayed<Time>,
    lease_until: Displayed<Time>,
    ending: bool,
}

/// Returns the worker and its attempts, the oldest first: `{"workers", "attempts", "total", "cursor"}`.
pub async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let limit = limit_query(query.as_deref(), 100, 1_000)?;
    let cursor = Displayed(api.engine.head());
    let held = api.engine.workers(limit);
    let config = api.engine.config();
    let worker = WorkerView {
        name: config.worker.as_str(),
        started_at: api.engine.starts().last().copied().map(Displayed),
        running: held.total,
        max_running: config.max_running,
        lingering: held.lingering,
        lease_ms: millis(config.lease_ttl),
    };
    let attempts =
        held.attempts.iter().map(|held| HeldAttemptView::of(held, worker.name)).collect();
    Ok(json(&WorkersView { workers: [worker], attempts, total: held.total, cursor }))
}

impl<'a> HeldAttemptView<'a> {
    fn of(held: &'a HeldAttempt, worker: &'a str) -> Self {
        HeldAttemptView {
            job: held.job.id,
            queue: held.job.labels.queue.as_str(),
            kind: held.job.labels.kind.as_str(),
            attempt: held.job.status.attempt,
            worker,
            started_at: Displayed(held.started_at),
            heartbeat_at: Displayed(held.heartbeat_at),
            lease_until: Displayed(held.lease_until),
            ending: held.is_ending,
        }
    }
}
