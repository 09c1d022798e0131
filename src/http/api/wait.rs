//! Answers that may wait for a job's end: `GET /api/v1/jobs/{id}?wait=30s`, and the same for a submission.
//! A waiter is an entry in the engine's table; the bound and the stop's beginning end the wait.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::extract::PathId;
use super::query;
use crate::engine::off_runtime;
use crate::http::view::JobView;
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Job, JobId};

/// One job with everything known of it but its log, and why it is not running while it waits. With `wait`: 200 once it is final, 202 when it is
/// not by then, or when the server stops.
pub async fn get(
    State(api): State<Api>,
    PathId(id): PathId,
    RawQuery(text): RawQuery,
) -> Result<Response, Problem> {
    let wait = query::wait_query(text.as_deref())?;
    let (job, cursor) = until_final(&api, id, wait).await?;
    let status = match wait.is_zero() || job.status.state.is_final() {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    let why = api.engine.wait_reason(&job).await?;
    let answer =
        off_runtime(job.json_bytes(), || json(&JobView::of(&job).because(why.as_ref()).at(cursor)));
    Ok((status, answer).into_response())
}

/// The job once it is final, or as it is after `wait` (at most [`Limits::max_wait`](crate::http::Limits)) or
/// when the server begins to stop; and the place it was read at.
pub async fn until_final(api: &Api, id: JobId, wait: Duration) -> Result<(Job, Cursor), Problem> {
    let wait = wait.min(api.limits.max_wait);
    if !wait.is_zero() {
        let draining = &api.engine.shutdown().draining;
        tokio::select! {
            waited = api.engine.wait_final(id, wait) => drop(waited?), // read again, with its place
            () = draining.cancelled() => {}
        }
    }
    let (job, cursor) = api.engine.job(id).await?;
    let job = job.ok_or_else(|| Problem::no_such_job(&id.to_string()))?;
    Ok((job, cursor))
}
