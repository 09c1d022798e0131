//! From the store's log to everyone who follows it.

pub mod batch;
pub mod completion_waiters;
pub mod event_pump;
pub mod subscriber_counts;
