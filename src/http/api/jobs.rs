//! `/api/v1/jobs`: lists jobs, and retries, cancels, moves, reprioritises and deletes one.
//! `submit.rs`, `wait.rs` and `stream/job_log.rs` have the other endpoints of jobs.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::extract::{JsonBody, NoBody, NoQuery, PathId, read_fields};
use super::query;
use crate::engine::JobActionError;
use crate::engine::submission::PRIORITY;
use crate::http::access::Acting;
use crate::http::access::job_scope::JobScope;
use crate::http::view::{Displayed, JobRow, StatusView};
use crate::http::{Api, Problem, json};
use crate::job::fields::REQUIRED;
use crate::job::{Cursor, JobId, PageCursor, QueueName, Status};

#[derive(Serialize)]
struct PageView<'a> {
    jobs: Vec<JobRow<'a>>,
    /// The `after` of the next page; null at the end. A page with fewer jobs than the limit may have a next page, when
    /// the search has reached its bound.
    next: Option<Displayed<PageCursor>>,
    /// The number of jobs that were examined for this page.
    examined: u64,
    cursor: Displayed<Cursor>,
}

/// Returns a page of jobs, newest first: `{"jobs", "next", "examined", "cursor"}`.
pub async fn list(
    State(api): State<Api>,
    scope: JobScope,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let query = query::job_query(text.as_deref(), api.engine.now())?;
    let Some(query) = scope.narrow(query) else {
        let cursor = Displayed(api.engine.head());
        return Ok(json(&PageView { jobs: Vec::new(), next: None, examined: 0, cursor }));
    };
    let page = api.engine.jobs(query).await?;
    let shown = page.jobs.len() as u64;
    Ok(json(&PageView {
        jobs: page.jobs.iter().map(JobRow::of).collect(),
        next: page.next.map(Displayed),
        // The jobs of others, which the search has examined too, are nothing to a restricted reader.
        examined: if scope.is_restricted() { shown } else { page.examined },
        cursor: Displayed(page.cursor),
    }))
}

/// Makes a job available again, and returns its new status.
pub async fn retry(
    Acting(api): Acting<Api>,
    scope: JobScope,
    _: NoQuery,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Response, Problem> {
    scope.check_job(&api.engine, id).await?;
    status_response(id, api.engine.retry(id).await)
}

/// Cancels a job, and returns its status. A running job is only asked to end: it is still `running`, with
/// `cancel_asked`.
pub async fn cancel(
    Acting(api): Acting<Api>,
    scope: JobScope,
    _: NoQuery,
    PathId(id): PathId,
    _: NoBody,
) -> Result<Response, Problem> {
    scope.check_job(&api.engine, id).await?;
    status_response(id, api.engine.cancel(id).await)
}

/// Moves a waiting job to another queue, `{"queue":"mail"}`, and returns its status.
pub async fn move_to_queue(
    Acting(api): Acting<Api>,
    scope: JobScope,
    _: NoQuery,
    PathId(id): PathId,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let queue = read_fields(&body, |fields, errors| {
        let queue = fields.required_text("queue", errors)?;
        errors.take("queue", QueueName::parse(&queue))
    })?;
    let queue = queue.ok_or_else(|| Problem::invalid_field("queue", REQUIRED))?;
    scope.check_move(&api.engine, id, &queue).await?;
    status_response(id, api.engine.move_to(id, queue).await)
}

/// Changes the priority of a waiting job, `{"priority":5}`, and returns its status.
pub async fn reprioritise(
    Acting(api): Acting<Api>,
    scope: JobScope,
    _: NoQuery,
    PathId(id): PathId,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let priority = read_fields(&body, |fields, errors| {
        let priority = fields.required_integer("priority", PRIORITY, errors)?;
        i16::try_from(priority).ok()
    })?;
    let priority = priority.ok_or_else(|| Problem::invalid_field("priority", REQUIRED))?;
    scope.check_job(&api.engine, id).await?;
    status_response(id, api.engine.reprioritise(id, priority).await)
}

/// Deletes a job that is not running. Answers 204.
pub async fn delete(
    Acting(api): Acting<Api>,
    scope: JobScope,
    _: NoQuery,
    PathId(id): PathId,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    scope.check_job(&api.engine, id).await?;
    status_response(id, api.engine.delete(id).await).map(|_| StatusCode::NO_CONTENT)
}

fn status_response(id: JobId, answer: Result<Status, JobActionError>) -> Result<Response, Problem> {
    let status = answer.map_err(|error| Problem::job_action(id, error))?;
    Ok(json(&StatusView::of(id, status)))
}
