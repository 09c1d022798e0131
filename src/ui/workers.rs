//! The workers page: the running attempts with their start, their last heartbeat and the end of their lease.

use askama::Template;
use axum::extract::State as Has;
use axum::http::StatusCode;
use axum::response::Response;

use crate::engine::{Engine, HeldAttempt};
use crate::job::Time;

use super::layout::error::UiError;
use super::layout::page::{Layout, Section, page};
use super::layout::visit::Visit;
use super::parts::filters;
use super::parts::time_format::{TimeText, length};

/// The most attempts on the page. It shows those that have run longest, because these may be stuck.
const LIST: usize = 100;

#[derive(Template)]
#[template(path = "workers.html")]
struct WorkersPage {
    layout: Layout,
    worker: String,
    started: Option<TimeText>,
    running: usize,
    max_running: usize,
    lingering: usize,
    lease: String,
    attempts: Vec<AttemptRow>,
}

struct AttemptRow {
    id: String,
    short: String,
    kind: String,
    queue: String,
    attempt: u16,
    max_attempts: u16,
    since: TimeText,
    heartbeat: TimeText,
    until: TimeText,
    ending: bool,
}

/// `GET /workers`
pub async fn show(Has(engine): Has<Engine>, visit: Visit) -> Result<Response, UiError> {
    let cursor = engine.head();
    let held = engine.workers(LIST);
    let now = engine.now();
    let layout = Layout::live(&visit, "Workers", Section::Workers, cursor, now);
    let config = engine.config();
    let workers = WorkersPage {
        worker: config.worker.to_string(),
        started: engine.starts().last().map(|at| TimeText::new(*at, now)),
        running: held.total,
        max_running: config.max_running,
        lingering: held.lingering,
        lease: length(config.lease_ttl),
        attempts: held.attempts.iter().map(|held| AttemptRow::of(held, now)).collect(),
        layout,
    };
    Ok(page(StatusCode::OK, &workers))
}

impl AttemptRow {
    fn of(held: &HeldAttempt, now: Time) -> Self {
        let job = &held.job;
        AttemptRow {
            id: job.id.to_string(),
            short: job.id.short(),
            kind: job.labels.kind.to_string(),
            queue: job.labels.queue.to_string(),
            attempt: job.status.attempt,
            max_attempts: job.status.max_attempts,
            since: TimeText::new(held.started_at, now),
            heartbeat: TimeText::new(held.heartbeat_at, now),
            until: TimeText::new(held.lease_until, now),
            ending: held.is_ending,
        }
    }
}
