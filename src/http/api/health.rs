//! The health checks: `/healthz` reports that the process is alive, `/readyz` that it accepts work.
//! Neither requires a token, so that probes need no secret, and neither looks at the query string: a probe must not fail
//! because a load balancer adds a parameter.

use axum::extract::State;
use axum::response::Response;

use crate::http::server_fault::ServerFault;
use crate::http::{Api, Problem, json};

#[derive(serde::Serialize)]
struct Health {
    status: &'static str,
    /// Only of a server that was started with `--paused` and was not resumed: it accepts work, and starts none.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<bool>,
}

/// Answers 200 as long as the process is alive.
pub async fn alive() -> Response {
    json(&Health { status: "alive", paused: None })
}

/// Answers 200 when work is accepted, and 503 with the reason while the server is stopping or its store is unavailable.
pub async fn ready(State(api): State<Api>) -> Result<Response, Problem> {
    if api.engine.shutdown().draining.is_cancelled() {
        return Err(ServerFault::Stopping.problem("the server is stopping"));
    }
    api.engine.health()?;
    Ok(json(&Health { status: "ready", paused: api.engine.is_paused().then_some(true) }))
}
