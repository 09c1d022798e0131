//! `/api/v1/kinds`: the kinds of which jobs can be submitted. [`KindSubmission`] is the body that declares one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::{JsonBody, NoBody, NoQuery, PathKind, json_text};
use crate::engine::{KindSource, KindSubmission, KnownKind, run_blocking};
use crate::http::access::Acting;
use crate::http::access::job_scope::JobScope;
use crate::http::view::{Displayed, RetryView};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Kind, QueueName};

#[derive(Serialize)]
struct KindsView<'a> {
    kinds: Vec<KindView<'a>>,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
struct KindView<'a> {
    kind: &'a str,
    /// `built_in`, `config`, `api` or `worker`.
    source: &'static str,
    about: &'a str,
    example: Box<RawValue>,
    /// The retry policy of its jobs when the submission does not say.
    retry: RetryView,
    /// The queue of its jobs when the submission does not say.
    queue: QueueName,
    /// The timeout of an attempt when the submission does not say; null means that of the server.
    timeout_ms: Option<u64>,
    /// How many workers run its jobs now.
    workers: usize,
    /// The JSON Schema of its payloads, if it declares one.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Box<RawValue>>,
}

impl<'a> KindView<'a> {
    /// The view of a kind that this many workers in other processes run.
    fn of(known: &'a KnownKind, remote: usize) -> KindView<'a> {
        let KnownKind { info, source, defaults } = known;
        KindView {
            kind: info.kind.as_str(),
            source: source.as_str(),
            about: &info.about,
            example: info.example.raw(),
            retry: RetryView::of(known.retry()),
            queue: defaults.queue(),
            timeout_ms: defaults.timeout_ms,
            // This process is a worker of its own kinds.
            workers: usize::from(*source == KindSource::BuiltIn) + remote,
            schema: info.schema.as_ref().map(|schema| schema.source().raw()),
        }
    }
}

/// Lists the kinds by name: `{"kinds": [{"kind","source","about","example","retry","queue","timeout_ms","workers","schema"?}],
/// "cursor"}`. Restricted credentials are told only about the kinds that they may submit.
pub async fn list(State(api): State<Api>, scope: JobScope, _: NoQuery) -> Response {
    let cursor = Displayed(api.engine.head());
    let mut known = api.engine.kinds().all();
    known.retain(|known| scope.allows_kind(&known.info.kind));
    let remote = api.engine.workers_by_kind();
    let view = |known| KindView::of(known, remote.get(&known.info.kind).copied().unwrap_or(0));
    run_blocking(known.len() * 1_024, || {
        json(&KindsView { kinds: known.iter().map(view).collect(), cursor })
    })
}

/// Returns one kind.
pub async fn get(
    State(api): State<Api>,
    scope: JobScope,
    _: NoQuery,
    PathKind(kind): PathKind,
) -> Result<Response, Problem> {
    if !scope.allows_kind(&kind) {
        return Err(Problem::no_such_kind(&kind));
    }
    kind_response(&api, &kind)
}

/// Declares a kind, or changes what is declared about it, and returns it.
pub async fn put(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathKind(kind): PathKind,
    JsonBody(body): JsonBody,
) -> Result<Response, Problem> {
    let (text, limits) = (json_text(&body)?, api.engine.config().json);
    let spec = run_blocking(body.len(), || KindSubmission::parse(&kind, text, limits));
    api.engine.set_kind(kind.clone(), spec.map_err(Problem::invalid_fields)?).await?;
    kind_response(&api, &kind)
}

/// Deletes the declaration of a kind. Its jobs stay. Answers 204.
pub async fn delete(
    Acting(api): Acting<Api>,
    _: NoQuery,
    PathKind(kind): PathKind,
    _: NoBody,
) -> Result<StatusCode, Problem> {
    api.engine.delete_kind(kind).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn kind_response(api: &Api, kind: &Kind) -> Result<Response, Problem> {
    let known = api.engine.kinds().find(kind).ok_or_else(|| Problem::no_such_kind(kind))?;
    Ok(json(&KindView::of(&known, api.engine.workers_of_kind(kind))))
}
