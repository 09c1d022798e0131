//! Settings that belong together, for the builder.

use std::time::Duration;

use crate::config::SettingValue;

/// How jobs of one queue run, for [`Builder::queue`](crate::Builder::queue). What is not set is that of `[engine]`.
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct QueueOptions {
    settings: Vec<(&'static str, SettingValue)>,
}

impl QueueOptions {
    /// Options that change nothing.
    pub fn new() -> Self {
        QueueOptions::default()
    }

    /// Sets the most attempts of the queue that run at once, in this process and in all workers together: from 1 to 1,000,000.
    pub fn concurrency(self, attempts: usize) -> Self {
        self.with("concurrency", attempts)
    }

    /// Sets the queue's share of free slots when queues compete for them: twice the weight gets twice the share.
    pub fn weight(self, weight: u32) -> Self {
        self.with("weight", weight)
    }

    /// Sets the most attempts that may start within any such period, such as `100/1m`.
    pub fn rate_limit(self, limit: &str) -> Self {
        self.with("rate_limit", limit)
    }

    fn with(mut self, name: &'static str, value: impl Into<SettingValue>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// The settings below `queues.NAME`.
    pub(super) fn into_settings(self) -> Vec<(&'static str, SettingValue)> {
        self.settings
    }
}

/// How long, and how many, finished jobs and events are kept, for [`Builder::retention`](crate::Builder::retention). Beyond
/// either limit the oldest are deleted. What is not set keeps its default.
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until a builder has them"]
pub struct RetentionOptions {
    settings: Vec<(&'static str, &'static str, SettingValue)>,
}

impl RetentionOptions {
    /// Options that change nothing.
    pub fn new() -> Self {
        RetentionOptions::default()
    }

    /// Keeps completed jobs up to this age and this number.
    pub fn completed(self, age: Duration, count: u64) -> Self {
        self.with("completed", age, count)
    }

    /// Keeps cancelled jobs up to this age and this number.
    pub fn cancelled(self, age: Duration, count: u64) -> Self {
        self.with("cancelled", age, count)
    }

    /// Keeps discarded jobs, those of which no attempt succeeded, up to this age and this number.
    pub fn discarded(self, age: Duration, count: u64) -> Self {
        self.with("discarded", age, count)
    }

    /// Keeps events up to this age and this number. A subscriber that was away for longer gets a gap.
    pub fn events(self, age: Duration, count: u64) -> Self {
        self.with("events", age, count)
    }

    fn with(mut self, part: &'static str, age: Duration, count: u64) -> Self {
        self.settings.push((part, "age", age.into()));
        self.settings.push((part, "count", count.into()));
        self
    }

    /// The settings below `retention`: the part, the name and the value.
    pub(super) fn into_settings(self) -> Vec<(&'static str, &'static str, SettingValue)> {
        self.settings
    }
}
