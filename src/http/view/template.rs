//! The job that a schedule enqueues, as JSON with the fields of a submission.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::job::{BackoffView, shown_payload};
use crate::job::{Labels, QueueName, Spec, Tag};

/// The template of a job: `{"kind","payload","queue","priority","max_attempts","backoff","timeout_ms","tags"}`.
#[derive(Debug, Serialize)]
pub struct JobTemplate<'a> {
    kind: &'a str,
    payload: Cow<'a, RawValue>,
    queue: &'a QueueName,
    priority: i16,
    max_attempts: u16,
    backoff: BackoffView,
    timeout_ms: Option<u64>,
    tags: &'a [Tag],
}

impl<'a> JobTemplate<'a> {
    /// Creates the view of the labels and the spec of a job.
    pub fn of(labels: &'a Labels, spec: &'a Spec) -> Self {
        JobTemplate {
            kind: labels.kind.as_str(),
            payload: shown_payload(&labels.kind, &spec.payload),
            queue: &labels.queue,
            priority: spec.priority,
            max_attempts: spec.retry.max_attempts,
            backoff: BackoffView::of(spec.retry.backoff),
            timeout_ms: spec.timeout_ms,
            tags: &labels.tags,
        }
    }
}
