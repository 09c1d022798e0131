//! Passes committed events from the store to all subscribers, and counts the subscribers.

pub mod batch;
pub mod completion_waiters;
pub mod event_pump;
pub mod subscriber_counts;
