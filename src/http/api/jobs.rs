//! `/api/v1/jobs`: list them; retry, cancel, move, reprioritise and remove one.
//! Submission, reading one and reading its log have files of their own.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, PathId, read};
use super::query;
use crate::engine::{ControlError, EngineError};
use crate::http::view::{JobRow, Shown, StatusView};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Invalid, JobId, PageCursor, Status};

#[derive(Serialize)]
struct PageView<'a> {
    jobs: Vec<JobRow<'a>>,
    /// The `after` of the next page; null at the end. A page that ends before it is full has only
    /// looked so far.
    next: Option<Shown<PageCursor>>,
    /// Jobs looked at for this page.
    examined: u64,
    cursor: Shown<Cursor>,
}

/// A page of rows, newest first: `{"jobs", "next", "examined", "cursor"}`.
pub async fn list(State(api): State<Api>, RawQuery(text): RawQuery) -> Result<Response, Problem> {
    let query = query::job_query(text.as_deref(), api.engine.now())?;
    let page = api.engine.jobs(query).await?;
    Ok(json(&PageView {
        jobs: page.jobs.iter().map(JobRow::of).collect(),
        next: page.next.map(Shown),
        examined: page.examined,
        cursor: Shown(page.cursor),
    }))
}

/// Makes a job run again now; answers its new status.
pub async fn retry(State(api): State<Api>, PathId(id): PathId) -> Result<Response, Problem> {
    controlled(id, api.engine.retry(id).await)
}

/// Ends a job; a running one is told and still `running`, with `cancel_asked`.
pub async fn cancel(State(api): State<Api>, PathId(id): PathId) -> Result<Response, Problem> {
    controlled(id, api.engine.cancel(id).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    queue: String,
}

/// Puts a waiting job into another queue: `{"queue":"mail"}`; answers its status.
pub async fn shift(
    State(api): State<Api>,
    PathId(id): PathId,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let MoveBody { queue } = read(&body, "invalid_control")?;
    let queue = queue.parse().map_err(|error: Invalid| Problem::invalid_control(&error))?;
    controlled(id, api.engine.move_to(id, queue).await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PriorityBody {
    priority: i16,
}

/// Gives a waiting job another priority: `{"priority":5}`; answers its status.
pub async fn reprioritise(
    State(api): State<Api>,
    PathId(id): PathId,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let PriorityBody { priority } = read(&body, "invalid_control")?;
    controlled(id, api.engine.reprioritise(id, priority).await)
}

/// Removes a job that is not running: 204.
pub async fn remove(State(api): State<Api>, PathId(id): PathId) -> Result<StatusCode, Problem> {
    controlled(id, api.engine.delete(id).await).map(|_| StatusCode::NO_CONTENT)
}

fn controlled(
    id: JobId,
    answer: Result<Result<Status, ControlError>, EngineError>,
) -> Result<Response, Problem> {
    let status = answer?.map_err(|error| Problem::refused(id, &error))?;
    Ok(json(&StatusView::of(id, status)))
}
