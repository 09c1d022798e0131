//! What people do to jobs and queues with a button: a form's POST, then 303 back to a page.

use axum::extract::{Path, State as Has};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use crate::engine::{ControlError, Engine};
use crate::job::{JobId, QueueName, Status};

use super::error::{UiError, sentence};
use super::job::{Notice, Tone, parse_id, render};
use super::shell::see_other;

/// `POST /jobs/{id}/retry`
pub async fn retry(Has(engine): Has<Engine>, Path(id): Path<String>) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let answer = engine.retry(id).await?;
    back_to_job(&engine, id, answer).await
}

/// `POST /jobs/{id}/cancel`
pub async fn cancel(Has(engine): Has<Engine>, Path(id): Path<String>) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let answer = engine.cancel(id).await?;
    back_to_job(&engine, id, answer).await
}

/// `POST /jobs/{id}/delete`
pub async fn delete(Has(engine): Has<Engine>, Path(id): Path<String>) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    match engine.delete(id).await? {
        Ok(_) => Ok(see_other("jobs").into_response()),
        refused @ Err(_) => back_to_job(&engine, id, refused).await,
    }
}

/// `POST /queues/{name}/pause`
pub async fn pause(
    Has(engine): Has<Engine>,
    Path(name): Path<String>,
) -> Result<Redirect, UiError> {
    engine.pause(known_queue(&engine, &name).await?).await?;
    Ok(see_other("#queues"))
}

/// `POST /queues/{name}/resume`
pub async fn resume(
    Has(engine): Has<Engine>,
    Path(name): Path<String>,
) -> Result<Redirect, UiError> {
    engine.resume(known_queue(&engine, &name).await?).await?;
    Ok(see_other("#queues"))
}

/// The job's page: by a redirect when the action was done, with the reason when it was refused.
async fn back_to_job(
    engine: &Engine,
    id: JobId,
    answer: Result<Status, ControlError>,
) -> Result<Response, UiError> {
    match answer {
        Ok(_) => Ok(see_other(&format!("jobs/{id}")).into_response()),
        Err(ControlError::NotFound) => Err(ControlError::NotFound.into()),
        Err(ControlError::Refused(refused)) => {
            let text = format!("Not done. {}", sentence(&refused.to_string()));
            let notice = Notice { text, tone: Tone::Trouble };
            render(engine, id, Some(notice), StatusCode::CONFLICT).await
        }
    }
}

/// A queue that has been seen before: a slip in an address must not make one.
async fn known_queue(engine: &Engine, name: &str) -> Result<QueueName, UiError> {
    let stats = engine.stats().await?;
    let known = QueueName::parse(name).ok().filter(|name| stats.queues.contains_key(name));
    known.ok_or_else(|| UiError::not_found("There is no such queue"))
}
