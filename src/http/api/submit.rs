//! `POST /api/v1/jobs`: one job or an array of them, answered when they are on disk.
//! The busiest endpoint: one parse, one verb, one write.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::extract::{JsonBody, read, read_many};
use super::query;
use super::wait::until_final;
use crate::engine::{Enqueued, Submission, off_runtime};
use crate::http::view::{JobRow, JobView};
use crate::http::{Api, Problem, json};
use crate::job::elements;

/// One job: 202 with its row, or 200 with `"existing": true` when its idempotency key was taken;
/// `Location` names it. With `?wait=30s` 200 with the whole job once it is final, 202 with it when it
/// is not by then. An array: 202 with `{"jobs": [...]}` in order, all accepted or none.
pub async fn submit(
    State(api): State<Api>,
    RawQuery(text): RawQuery,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let wait = query::wait_query(text.as_deref())?;
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') if !wait.is_zero() => {
            let detail = "wait is for one job; follow many on the stream";
            Err(Problem::invalid_parameter(detail))
        }
        Some(b'[') => {
            // Counted before they are read: many small jobs take much more room than their text.
            let count = off_runtime(body.len(), || elements(&body));
            if count > api.limits.max_batch {
                return Err(too_many(count, api.limits.max_batch));
            }
            submit_many(&api, read_many(&body, "invalid_job")?).await
        }
        Some(_) | None => submit_one(&api, read(&body, "invalid_job")?, wait).await,
    }
}

async fn submit_one(
    api: &Api,
    submission: Submission,
    wait: Duration,
) -> Result<Response, Problem> {
    let job = submission.into_new_job().map_err(Problem::invalid_job)?;
    let answers = api.engine.enqueue(vec![job]).await?;
    let Some(answer) = answers.first() else {
        let detail = "the store gave no answer for the job";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail));
    };
    if !wait.is_zero() {
        let (job, cursor) = until_final(api, answer.job().id, wait).await?;
        let view = match answer {
            Enqueued::New(_) => JobView::of(&job),
            Enqueued::Existing(_) => JobView::of(&job).existing(),
        };
        let status = match job.status.state.is_final() {
            true => StatusCode::OK,
            false => StatusCode::ACCEPTED,
        };
        return Ok((status, location(answer), json(&view.at(cursor))).into_response());
    }
    let status = match answer {
        Enqueued::New(_) => StatusCode::ACCEPTED,
        Enqueued::Existing(_) => StatusCode::OK,
    };
    let response = (status, location(answer), json(&row(answer)));
    Ok(response.into_response())
}

async fn submit_many(api: &Api, batch: Vec<Submission>) -> Result<Response, Problem> {
    if batch.is_empty() {
        let detail = "the array holds no job";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", detail));
    }
    let (mut jobs, mut errors) = (Vec::with_capacity(batch.len()), Vec::new());
    for (at, submission) in batch.into_iter().enumerate() {
        match submission.into_new_job() {
            Ok(job) => jobs.push(job),
            Err(wrong) => errors.extend(wrong.into_iter().map(|error| (at, error))),
        }
    }
    if !errors.is_empty() {
        return Err(Problem::invalid_batch(errors));
    }
    let is_one = jobs.len() == 1; // the engine does not know it from a job outside of an array
    let enqueued = api.engine.enqueue(jobs).await;
    let answers = enqueued.map_err(|error| if is_one { error.of_job(0) } else { error })?;
    let jobs = answers.iter().map(row).collect();
    Ok((StatusCode::ACCEPTED, json(&Rows { jobs })).into_response())
}

fn too_many(count: usize, limit: usize) -> Problem {
    let detail = format!("{count} jobs at once; the limit is {limit}");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_long", detail)
}

#[derive(Serialize)]
struct Rows<'a> {
    jobs: Vec<JobRow<'a>>,
}

fn row(answer: &Enqueued) -> JobRow<'_> {
    match answer {
        Enqueued::New(job) => JobRow::of(job),
        Enqueued::Existing(job) => JobRow::of_existing(job),
    }
}

fn location(answer: &Enqueued) -> Option<[(HeaderName, HeaderValue); 1]> {
    let path = crate::http::layers::base_path::url(&format!("api/v1/jobs/{}", answer.job().id));
    HeaderValue::from_maybe_shared(bytes::Bytes::from(path))
        .ok()
        .map(|path| [(header::LOCATION, path)])
}
