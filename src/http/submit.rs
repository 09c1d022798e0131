//! `POST /api/v1/jobs`: one job or an array of them, answered when they are on disk.
//! The busiest endpoint: one parse, one verb, one write.

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::extract::JsonBody;
use super::view::JobRow;
use super::{Api, Problem, json};
use crate::engine::{Enqueued, Submission};

/// One job: 202 with its row, or 200 with `"existing": true` when its idempotency key was taken;
/// `Location` names it. An array: 202 with `{"jobs": [...]}` in order, all accepted or none.
pub async fn submit(State(api): State<Api>, JsonBody(body): JsonBody) -> Result<Response, Problem> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[') => submit_many(&api, parse(&body)?).await,
        Some(_) | None => submit_one(&api, parse(&body)?).await,
    }
}

async fn submit_one(api: &Api, submission: Submission) -> Result<Response, Problem> {
    let job = submission.into_new_job().map_err(Problem::invalid_job)?;
    let answers = api.engine.enqueue(vec![job]).await?;
    let Some(answer) = answers.first() else {
        let detail = "the store gave no answer for the job";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail));
    };
    let status = match answer {
        Enqueued::New(_) => StatusCode::ACCEPTED,
        Enqueued::Existing(_) => StatusCode::OK,
    };
    let response = (status, location(answer), json(&row(answer)));
    Ok(response.into_response())
}

async fn submit_many(api: &Api, batch: Vec<Submission>) -> Result<Response, Problem> {
    let limit = api.limits.batch_len;
    if batch.is_empty() {
        let detail = "the array holds no job";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", detail));
    }
    if batch.len() > limit {
        let detail = format!("{} jobs at once; the limit is {limit}", batch.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_long", detail));
    }
    let (mut jobs, mut errors) = (Vec::with_capacity(batch.len()), Vec::new());
    for (at, submission) in batch.into_iter().enumerate() {
        match submission.into_new_job() {
            Ok(job) => jobs.push(job),
            Err(wrong) => errors.extend(wrong.into_iter().map(|error| (at, error))),
        }
        // Enough to see what is wrong; the answer stays short.
        if errors.len() >= 100 {
            break;
        }
    }
    if !errors.is_empty() {
        return Err(Problem::invalid_batch(errors));
    }
    let answers = api.engine.enqueue(jobs).await?;
    let jobs = answers.iter().map(row).collect();
    Ok((StatusCode::ACCEPTED, json(&Rows { jobs })).into_response())
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
    let path = format!("/api/v1/jobs/{}", answer.job().id);
    HeaderValue::from_maybe_shared(bytes::Bytes::from(path))
        .ok()
        .map(|path| [(header::LOCATION, path)])
}

/// Text that is no JSON is 400; JSON that is no job is 422.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_job", error.to_string())
        }
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => {
            Problem::new(StatusCode::BAD_REQUEST, "malformed_json", error.to_string())
        }
    })
}
