//! `/api/v1/workers/{name}`: sign-off of a worker, and the commands `quiet`, `stop` and `resume` for it.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::worker_path::PathWorker;
use crate::engine::WorkerCommand;
use crate::http::access::Acting;
use crate::http::api::extract::{NoBody, NoQuery};
use crate::http::{Api, Problem, json};

#[derive(Serialize)]
struct SignedOff {
    /// How many jobs the worker gave back.
    returned: usize,
}

/// Signs a worker off: the jobs that it holds are given back, and their attempts do not count.
pub async fn sign_off(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathWorker(worker): PathWorker,
    _: NoBody,
) -> Result<Response, Problem> {
    let returned = api.engine.sign_off(&worker).await?;
    Ok(json(&SignedOff { returned }))
}

/// Tells a worker to claim no more jobs. Answers 204.
pub async fn quiet(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathWorker(worker): PathWorker,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.tell_worker(&worker, WorkerCommand::Quiet)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells a worker to finish what it runs and to exit. Answers 204.
pub async fn stop(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathWorker(worker): PathWorker,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.tell_worker(&worker, WorkerCommand::Stop)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells a worker to claim jobs again. Answers 204.
pub async fn resume(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathWorker(worker): PathWorker,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.tell_worker(&worker, WorkerCommand::Resume)?;
    Ok(StatusCode::NO_CONTENT)
}
