//! The actions on a job: each is the POST of a form, answered with a 303 redirect to a page.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::engine::{Engine, JobActionError, JobControlError};
use crate::http::access::Acting;
use crate::job::{Job, JobId, State, Status};

use super::{Notice, ShownAs, Tone, parse_id, render};
use crate::ui::layout::error::{UiError, sentence};
use crate::ui::layout::flash::Done;
use crate::ui::layout::form_fields::{NoFields, PostedForm};
use crate::ui::layout::page::see_other;
use crate::ui::layout::visit::Visit;
use crate::ui::parts::visible_text::Escapes;

/// `POST /jobs/{id}/retry`
pub async fn retry(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(id): Path<String>,
    headers: HeaderMap,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let (before, _) = engine.job(id).await?;
    let answer = engine.retry(id).await;
    let done = match before.map(|job| job.status.state) {
        Some(State::Scheduled | State::Retryable) => Done::JobMadeDue,
        Some(
            State::Available
            | State::Running
            | State::Completed
            | State::Discarded
            | State::Cancelled,
        )
        | None => Done::JobRetried,
    };
    back_to_job(&engine, &visit, id, answer.map(|_| done), &headers).await
}

/// `POST /jobs/{id}/cancel`
pub async fn cancel(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(id): Path<String>,
    headers: HeaderMap,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let answer = engine.cancel(id).await;
    let done = |status: Status| match status.state {
        State::Cancelled => Done::JobCancelled,
        State::Scheduled
        | State::Available
        | State::Running
        | State::Retryable
        | State::Completed
        | State::Discarded => Done::JobAskedToCancel,
    };
    back_to_job(&engine, &visit, id, answer.map(done), &headers).await
}

/// `POST /jobs/{id}/delete`
pub async fn delete(
    Acting(engine): Acting<Engine>,
    visit: Visit,
    Path(id): Path<String>,
    headers: HeaderMap,
    _: PostedForm<NoFields>,
) -> Result<Response, UiError> {
    let id = parse_id(&id)?;
    let (before, _) = engine.job(id).await?;
    match (engine.delete(id).await, before) {
        (Ok(_), Some(job)) => {
            Ok(see_other("jobs").with(Done::JobDeleted, name(&job)).into_response())
        }
        (Ok(_), None) => Ok(see_other("jobs").into_response()),
        (Err(refused), _) => back_to_job(&engine, &visit, id, Err(refused), &headers).await,
    }
}

/// The job in a message: its kind and the end of its id, as in lists.
fn name(job: &Job) -> String {
    format!("{} {}", job.labels.kind, job.id.short())
}

/// Redirects to the job's page, which says what was done, or renders it with the reason when the action was refused.
async fn back_to_job(
    engine: &Engine,
    visit: &Visit,
    id: JobId,
    answer: Result<Done, JobActionError>,
    headers: &HeaderMap,
) -> Result<Response, UiError> {
    match answer {
        Ok(done) => {
            // The action was carried out, so a failure to read the job is not its answer.
            let job = engine.job(id).await.ok().and_then(|(job, _)| job);
            let name = job.as_ref().map_or_else(|| id.short(), name);
            Ok(see_other(&format!("jobs/{id}")).with(done, name).into_response())
        }
        Err(JobActionError::Job(JobControlError::Refused(refused))) => {
            let text = format!("Nothing was changed. {}", sentence(&refused.to_string()));
            let shown = ShownAs {
                notice: Some(Notice { text, tone: Tone::Error }),
                escapes: Escapes::Decoded,
                status: StatusCode::CONFLICT,
                shared: None,
            };
            render(engine, visit, id, shown, headers).await
        }
        Err(
            error @ (JobActionError::Job(JobControlError::NotFound) | JobActionError::Control(_)),
        ) => Err(error.into()),
    }
}
