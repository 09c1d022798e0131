//! `POST /api/v1/resume`: ends the pause of a server that was started with `--paused`.

use axum::extract::State;
use axum::http::StatusCode;

use super::extract::{NoBody, NoQuery};
use crate::http::Api;

/// Starts jobs and schedules. Answers 204, also when the server is not paused. A single queue is paused and resumed
/// with its own addresses.
pub async fn resume(State(api): State<Api>, _: NoQuery, _: NoBody) -> StatusCode {
    api.engine.resume_server();
    StatusCode::NO_CONTENT
}
