//! A queue as a row. The home page and the list of queues share it; `static/dashboard.js` updates such rows.

use crate::engine::{Engine, QueueStats, Stats};
use crate::job::{QueueName, RateLimit, State, Time};

use super::chart::{Spark, spark};
use super::filters::{group, percent, rate};
use super::time_format::{TimeText, length};

/// The values that a row and the page of a queue show.
pub struct QueueRow {
    /// The name.
    pub name: String,
    /// The number of jobs that are ready to run.
    pub available: u64,
    /// The number of scheduled and retryable jobs.
    pub later: u64,
    /// The number of running attempts.
    pub running: u64,
    /// The number of attempts that may run at once.
    pub concurrency: usize,
    /// The configured concurrency, when it was overridden.
    pub configured: Option<usize>,
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
    /// The time since which the oldest ready job waits.
    pub waiting_since: Option<TimeText>,
    /// The completed jobs per second, averaged over five seconds.
    pub per_second: String,
    /// The share of attempts that failed in the last five minutes.
    pub failing: String,
    /// The sparkline of the last five minutes.
    pub spark: Spark,
}

impl QueueRow {
    /// Builds the row of a queue with these counters.
    pub fn of(name: &QueueName, stats: &QueueStats, engine: &Engine, now: Time) -> Self {
        let count = |state| stats.states.get(&state).copied().unwrap_or(0);
        let run = engine.config().queue_view(name, stats);
        let recent = engine.recent(name);
        let (mut completed, mut failed, mut lately) = (0, 0, 0);
        let seconds_ago = |at: Time| now.since(at).as_secs();
        for point in &recent {
            completed += u64::from(point.counts.completed);
            failed += u64::from(point.counts.failed);
            if seconds_ago(point.at) <= 5 {
                lately += u64::from(point.counts.completed);
            }
        }
        QueueRow {
            name: name.to_string(),
            available: count(State::Available),
            later: count(State::Scheduled) + count(State::Retryable),
            running: count(State::Running),
            concurrency: run.concurrency,
            configured: stats.settings.concurrency.is_some().then_some(run.configured),
            weight: run.weight,
            rate_limit: run.rate_limit.map_or_else(String::new, |limit| limit.to_string()),
            often: run.rate_limit.map(often),
            configured_often: stats.settings.rate_limit.map(|_| match run.configured_rate_limit {
                Some(limit) => format!("allows {}", often(limit)),
                None => "sets no limit".to_owned(),
            }),
            paused: stats.settings.paused,
            waiting_since: stats.waiting_since.map(|since| TimeText::new(since, now)),
            per_second: rate(lately as f64 / 5.0),
            failing: percent(failed, completed + failed),
            spark: spark(&recent, now),
        }
    }

    /// Builds the rows of the first `max` queues by name.
    pub fn all(stats: &Stats, engine: &Engine, now: Time, max: usize) -> Vec<QueueRow> {
        let queues = stats.queues.iter().take(max);
        queues.map(|(name, queue)| QueueRow::of(name, queue, engine, now)).collect()
    }

    /// The status: `active`, `draining`, or `drained` once a paused queue has no running attempts.
    pub fn status(&self) -> &'static str {
        match (self.paused, self.running) {
            (false, _) => "active",
            (true, 0) => "drained",
            (true, _) => "draining",
        }
    }
}

fn often(limit: RateLimit) -> String {
    format!("{} starts per {}", group(&limit.starts.to_string()), length(limit.within))
}
