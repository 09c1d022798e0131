//! `GET /api/v1/jobs/{id}`: returns one job, and with `?wait=30s` waits until it is final. Submissions use the same
//! wait. A wait ends early when the server begins to stop.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::extract::{PathId, WaitQuery};
use crate::engine::run_blocking;
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::view::JobView;
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Job, JobId};

/// Returns one job without its log, and the reason why it is waiting if it is. With `wait` the answer is 200 once the
/// job is final, and 202 if it is not final by then or the server begins to stop.
pub async fn get(
    State(api): State<Api>,
    scope: JobScope,
    watch: AccessWatch,
    PathId(id): PathId,
    WaitQuery(wait): WaitQuery,
) -> Result<Response, Problem> {
    scope.check_job(&api.engine, id).await?;
    let (job, cursor) = until_final(&api, id, JobWait { scope, watch, wait }).await?;
    let is_complete = wait.is_zero() || job.status.state.is_final();
    let status = if is_complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    let why = api.engine.wait_reason(&job).await?;
    let answer = run_blocking(job.json_bytes(), || {
        json(&JobView::of(&job).with_wait_reason(why.as_ref()).at(cursor))
    });
    Ok((status, answer).into_response())
}

/// A request that waits for the end of a job.
pub struct JobWait {
    /// The jobs that exist for it.
    pub scope: JobScope,
    /// Its credentials.
    pub watch: AccessWatch,
    /// How long it waits.
    pub wait: Duration,
}

/// Returns the job once it is final, or as it is after `wait` (at most [`HttpLimits::max_wait`](crate::http::HttpLimits)) or
/// when the server begins to stop; and the cursor at which it was read. It is 401 once the credentials are not valid any
/// more, and 404 if the job is in another scope meanwhile.
pub async fn until_final(api: &Api, id: JobId, wait: JobWait) -> Result<(Job, Cursor), Problem> {
    let JobWait { scope, mut watch, wait } = wait;
    let wait = wait.min(api.limits.max_wait);
    if !wait.is_zero() {
        let draining = &api.engine.shutdown().draining;
        tokio::select! {
            waited = api.engine.wait_final(id, wait) => drop(waited?), // read again, with the cursor
            () = draining.cancelled() => {}
            () = watch.ended() => return Err(watch.problem()),
        }
    }
    let (job, cursor) = api.engine.job(id).await?;
    let job = job.filter(|job| scope.allows(id, &job.labels));
    let job = job.ok_or_else(|| Problem::no_such_job(&id.to_string()))?;
    Ok((job, cursor))
}
