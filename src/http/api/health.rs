//! `/healthz` says that the process is alive, `/readyz` that it takes work.
//! Both are open to everybody, so that probes need no secret.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::http::{Api, Problem, json};

#[derive(serde::Serialize)]
struct Status {
    status: &'static str,
}

/// 200 as long as the process answers at all.
pub async fn alive() -> Response {
    json(&Status { status: "alive" })
}

/// 200 when work is accepted; 503 while the server drains or its store refuses, and why.
pub async fn ready(State(api): State<Api>) -> Result<Response, Problem> {
    if api.engine.shutdown().draining.is_cancelled() {
        let detail = "the server is stopping";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail));
    }
    api.engine.health()?;
    Ok(json(&Status { status: "ready" }))
}
