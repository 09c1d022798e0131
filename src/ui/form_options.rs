//! The options of a job as a form shows them.

use crate::job::{Labels, RetryPolicy, Spec};

use super::submit_form::written;

/// What was chosen; empty where it is as usual.
pub(super) struct FormOptions {
    pub queue: String,
    pub priority: String,
    pub max_attempts: String,
    pub backoff_base: String,
    pub backoff_cap: String,
    pub timeout: String,
    pub tags: String,
}

impl FormOptions {
    /// Those of a job that was made, or will be.
    pub(super) fn of(labels: &Labels, spec: &Spec) -> FormOptions {
        let (retry, usual) = (spec.retry, RetryPolicy::default());
        let unless = |is_usual: bool, text: String| if is_usual { String::new() } else { text };
        let (backoff, usual_backoff) = (retry.backoff, usual.backoff);
        let tags: Vec<&str> = labels.tags.iter().map(|tag| tag.as_str()).collect();
        FormOptions {
            queue: unless(labels.queue.as_str() == "default", labels.queue.to_string()),
            priority: unless(spec.priority == 0, spec.priority.to_string()),
            max_attempts: unless(
                retry.max_attempts == usual.max_attempts,
                retry.max_attempts.to_string(),
            ),
            backoff_base: unless(
                backoff.base_ms == usual_backoff.base_ms,
                written(backoff.base_ms),
            ),
            backoff_cap: unless(backoff.cap_ms == usual_backoff.cap_ms, written(backoff.cap_ms)),
            timeout: spec.timeout_ms.map(written).unwrap_or_default(),
            tags: tags.join(", "),
        }
    }
}
