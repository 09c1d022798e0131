//! `/api/v1/links`: creates, lists and revokes share links. Whoever may list a link is told its address, which also whoever
//! has it may use without credentials.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::fields::PathName;
use crate::access::{AccessTable, ShareLink, SharedPayload};
use crate::http::access::job_scope::JobScope;
use crate::http::access::share_links::{self, LinkOrigin, LinkRequest};
use crate::http::access::{Acting, Caller};
use crate::http::api::extract::{JsonBody, NoBody, NoQuery, read_fields};
use crate::http::api::idempotency::NoIdempotencyKey;
use crate::http::view::Displayed;
use crate::http::{Api, Problem, json};
use crate::job::fields::REQUIRED;
use crate::job::{Actor, FieldErrors, Fields, JobId, LinkSubject, QueueName, Time, parse_duration};

#[derive(Serialize)]
struct LinksView<'a> {
    links: Vec<LinkView<'a>>,
}

#[derive(Serialize)]
struct LinkView<'a> {
    id: &'a str,
    /// The job that it shows; null for a queue.
    job: Option<JobId>,
    /// The queue that it shows; null for a job.
    queue: Option<&'a QueueName>,
    /// `shown` or `hidden`; null for a queue.
    payload: Option<&'static str>,
    url: String,
    created_at: Displayed<Time>,
    expires_at: Displayed<Time>,
    created_by: Option<&'a Actor>,
}

impl<'a> LinkView<'a> {
    fn of(link: &'a ShareLink, table: &AccessTable, origin: &LinkOrigin) -> LinkView<'a> {
        let (job, queue) = match &link.subject {
            LinkSubject::Job(id) => (Some(*id), None),
            LinkSubject::Queue(queue) => (None, Some(queue)),
        };
        LinkView {
            id: link.id.as_str(),
            job,
            queue,
            payload: job.map(|_| link.payload.as_str()),
            url: origin.url(table, link),
            created_at: Displayed(link.created_at),
            expires_at: Displayed(link.expires_at),
            created_by: link.created_by.as_ref(),
        }
    }
}

/// Lists the live links, the newest first: `{"links"}`. Restricted credentials have those that they have created.
pub async fn list(
    State(api): State<Api>,
    Caller(caller): Caller,
    origin: LinkOrigin,
    _: NoQuery,
) -> Response {
    let table = api.engine.access_table().borrow().clone();
    let links = share_links::list(&api.engine, caller.as_ref());
    let links = links.iter().map(|link| LinkView::of(link, &table, &origin)).collect();
    json(&LinksView { links })
}

/// Creates a link, `{"job" or "queue","expires_in","payload"?}`, and answers 201 with it and its address.
pub async fn create(
    Acting(api): Acting<Api>,
    scope: JobScope,
    origin: LinkOrigin,
    _: NoQuery,
    _: NoIdempotencyKey,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let request = read_fields(&body, |fields, errors| {
        let subject = subject(fields, errors);
        let expires_in = expires_in(fields, errors);
        let payload = payload(fields, errors);
        Some(LinkRequest { subject: subject?, expires_in: expires_in?, payload: payload? })
    })?;
    let request = request.ok_or_else(|| Problem::invalid_field("job", REQUIRED))?;
    let link = share_links::create(&api.engine, &scope, request).await?;
    let table = api.engine.access_table().borrow().clone();
    Ok((StatusCode::CREATED, json(&LinkView::of(&link, &table, &origin))).into_response())
}

fn subject(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<LinkSubject> {
    let (job, queue) = (fields.text("job", errors), fields.text("queue", errors));
    match (job, queue) {
        (Some(id), None) => errors.take("job", id.parse()).map(LinkSubject::Job),
        (None, Some(name)) => {
            errors.take("queue", QueueName::stored(&name)).map(LinkSubject::Queue)
        }
        (Some(_), Some(_)) => {
            errors.add("queue", "cannot be given with job: a link shows one of them");
            None
        }
        (None, None) => {
            if errors.is_empty() {
                errors.add("job", "is required, or queue");
            }
            None
        }
    }
}

fn expires_in(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<Duration> {
    let text = fields.required_text("expires_in", errors)?;
    let accepted = || format!("must be a duration such as 1h or 7d, but is {text:?}");
    errors.take("expires_in", parse_duration(&text).map_err(|_| accepted()))
}

fn payload(fields: &mut Fields<'_>, errors: &mut FieldErrors) -> Option<SharedPayload> {
    match fields.text("payload", errors) {
        Some(text) => errors.take("payload", text.parse()),
        None => Some(SharedPayload::Shown),
    }
}

/// Revokes a link: its address opens nothing any more, and what it has opened ends. Answers 204.
pub async fn revoke(
    Acting(api): Acting<Api>,
    Caller(caller): Caller,
    _: NoQuery,
    PathName(id): PathName,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    share_links::revoke(&api.engine, caller.as_ref(), &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
