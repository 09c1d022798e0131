//! One queue as a row: home and the list of queues share it, and so does the script that patches rows.

use crate::engine::{Engine, QueueStats, Stats};
use crate::job::{QueueName, RateLimit, State, Time};

use super::chart::{Spark, spark};
use super::filters::{group, percent, rate};
use super::time_format::{TimeText, length};

/// What a row shows.
pub struct QueueRow {
    /// The queue.
    pub name: String,
    /// Jobs that are ready to run.
    pub available: u64,
    /// Jobs that wait for their time.
    pub later: u64,
    /// Attempts under way.
    pub running: u64,
    /// How many attempts may run at once.
    pub concurrency: usize,
    /// What the configuration says, when somebody set another number.
    pub configured: Option<usize>,
    /// Its share when queues compete for the last slots.
    pub weight: u32,
    /// How often attempts may begin, as it is typed; empty when there is no limit.
    pub rate_limit: String,
    /// The same in words.
    pub often: Option<String>,
    /// What the configuration says, in words, when somebody set another rate.
    pub configured_often: Option<String>,
    /// Whether claims are held back.
    pub paused: bool,
    /// Since when the job that waits longest is ready.
    pub waiting_since: Option<TimeText>,
    /// Completed per second, over the last seconds.
    pub per_second: String,
    /// The share of attempts that failed in the last five minutes.
    pub failing: String,
    /// The last five minutes.
    pub spark: Spark,
}

impl QueueRow {
    /// The row of a queue with these counters.
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
            configured: stats.concurrency.is_some().then_some(run.configured),
            weight: run.weight,
            rate_limit: run.rate_limit.map_or_else(String::new, |limit| limit.to_string()),
            often: run.rate_limit.map(often),
            configured_often: stats.rate_limit.map(|_| match run.configured_rate_limit {
                Some(limit) => format!("allows {}", often(limit)),
                None => "sets no limit".to_owned(),
            }),
            paused: stats.paused,
            waiting_since: stats.waiting_since.map(|since| TimeText::new(since, now)),
            per_second: rate(lately as f64 / 5.0),
            failing: percent(failed, completed + failed),
            spark: spark(&recent, now),
        }
    }

    /// The rows of all queues by name, at most `max`.
    pub fn all(stats: &Stats, engine: &Engine, now: Time, max: usize) -> Vec<QueueRow> {
        let queues = stats.queues.iter().take(max);
        queues.map(|(name, queue)| QueueRow::of(name, queue, engine, now)).collect()
    }

    /// `drained` when it is paused and nothing of it runs any more.
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
