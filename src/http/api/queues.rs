//! `/api/v1/queues`: lists the queues, pauses and resumes them, and changes their settings.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::extract::{JsonBody, PathQueue};
use crate::http::view::{Displayed, QueueStatsView, queue_views};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Object, RateRule};

#[derive(Serialize)]
struct QueuesView<'a> {
    queues: Vec<QueueStatsView<'a>>,
    cursor: Displayed<Cursor>,
}

/// The body that sets the concurrency of a queue; null restores the configured value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConcurrencyBody {
    concurrency: Option<u32>,
}

/// The body that sets the rate limit of a queue; `none` is no limit, and null restores the configured value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitBody {
    rate_limit: Option<RateRule>,
}

/// Lists the known queues: `{"queues", "cursor"}`. A queue is `{"name", "paused", "concurrency", "weight", "rate_limit"?,
/// "states", "waiting_since"}`. `concurrency` is how many attempts may run at once, `rate_limit` how many may start in a
/// period (`100/1m`), and `waiting_since` is when the job that has waited longest became available.
pub async fn list(State(api): State<Api>) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let queues = queue_views(&stats, api.engine.config());
    Ok(json(&QueuesView { queues, cursor: Displayed(stats.cursor) }))
}

/// Pauses a queue: its jobs are not started. Answers 204, also when it is paused already.
pub async fn pause(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
) -> Result<StatusCode, Problem> {
    api.engine.pause(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resumes a queue. Answers 204.
pub async fn resume(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
) -> Result<StatusCode, Problem> {
    api.engine.resume(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how many attempts of a queue may run at once. The setting survives restarts. Answers 204.
pub async fn set_concurrency(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Problem> {
    let Object(body): Object<ConcurrencyBody> = serde_json::from_slice(&body).map_err(|error| {
        let detail =
            format!("expected {{\"concurrency\": 10}}, or null for the configured value: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    api.engine.set_concurrency(queue, body.concurrency).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how many attempts of a queue may start in a period. The setting survives restarts. Answers 204.
pub async fn set_rate_limit(
    State(api): State<Api>,
    PathQueue(queue): PathQueue,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Problem> {
    let Object(body): Object<RateLimitBody> = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!(
            "expected {{\"rate_limit\": \"100/1m\"}}, \"none\" for no limit, or null for the configured value: {error}"
        );
        Problem::new(StatusCode::BAD_REQUEST, "malformed_json", detail)
    })?;
    api.engine.set_rate_limit(queue, body.rate_limit).await?;
    Ok(StatusCode::NO_CONTENT)
}
