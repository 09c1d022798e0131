//! A queue as a row. The home page and the list of queues share it; `static/dashboard.js` updates such rows.

use std::time::Duration;

use crate::engine::{Engine, HistoryPoint, IntervalCounts, QueueStats};
use crate::job::{QueueName, RateLimit, State, Time};

use super::filters::{count, percent, rate};
use super::spark::{Spark, spark};
use super::time_format::{TimeText, length};

/// The values that a row and the page of a queue show.
pub struct QueueRow {
    /// The name.
    pub name: String,
    /// The number of available jobs.
    pub available: u64,
    /// The number of scheduled and retryable jobs.
    pub later: u64,
    /// The number of running attempts.
    pub running: u64,
    /// The number of attempts that may run at once over all workers; `None` when there is no limit.
    pub concurrency: Option<usize>,
    /// The number of attempts that may run at once in this process.
    pub slots: usize,
    /// What the configuration says about the concurrency, when it was overridden.
    pub configured: Option<String>,
    /// The weight of the queue when queues compete for slots.
    pub weight: u32,
    /// The rate limit as it is typed; empty when there is none.
    pub rate_limit: String,
    /// The rate limit in words.
    pub often: Option<String>,
    /// The configured rate limit in words, when it was overridden.
    pub configured_often: Option<String>,
    /// Whether the queue is paused.
    pub paused: bool,
    /// Since when the oldest available job has been waiting.
    pub waiting_since: Option<TimeText>,
    /// How long the oldest available job has been waiting.
    pub waited: String,
    /// The completed jobs per second, averaged over five seconds; a dash when no history is kept.
    pub per_second: String,
    /// The share of attempts that failed in the last five minutes; a dash when no history is kept.
    pub failing: String,
    /// The sparkline of the last five minutes; `None` when no history of this queue is kept.
    pub spark: Option<Spark>,
}

impl QueueRow {
    /// Builds the row of a queue with these counters.
    pub fn of(name: &QueueName, stats: &QueueStats, engine: &Engine, now: Time) -> Self {
        QueueRow::with_recent(name, stats, engine, engine.recent(name), now)
    }

    /// Builds the row of a queue as it was at `now`, without rates, which are known of the present only.
    pub fn of_past(name: &QueueName, stats: &QueueStats, engine: &Engine, now: Time) -> Self {
        QueueRow::with_recent(name, stats, engine, None, now)
    }

    fn with_recent(
        name: &QueueName,
        stats: &QueueStats,
        engine: &Engine,
        recent: Option<Vec<HistoryPoint>>,
        now: Time,
    ) -> Self {
        let jobs = |state| stats.states.get(&state).copied().unwrap_or(0);
        let run = engine.config().queue_view(name, stats);
        let points = recent.as_deref().unwrap_or_default();
        let sum = |count: fn(&IntervalCounts) -> u32| -> u64 {
            points.iter().map(|point| u64::from(count(&point.counts))).sum()
        };
        let (completed, failed) = (sum(|counts| counts.completed), sum(|counts| counts.failed));
        let last_seconds = points.iter().filter(|point| now.since(point.at).as_secs() <= 5);
        let newly_completed: u32 = last_seconds.map(|point| point.counts.completed).sum();
        QueueRow {
            name: name.to_string(),
            available: jobs(State::Available),
            later: jobs(State::Scheduled) + jobs(State::Retryable),
            running: jobs(State::Running),
            concurrency: run.concurrency,
            slots: run.slots,
            configured: stats.settings.concurrency.map(|_| match run.configured {
                Some(limit) => format!("the configured value is {}", count(limit as u64)),
                None => "the configuration sets no limit".to_owned(),
            }),
            weight: run.weight,
            rate_limit: run.rate_limit.map_or_else(String::new, |limit| limit.to_string()),
            often: run.rate_limit.as_ref().map(RateLimit::in_words),
            configured_often: stats.settings.rate_limit.map(|_| match run.configured_rate_limit {
                Some(limit) => format!("allows {}", limit.in_words()),
                None => "sets no limit".to_owned(),
            }),
            paused: stats.settings.paused,
            waiting_since: stats.waiting_since.map(|since| TimeText::new(since, now)),
            waited: stats.waiting_since.map_or_else(String::new, |since| {
                length(Duration::from_secs(now.since(since).as_secs()))
            }),
            per_second: recent
                .as_ref()
                .map_or_else(|| "–".to_owned(), |_| rate(f64::from(newly_completed) / 5.0)),
            failing: percent(failed, completed + failed),
            spark: recent.map(|points| spark(&points, &engine.history_periods(), now)),
        }
    }

    /// What the queue is doing, as a sentence.
    pub fn situation(&self) -> String {
        let (running, available) = (self.running, self.available);
        let jobs = |n: u64| if n == 1 { "1 job".into() } else { format!("{} jobs", count(n)) };
        if self.paused && running > 0 {
            let are = if running == 1 { "is" } else { "are" };
            format!(
                "Paused. {} {are} still running. No more jobs will start until the queue is resumed.",
                jobs(running)
            )
        } else if self.paused {
            "Paused. No jobs are running, and none will start until the queue is resumed."
                .to_owned()
        } else if available > 0
            && let Some(limit) = self.concurrency.filter(|limit| running >= *limit as u64)
        {
            let slots = match limit {
                1 => "The only slot is".to_owned(),
                2 => "Both slots are".to_owned(),
                slots => format!("All {} slots are", count(slots as u64)),
            };
            let are = if available == 1 { "is" } else { "are" };
            format!("{slots} busy; {} {are} waiting.", jobs(available))
        } else {
            let (running, available, later) = (count(running), count(available), count(self.later));
            format!("{running} running, {available} available, {later} scheduled or retryable.")
        }
    }

    /// The status: `active`, `draining`, or `paused` once a paused queue has no running attempts.
    pub fn status(&self) -> &'static str {
        match (self.paused, self.running) {
            (false, _) => "active",
            (true, 0) => "paused",
            (true, _) => "draining",
        }
    }
}
