//! The public JSON of jobs, events and counters. Programs and pages depend on every name in it. Fields are written in
//! the order of their declaration, and times are RFC 3339 with milliseconds.

mod encode;
mod event;
mod job;
mod series;
mod shared_event;
mod stats;
mod template;

pub(crate) use encode::millis;
pub use encode::{Displayed, to_json};
pub use event::{EventView, event_json};
pub use job::{JobRow, JobView, LogView, NumberedLineView, RetryView, StatusView};
pub(crate) use series::PointView;
pub use shared_event::{PolledEvent, SharedEventView, shared_event_json};
pub(crate) use stats::{
    QueueStatsView, StatsMessage, StatsView, queue_views, stats_message, stats_message_view,
    stats_view,
};
pub use template::JobTemplate;

#[cfg(test)]
#[path = "../tests/view.rs"]
mod tests;
