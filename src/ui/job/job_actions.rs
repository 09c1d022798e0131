//! The actions on a job: each is the POST of a form, answered with a 303 redirect to a page.

use axum::extract::{Path, State as Has};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, JobActionError, JobControlError};
use crate::http::layers::base_path::Address;
use crate::job::{JobId, Status};

use super::{Notice, Tone, parse_id, render};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::page::see_other;

/// `POST /jobs/{id}/retry`
pub async fn retry(
    Has(engine): Has<Engine>,
    address: Address,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let answer = engine.retry(id).await;
    back_to_job(&engine, &address, id, answer, &headers).await
}

/// `POST /jobs/{id}/cancel`
pub async fn cancel(
    Has(engine): Has<Engine>,
    address: Address,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let answer = engine.cancel(id).await;
    back_to_job(&engine, &address, id, answer, &headers).await
}

/// `POST /jobs/{id}/delete`
pub async fn delete(
    Has(engine): Has<Engine>,
    address: Address,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    match engine.delete(id).await {
        Ok(_) => Ok(see_other("jobs").into_response()),
        refused @ Err(_) => back_to_job(&engine, &address, id, refused, &headers).await,
    }
}

/// Redirects to the job's page, or renders it with the reason when the action was refused.
async fn back_to_job(
    engine: &Engine,
    address: &Address,
    id: JobId,
    answer: Result<Status, JobActionError>,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    match answer {
        Ok(_) => Ok(see_other(&format!("jobs/{id}")).into_response()),
        Err(JobActionError::Job(JobControlError::Refused(refused))) => {
            let text = format!("Nothing was changed. {}", sentence(&refused.to_string()));
            let notice = Notice { text, tone: Tone::Error };
            render(engine, address, id, Some(notice), StatusCode::CONFLICT, headers).await
        }
        Err(
            error @ (JobActionError::Job(JobControlError::NotFound) | JobActionError::Control(_)),
        ) => Err(error.into()),
    }
}
