//! The public JSON shapes of jobs and events. Each name here is a promise to programs and pages;
//! field order is the order of writing, times are RFC 3339 with milliseconds.

use serde::{Serialize, Serializer};

use crate::job::{Event, Job};

mod event;
mod job;
mod template;

pub use event::{EventView, FailureView, LineView, ProgressView};
pub use template::JobTemplate;

pub use job::{JobRow, JobView, LogView, NumberedView, StatusView, outcome_word};

/// One event as every door of the stream writes it:
/// `{"seq","at","type","job":{"id","queue","kind","state","attempt","tags"}, …}` or
/// `{"seq","at","type":"queue.paused","queue"}`; never the payload, never the result.
pub fn event_json(event: &Event) -> String {
    to_json(&EventView::of(event))
}

/// Everything known of one job but its log; see [`JobView`].
pub fn job_json(job: &Job) -> String {
    to_json(&JobView::of(job))
}

/// Writes a view. The views of this folder have string keys only, so writing them cannot fail.
pub fn to_json<T: Serialize>(view: &T) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// A value that shows itself as text: times, cursors, states, types.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

/// Whole milliseconds, as JSON has them.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "../tests/view.rs"]
mod tests;
