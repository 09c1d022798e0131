//! The public JSON shapes of jobs and events. Each name here is a promise to programs and pages;
//! field order is the order of writing, times are RFC 3339 with milliseconds.

mod encode;
mod event;
mod job;
mod series;
mod stats;
mod template;

pub(crate) use encode::millis;
pub use encode::{Shown, to_json};
pub use event::{EventView, FailureView, LineView, ProgressView, event_json};
pub use job::{JobRow, JobView, LogView, NumberedView, StatusView, job_json, outcome_word};
pub(crate) use series::PointView;
pub(crate) use stats::{QueueView, StatsView, pulse_json, queue_views, stats_view};
pub use template::JobTemplate;

#[cfg(test)]
#[path = "../tests/view.rs"]
mod tests;
