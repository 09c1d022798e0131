//! `GET /api/v1/workers`: the worker of this process, the workers in other processes, and the attempts that they run.
//! The list is kept in memory, so no read examines jobs, and an answer has a page of it, however many are connected.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;

use super::query::{WorkerListQuery, worker_query};
use crate::engine::{HeldAttempt, RemoteAttempt, WorkerReport};
use crate::http::view::{Displayed, millis};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, JobId, Kind, QueueName, Time, WorkerName};

#[derive(Serialize)]
struct WorkersView<'a> {
    workers: Vec<WorkerView<'a>>,
    /// The `after` of the next page; null at the end.
    next: Option<&'a str>,
    attempts: Vec<HeldAttemptView<'a>>,
    total: usize,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WorkerView<'a> {
    /// The worker of this process.
    InProcess(InProcessView<'a>),
    /// A worker in another process.
    Remote(Box<RemoteView<'a>>),
}

#[derive(Serialize)]
struct InProcessView<'a> {
    name: &'a str,
    remote: bool,
    started_at: Option<Displayed<Time>>,
    running: usize,
    max_running: usize,
    lingering: usize,
    lease_ms: u64,
}

#[derive(Serialize)]
struct RemoteView<'a> {
    name: &'a str,
    remote: bool,
    host: Option<&'a str>,
    pid: Option<u32>,
    client: Option<&'a str>,
    version: Option<&'a str>,
    transport: &'static str,
    kinds: Vec<&'a str>,
    queues: Vec<&'a str>,
    concurrency: Option<u32>,
    running: usize,
    state: &'static str,
    connected_at: Displayed<Time>,
    seen_at: Displayed<Time>,
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

/// Returns the worker of this process, then a page of the others by name, and the oldest attempts of all workers:
/// `{"workers", "next", "attempts", "total", "cursor"}`. `total` is the number of all attempts.
pub async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let WorkerListQuery { filter, after, limit } = worker_query(query.as_deref())?;
    let cursor = Displayed(api.engine.head());
    let held = api.engine.workers(limit);
    let (remote_attempts, remote_total) = api.engine.remote_attempts(limit);
    let remote = api.engine.remote_worker_page(&filter, after.as_ref(), limit);
    let config = api.engine.config();
    let in_process = InProcessView {
        name: config.worker.as_str(),
        remote: false,
        started_at: api.engine.started_at().map(Displayed),
        running: held.total,
        max_running: config.max_running,
        lingering: held.lingering,
        lease_ms: millis(config.lease_ttl),
    };
    let name = in_process.name;
    let in_here = held.attempts.iter().map(|held| HeldAttemptView::of(held, name));
    let mut attempts: Vec<HeldAttemptView<'_>> =
        in_here.chain(remote_attempts.iter().map(HeldAttemptView::of_remote)).collect();
    attempts.sort_by_key(|attempt| attempt.started_at.0);
    attempts.truncate(limit);
    let kinds = api.engine.own_kinds();
    let is_listed = after.is_none() && filter.passes_own(name, kinds.iter(), held.total);
    let in_process = is_listed.then_some(WorkerView::InProcess(in_process));
    let remote_views =
        remote.workers.iter().map(|one| WorkerView::Remote(Box::new(RemoteView::of(one))));
    let workers = in_process.into_iter().chain(remote_views).collect();
    let (next, total) = (remote.next.as_ref().map(WorkerName::as_str), held.total + remote_total);
    Ok(json(&WorkersView { workers, next, attempts, total, cursor }))
}

impl<'a> RemoteView<'a> {
    fn of(worker: &'a WorkerReport) -> Self {
        let about = &worker.about;
        RemoteView {
            name: worker.name.as_str(),
            remote: true,
            host: about.host.as_deref(),
            pid: about.pid,
            client: about.client.as_deref(),
            version: about.version.as_deref(),
            transport: worker.transport.as_str(),
            kinds: worker.interest.kinds.iter().map(Kind::as_str).collect(),
            queues: worker.interest.queues.iter().map(QueueName::as_str).collect(),
            concurrency: about.concurrency,
            running: worker.running,
            state: worker.state.as_str(),
            connected_at: Displayed(worker.connected_at),
            seen_at: Displayed(worker.seen_at),
            lease_ms: millis(worker.lease),
        }
    }
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

    fn of_remote(held: &'a RemoteAttempt) -> Self {
        HeldAttemptView {
            job: held.job,
            queue: held.labels.queue.as_str(),
            kind: held.labels.kind.as_str(),
            attempt: held.attempt,
            worker: held.worker.as_str(),
            started_at: Displayed(held.started_at),
            heartbeat_at: Displayed(held.heartbeat_at),
            lease_until: Displayed(held.lease_until),
            ending: held.is_ending,
        }
    }
}
