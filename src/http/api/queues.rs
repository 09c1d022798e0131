//! `/api/v1/queues`: lists the queues, pauses and resumes them, and changes their settings.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, PathQueue};
use crate::http::view::{QueueView, Shown, queue_views};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Object, RateRule};

#[derive(Serialize)]
struct QueuesView<'a> {
    queues: Vec<QueueView<'a>>,
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

/// Every known queue: `{"queues": [{"name","paused","concurrency","weight","rate_limit"?,"states",
/// "waiting_since"}], "cursor"}`; `concurrency` is how many attempts may run at once, `rate_limit` how often
/// they may begin (`100/1m`), `waiting_since` when the job that waits longest became available.
pub async fn list(State(api): State<Api>) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let queues = queue_views(&stats, api.engine.config());
    Ok(json(&QueuesView { queues, cursor: Shown(stats.cursor) }))
}

/// Holds the claims of a queue back: 204, also when it is paused already.
pub async fn pause(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
) -> Result<StatusCode, Problem> {
    api.engine.pause(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets the claims of a queue go on: 204.
pub async fn resume(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
) -> Result<StatusCode, Problem> {
    api.engine.resume(queue).await?;
    Ok(StatusCode::NO_CONTENT)
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
