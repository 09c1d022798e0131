//! `POST /api/v1/workers/{name}/claim`: jobs for a worker, at once or after a wait.

use axum::response::Response;

use super::claim_body::bringing;
use super::worker_path::PathWorker;
use super::{read, write};
use crate::http::access::Acting;
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::api::extract::{JsonBody, NoQuery, read_fields};
use crate::http::json::json_of;
use crate::http::{Api, Problem};
use crate::job::fields::REQUIRED;

/// Claims jobs: `{"queues","kinds","max","lease_ms","wait_ms","about"}` → `{"leases","command"?}`.
pub async fn claim(
    Acting(api): Acting<Api>,
    scope: JobScope,
    mut watch: AccessWatch,
    _: NoQuery,
    PathWorker(worker): PathWorker,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let request = read_fields(&body, read::claim)?;
    let mut request = request.ok_or_else(|| Problem::invalid_field("kinds", REQUIRED))?;
    let interest = &request.registration.interest;
    scope.check_claim(&interest.queues, &interest.kinds)?;
    request.wait = request.wait.min(api.limits.max_wait);
    let answer = tokio::select! {
        answer = api.engine.claim_for(&worker, request) => answer?,
        () = watch.ended() => return Err(watch.problem()),
    };
    Ok(bringing(json_of(write::claim_answer(&answer)), answer.grants))
}
