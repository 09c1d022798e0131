//! `/api/v1/queues`: lists the queues, pauses and resumes them, and changes their settings.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::extract::{JsonBody, NoBody, NoQuery, PathQueue, read_fields};
use crate::http::access::Acting;
use crate::http::view::{Displayed, QueueStatsView, queue_views};
use crate::http::{Api, Problem, json};
use crate::job::fields::text;
use crate::job::{Concurrency, Cursor, RateRule};

#[derive(Serialize)]
struct QueuesView<'a> {
    queues: Vec<QueueStatsView<'a>>,
    cursor: Displayed<Cursor>,
}

/// Lists the known queues: `{"queues", "cursor"}`. A queue is `{"name", "paused", "concurrency", "slots", "weight",
/// "rate_limit"?, "states", "waiting_since"}`. `concurrency` is how many attempts may run at once over all workers, null when
/// there is no limit; `slots` is how many of them may run in the server's process, `rate_limit` how many may start in a period
/// (`100/1m`), and `waiting_since` is when the job that has waited longest became available.
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    let stats = api.engine.stats().await?;
    let queues = queue_views(&stats, api.engine.config());
    Ok(json(&QueuesView { queues, cursor: Displayed(stats.cursor) }))
}

/// Pauses a queue: its jobs are not started. Answers 204, also when it is paused already.
pub async fn pause(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathQueue(queue): PathQueue,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.pause(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Resumes a queue. Answers 204.
pub async fn resume(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathQueue(queue): PathQueue,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.resume(queue).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how many attempts of a queue may run at once, `{"concurrency": 10}`; null restores the configured number. The
/// setting survives restarts. Answers 204.
pub async fn set_concurrency(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathQueue(queue): PathQueue,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Problem> {
    let concurrency = read_fields(&body, |fields, errors| {
        let value = fields.present("concurrency", errors).filter(|value| *value != "null")?;
        errors.take("concurrency", Concurrency::from_json(value))
    })?;
    api.engine.set_concurrency(queue, concurrency).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets how many attempts of a queue may start in a period, `{"rate_limit": "100/1m"}`; `none` removes the limit, and
/// null restores the configured one. The setting survives restarts. Answers 204.
pub async fn set_rate_limit(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathQueue(queue): PathQueue,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, Problem> {
    let rate_limit = read_fields(&body, |fields, errors| {
        let value = fields.present("rate_limit", errors).filter(|value| *value != "null")?;
        let rule = text(value).and_then(|text| text.parse::<RateRule>());
        errors.take("rate_limit", rule)
    })?;
    api.engine.set_rate_limit(queue, rate_limit).await?;
    Ok(StatusCode::NO_CONTENT)
}
