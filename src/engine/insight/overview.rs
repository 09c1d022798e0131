//! What people want to know of the running server: its history, what fails, who runs what, and how many
//! may. All of it is at hand; nothing here looks through jobs.

use std::sync::Arc;
use std::time::Duration;

use super::failures::{FailureGroup, FailureList};
use super::histogram::Latency;
use super::history::Point;
use super::latency_totals::LatencyTotals;
use super::meter::Rates;
use crate::engine::attempts::leases::EndRequest;
use crate::engine::{Engine, EngineConfig, EngineError, QueueStats, SubscriberCounts};
use crate::job::{EventType, Job, JobId, QueueName, RateLimit, RateRule, Time};

/// What happened lately, to the server or to one queue. Stretches in which nothing happened are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// When it was asked for, by the server's clock.
    pub now: Time,
    /// The last five minutes by the second, without the second under way.
    pub seconds: Vec<Point>,
    /// The last six hours by the minute, the minute under way so far among them.
    pub minutes: Vec<Point>,
    /// When this process and those before it started, oldest first.
    pub starts: Vec<Time>,
}

/// Who holds leases.
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// The attempts that began first.
    pub attempts: Vec<HeldAttempt>,
    /// How many there are.
    pub total: usize,
    /// Attempts that hold no lease any more and do not end.
    pub lingering: usize,
}

/// An attempt under way in this process.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldAttempt {
    /// The job as it was claimed.
    pub job: Arc<Job>,
    /// When the attempt began.
    pub started_at: Time,
    /// When its lease was taken or last extended.
    pub heartbeat_at: Time,
    /// When the lease runs out unless it is extended.
    pub lease_until: Time,
    /// Whether it was asked to end.
    pub is_ending: bool,
}

/// A queue as it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// How many attempts may run at once.
    pub concurrency: usize,
    /// What the configuration says.
    pub configured: usize,
    /// Its share when queues compete for the last slots.
    pub weight: u32,
    /// How often attempts may begin.
    pub rate_limit: Option<RateLimit>,
    /// What the configuration says.
    pub configured_rate_limit: Option<RateLimit>,
}

impl Engine {
    /// What happened lately: to the server, or to one queue.
    pub fn history(&self, queue: Option<&QueueName>) -> History {
        let now = self.parts.clock.now();
        let (seconds, minutes) = self.parts.observed.lock().meter.points(queue, now);
        History { now, seconds, minutes, starts: self.parts.store.starts() }
    }

    /// The last five minutes of a queue by the second; empty when nothing happened in it.
    pub fn recent(&self, queue: &QueueName) -> Vec<Point> {
        let now = self.parts.clock.now();
        self.parts.observed.lock().meter.points(Some(queue), now).0
    }

    /// What happened per second lately, and how long jobs waited and ran.
    pub fn rates(&self) -> (Rates, Option<Latency>, Option<Latency>) {
        let recent = self.parts.observed.lock().meter.recent(self.parts.clock.now());
        (recent.rates, recent.wait, recent.run)
    }

    /// How long jobs waited, and how long attempts ran, since the start of this process.
    pub fn latency_totals(&self) -> (LatencyTotals, LatencyTotals) {
        let observed = self.parts.observed.lock();
        (observed.waits.clone(), observed.runs.clone())
    }

    /// The groups of failures that failed last, at most `max`.
    pub fn failures(&self, max: usize) -> FailureList {
        self.parts.observed.lock().failures.list(max, self.parts.clock.now())
    }

    /// One group of failures, by its id.
    pub fn failure_group(&self, id: &str) -> Option<FailureGroup> {
        let id = u64::from_str_radix(id, 16).ok()?;
        self.parts.observed.lock().failures.group(id, self.parts.clock.now())
    }

    /// A step through the jobs of a group after one of them, by id: at most `max` ids, and where the next
    /// step begins; `None` when there are no more.
    pub fn failure_members(
        &self,
        group: &str,
        after: Option<JobId>,
        max: usize,
    ) -> (Vec<JobId>, Option<JobId>) {
        self.parts.observed.failure_members(group, after, max)
    }

    /// Who holds leases, and for which jobs: at most `max`, those that began first.
    pub fn workers(&self, max: usize) -> Workers {
        let leases = &self.parts.leases;
        let now = self.parts.clock.now();
        let (total, held) = leases.oldest(max);
        let attempts = held.into_iter().map(|running| {
            let (ago, left) = leases.age(&running);
            let started = running.job.history.last().map_or(now, |moment| moment.at);
            HeldAttempt {
                started_at: started,
                heartbeat_at: before(now, ago),
                lease_until: now.after(left),
                is_ending: running.end_request() != EndRequest::NotAsked,
                job: running.job.clone(),
            }
        });
        let attempts = attempts.collect();
        Workers { attempts, total, lingering: leases.lingering() }
    }

    /// The number of subscribers by transport.
    pub fn subscriber_counts(&self) -> &Arc<SubscriberCounts> {
        &self.parts.subscriber_counts
    }

    /// How many events of each type were committed since the start of this process.
    pub fn event_counts(&self) -> Vec<(EventType, u64)> {
        let observed = self.parts.observed.lock();
        EventType::ALL.into_iter().zip(observed.event_counts).collect()
    }

    /// When this process and those before it started, oldest first; the store remembers some.
    pub fn starts(&self) -> Vec<Time> {
        self.parts.store.starts()
    }

    /// Lets so many attempts of a queue run at once from now on, also after a restart; `None` is what the
    /// configuration says. Attempts that run already go on.
    pub async fn set_concurrency(
        &self,
        queue: QueueName,
        concurrency: Option<u32>,
    ) -> Result<(), EngineError> {
        Ok(self.parts.queue_settings.set_concurrency(queue, concurrency).await?)
    }

    /// Lets attempts of a queue begin so often from now on, also after a restart; `None` is what the
    /// configuration says. What has begun lately under a limit counts for the new one.
    pub async fn set_rate_limit(
        &self,
        queue: QueueName,
        rule: Option<RateRule>,
    ) -> Result<(), EngineError> {
        Ok(self.parts.queue_settings.set_rate_limit(queue, rule).await?)
    }
}

impl EngineConfig {
    /// How a queue with these counters is run.
    pub fn queue_view(&self, name: &QueueName, stats: &QueueStats) -> QueueView {
        let config = self.of_queue(name);
        QueueView {
            concurrency: stats.concurrency.map_or(config.concurrency, |set| set as usize),
            configured: config.concurrency,
            weight: config.weight,
            rate_limit: stats.rate_limit.map_or(config.rate_limit, RateRule::limit),
            configured_rate_limit: config.rate_limit,
        }
    }
}

fn before(now: Time, ago: Duration) -> Time {
    Time::from_millis(now.millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(0)))
}
