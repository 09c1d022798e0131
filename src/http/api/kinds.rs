//! `GET /api/v1/kinds`: the job kinds that this server can run.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::extract::NoQuery;
use crate::http::access::job_scope::JobScope;
use crate::http::view::{Displayed, RetryView};
use crate::http::{Api, json};
use crate::job::Cursor;

#[derive(Serialize)]
struct KindsView<'a> {
    kinds: Vec<KindView<'a>>,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
struct KindView<'a> {
    kind: &'a str,
    about: &'a str,
    example: Box<RawValue>,
    /// The retry policy of its jobs when the submission does not say.
    retry: RetryView,
    /// The JSON Schema of its payloads, if it declares one.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<Box<RawValue>>,
}

/// Lists the kinds: `{"kinds": [{"kind","about","example","retry","schema"?}], "cursor"}`.
/// Restricted credentials are told only about the kinds that they may submit.
pub async fn list(State(api): State<Api>, scope: JobScope, _: NoQuery) -> Response {
    let cursor = Displayed(api.engine.head());
    let kinds = api.engine.kinds().into_iter().filter(|info| scope.allows_kind(&info.kind));
    let kinds = kinds.map(|info| KindView {
        kind: info.kind.as_str(),
        about: &info.about,
        example: info.example.raw(),
        retry: RetryView::of(info.kind.default_retry()),
        schema: info.schema.as_ref().map(|schema| schema.source().raw()),
    });
    json(&KindsView { kinds: kinds.collect(), cursor })
}
