//! `POST /api/v1/jobs`: accepts one job or an array of jobs, and responds when they are on disk.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::extract::{JsonBody, WaitQuery, json_text};
use super::idempotency::HeaderKey;
use super::wait::{JobWait, until_final};
use crate::engine::{Enqueued, Kinds, Submission, run_blocking};
use crate::http::access::Acting;
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::layers::base_path::Address;
use crate::http::server_fault::ServerFault;
use crate::http::view::{JobRow, JobView};
use crate::http::{Api, Problem, json};
use crate::job::fields::items;
use crate::job::{NewJob, elements};

/// Enqueues one job or an array of jobs.
///
/// One job is answered with 202 and its row, or with 200 and `"existing": true` when a job with the same idempotency
/// key exists; `Location` is its address. Restricted credentials are not told about a job outside of their scope: its key is
/// refused. The key is in the body or in the `Idempotency-Key` header. With `?wait=30s` the
/// answer is 200 with the whole job once it is final, or 202 if it is not final by then or cannot be read. An array is answered with 202 and
/// `{"jobs": [...]}` in order; all jobs are accepted or none.
pub async fn submit(
    Acting(api): Acting<Api>,
    scope: JobScope,
    watch: AccessWatch,
    address: Address,
    WaitQuery(wait): WaitQuery,
    key: HeaderKey,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    if is_batch(&body) {
        if !wait.is_zero() {
            let message =
                "is only supported for a single job; use the event stream for an array".to_owned();
            return Err(Problem::invalid_parameters(std::iter::once(("wait".to_owned(), message))));
        }
        key.must_be_absent(
            "the Idempotency-Key header is only supported for a single job; set the \
             idempotency_key of each job of the array",
        )?;
        let jobs = read_batch(&body, api.engine.kinds(), api.limits.max_batch)?;
        jobs.iter().try_for_each(|job| check(&scope, job))?;
        return submit_many(&api, &scope, jobs).await;
    }
    let job = key.add_to(read_job(&body, api.engine.kinds())?)?;
    check(&scope, &job)?;
    submit_one(&api, &address, job, JobWait { scope, watch, wait }).await
}

/// Whether a body is an array of jobs.
pub fn is_batch(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Reads one job, or names its invalid fields.
pub fn read_job(body: &[u8], kinds: &Kinds) -> Result<NewJob, Problem> {
    let text = json_text(body)?;
    let job = run_blocking(body.len(), || Submission::parse(text, kinds));
    job.map_err(Problem::invalid_fields)
}

async fn submit_one(
    api: &Api,
    address: &Address,
    job: NewJob,
    wait: JobWait,
) -> Result<Response, Problem> {
    let answers = api.engine.enqueue_within(vec![job], wait.scope.restricted().as_deref()).await?;
    let Some(answer) = answers.first() else {
        let detail = "the store returned no result for the job";
        return Err(ServerFault::Internal.problem(detail));
    };
    // The job is stored, so an error during the wait is no answer to the submission.
    if !wait.wait.is_zero()
        && let Ok((job, cursor)) = until_final(api, answer.job().id, wait).await
    {
        let view = match answer {
            Enqueued::New(_) => JobView::of(&job),
            Enqueued::Existing(_) => JobView::of(&job).existing(),
        };
        let is_final = job.status.state.is_final();
        let status = if is_final { StatusCode::OK } else { StatusCode::ACCEPTED };
        return Ok((status, location(address, answer), json(&view.at(cursor))).into_response());
    }
    let status = match answer {
        Enqueued::New(_) => StatusCode::ACCEPTED,
        Enqueued::Existing(_) => StatusCode::OK,
    };
    let response = (status, location(address, answer), json(&row(answer)));
    Ok(response.into_response())
}

/// Refuses a job outside of the scope of restricted credentials.
fn check(scope: &JobScope, job: &NewJob) -> Result<(), Problem> {
    scope.check_submission(&job.labels.queue, &job.labels.kind)
}

/// Reads all jobs of an array, at most `max`, or names the invalid fields of all of them.
pub fn read_batch(body: &[u8], kinds: &Kinds, max: usize) -> Result<Vec<NewJob>, Problem> {
    // Counted before they are parsed: many small jobs take much more memory than their text.
    let count = run_blocking(body.len(), || elements(body));
    if count > max {
        return Err(too_many(count, max));
    }
    let text = json_text(body)?;
    run_blocking(body.len(), || {
        let elements = items(text).unwrap_or_default();
        if elements.is_empty() {
            return Err(Problem::invalid_field("", "the array is empty"));
        }
        let (mut jobs, mut errors) = (Vec::with_capacity(elements.len()), Vec::new());
        for (at, element) in elements.into_iter().enumerate() {
            match Submission::parse(element, kinds) {
                Ok(job) => jobs.push(job),
                Err(invalid) => errors.extend(invalid.into_iter().map(|error| (at, error))),
            }
        }
        if errors.is_empty() { Ok(jobs) } else { Err(Problem::invalid_batch(errors)) }
    })
}

async fn submit_many(api: &Api, scope: &JobScope, jobs: Vec<NewJob>) -> Result<Response, Problem> {
    let is_one = jobs.len() == 1; // the engine cannot tell it from a job outside of an array
    let enqueued = api.engine.enqueue_within(jobs, scope.restricted().as_deref()).await;
    let answers = enqueued.map_err(|error| if is_one { error.of_job(0) } else { error })?;
    let jobs = answers.iter().map(row).collect();
    Ok((StatusCode::ACCEPTED, json(&SubmittedJobs { jobs })).into_response())
}

fn too_many(count: usize, limit: usize) -> Problem {
    let detail = format!("the array has {count} jobs; the limit is {limit}");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "batch_too_long", detail)
}

#[derive(Serialize)]
struct SubmittedJobs<'a> {
    jobs: Vec<JobRow<'a>>,
}

fn row(answer: &Enqueued) -> JobRow<'_> {
    match answer {
        Enqueued::New(job) => JobRow::of(job),
        Enqueued::Existing(job) => JobRow::of_existing(job),
    }
}

fn location(address: &Address, answer: &Enqueued) -> Option<[(HeaderName, HeaderValue); 1]> {
    let path = address.url(&format!("api/v1/jobs/{}", answer.job().id));
    HeaderValue::from_maybe_shared(bytes::Bytes::from(path))
        .ok()
        .map(|path| [(header::LOCATION, path)])
}
