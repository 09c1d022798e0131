//! `/api/v1/failures`, `/api/v1/workers`, `/api/v1/metrics/history`, and how many attempts of a queue may run
//! at once. What is told stands in memory: none of them looks through jobs.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, PathQueue};
use super::query::{history_query, limit_query};
use crate::engine::{FailureGroup, HeldAttempt};
use crate::http::view::{PointView, Shown};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, JobId, Object, QueueName, RateRule, Time};

#[derive(Serialize)]
struct FailuresView {
    groups: Vec<GroupView>,
    total: usize,
    counting: bool,
    beyond: u64,
    cursor: Shown<Cursor>,
}

#[derive(Serialize)]
struct GroupView {
    id: String,
    kind: String,
    class: &'static str,
    pattern: String,
    message: String,
    example: JobId,
    dead: u64,
    retrying: u64,
    first_at: Shown<Time>,
    last_at: Shown<Time>,
    minutes: Vec<u32>,
    hours: Vec<u32>,
}

#[derive(Serialize)]
struct WorkersView<'a> {
    workers: [WorkerView<'a>; 1],
    attempts: Vec<AttemptView<'a>>,
    total: usize,
    cursor: Shown<Cursor>,
}

#[derive(Serialize)]
struct WorkerView<'a> {
    name: &'a str,
    started_at: Option<Shown<Time>>,
    running: usize,
    max_running: usize,
    lingering: usize,
    lease_ms: u64,
}

#[derive(Serialize)]
struct AttemptView<'a> {
    job: JobId,
    queue: &'a str,
    kind: &'a str,
    attempt: u16,
    worker: &'a str,
    started_at: Shown<Time>,
    heartbeat_at: Shown<Time>,
    lease_until: Shown<Time>,
    ending: bool,
}

#[derive(Serialize)]
struct HistoryView<'a> {
    queue: Option<&'a str>,
    seconds: Vec<PointView>,
    minutes: Vec<PointView>,
    starts: Vec<Shown<Time>>,
    now: Shown<Time>,
    cursor: Shown<Cursor>,
}

/// What a concurrency is set to; null is what the configuration says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Concurrency {
    concurrency: Option<u32>,
}

/// What a rate is set to; `none` is no limit, null is what the configuration says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    rate_limit: Option<RateRule>,
}

/// Dead and retrying jobs by kind and error, those that failed last first: `{"groups", "total", "counting",
/// "beyond", "cursor"}`. A group is `{"id","kind","class","pattern","message","example","dead","retrying",
/// "first_at","last_at","minutes","hours"}`; `minutes` and `hours` count failed attempts, the present
/// stretch last. `counting`: jobs that failed before the start are still being counted.
pub async fn failures(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let limit = limit_query(query.as_deref(), 50, 500)?;
    let cursor = Shown(api.engine.head());
    let list = api.engine.failures(limit);
    let groups = list.groups.into_iter().map(GroupView::of).collect();
    let (total, counting, beyond) = (list.total, list.counting, list.beyond);
    Ok(json(&FailuresView { groups, total, counting, beyond, cursor }))
}

/// Who holds leases, and for what: `{"workers", "attempts", "total", "cursor"}`; of the attempts those that
/// began first.
pub async fn workers(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let limit = limit_query(query.as_deref(), 100, 1_000)?;
    let cursor = Shown(api.engine.head());
    let held = api.engine.workers(limit);
    let config = api.engine.config();
    let worker = WorkerView {
        name: config.worker.as_str(),
        started_at: api.engine.starts().last().copied().map(Shown),
        running: held.total,
        max_running: config.max_running,
        lingering: held.lingering,
        lease_ms: crate::http::view::millis(config.lease_ttl),
    };
    let attempts = held.attempts.iter().map(|held| AttemptView::of(held, worker.name)).collect();
    Ok(json(&WorkersView { workers: [worker], attempts, total: held.total, cursor }))
}

/// What happened lately, to the server or to one `queue`: `{"queue", "seconds", "minutes", "starts", "now",
/// "cursor"}`. Each second of the last five minutes and each minute of the last six hours in which
/// something happened, oldest first; `starts` are those of this process and of earlier ones.
pub async fn history(
    State(api): State<Api>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let queue = history_query(query.as_deref())?;
    let cursor = Shown(api.engine.head());
    let history = api.engine.history(queue.as_ref());
    Ok(json(&HistoryView {
        queue: queue.as_ref().map(QueueName::as_str),
        seconds: history.seconds.iter().map(PointView::of).collect(),
        minutes: history.minutes.iter().map(PointView::of).collect(),
        starts: history.starts.into_iter().map(Shown).collect(),
        now: Shown(history.now),
        cursor,
    }))
}

/// Sets how many attempts of a queue may run at once, from now on and over restarts: 204.
pub async fn set_concurrency(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Problem> {
    let Object(wanted): Object<Concurrency> = serde_json::from_slice(&body).map_err(|error| {
        let detail =
            format!("send {{\"concurrency\": 10}}, or null for the configured one: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    api.engine.set_concurrency(queue, wanted.concurrency).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how often attempts of a queue may begin, from now on and over restarts: 204.
pub async fn set_rate_limit(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Problem> {
    let Object(wanted): Object<Rate> = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!(
            "send {{\"rate_limit\": \"100/1m\"}}, \"none\" for no limit, or null for the configured one: {error}"
        );
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    api.engine.set_rate_limit(queue, wanted.rate_limit).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl GroupView {
    fn of(group: FailureGroup) -> Self {
        let FailureGroup { id, kind, class, pattern, message, example, .. } = group;
        GroupView {
            id,
            kind: kind.to_string(),
            class: class.as_str(),
            pattern,
            message,
            example,
            dead: group.dead,
            retrying: group.retrying,
            first_at: Shown(group.first_at),
            last_at: Shown(group.last_at),
            minutes: group.minutes,
            hours: group.hours,
        }
    }
}

impl<'a> AttemptView<'a> {
    fn of(held: &'a HeldAttempt, worker: &'a str) -> Self {
        AttemptView {
            job: held.job.id,
            queue: held.job.labels.queue.as_str(),
            kind: held.job.labels.kind.as_str(),
            attempt: held.job.status.attempt,
            worker,
            started_at: Shown(held.started_at),
            heartbeat_at: Shown(held.heartbeat_at),
            lease_until: Shown(held.lease_until),
            ending: held.is_ending,
        }
    }
}
