//! The verbs for statistics: activity, failure groups, workers and limits. All of it is in memory; nothing here
//! scans jobs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::attempt_sample::SampledAttempt;
use super::coverage::Period;
use super::failures::{FailureGroup, FailureList};
use super::histogram::Latency;
use super::history::{Activity, HistoryPoint};
use super::latency_totals::{HistogramTotals, LatencyTotals};
use super::meter::Rates;
use super::schedule_runs::ScheduleRun;
use super::system_samples::SystemSample;
use crate::engine::attempts::leases::EndRequest;
use crate::engine::{ControlError, Engine, EngineConfig, QueueStats, SubscriberCounts};
use crate::job::{
    Concurrency, Cursor, EventType, Job, JobId, Kind, QueueName, RateLimit, RateRule, ScheduleName,
    Time,
};
use crate::store::{ConfiguredLimits, HistorySeries};

/// The running attempts.
#[derive(Debug, Clone, PartialEq)]
pub struct Workers {
    /// The oldest attempts.
    pub attempts: Vec<HeldAttempt>,
    /// The number of all running attempts.
    pub total: usize,
    /// The number of attempts that no longer hold a lease but are still running.
    pub lingering: usize,
}

/// A running attempt of this process.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldAttempt {
    /// The job as it was claimed.
    pub job: Arc<Job>,
    /// When the attempt started.
    pub started_at: Time,
    /// When its lease was taken or last extended.
    pub heartbeat_at: Time,
    /// When the lease expires unless it is extended.
    pub lease_until: Time,
    /// Whether it was asked to end.
    pub is_ending: bool,
}

/// The limits of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueView {
    /// How many attempts may run at once over all workers; `None` when the queue has no limit.
    pub concurrency: Option<usize>,
    /// How many of them may run in this process.
    pub slots: usize,
    /// The configured concurrency limit; `None` when the configuration sets none.
    pub configured: Option<usize>,
    /// Its share when queues compete for the last slots.
    pub weight: u32,
    /// The rate limit.
    pub rate_limit: Option<RateLimit>,
    /// The configured rate limit.
    pub configured_rate_limit: Option<RateLimit>,
}

impl Engine {
    /// The last five minutes of a queue by seconds; empty when nothing happened in it, and `None` when too many
    /// other queues have been active to keep its history.
    pub fn recent(&self, queue: &QueueName) -> Option<Vec<HistoryPoint>> {
        let now = self.parts.clock.now();
        let meter = &mut self.parts.observed.lock().meter;
        let series = HistorySeries::Queue(queue.clone());
        meter.knows_recent(queue, now).then(|| meter.points(&series, now))
    }

    /// The same of a kind.
    pub fn recent_of_kind(&self, kind: &Kind) -> Option<Vec<HistoryPoint>> {
        let now = self.parts.clock.now();
        let meter = &mut self.parts.observed.lock().meter;
        let series = HistorySeries::Kind(kind.clone());
        meter.knows_kind(kind, now).then(|| meter.points(&series, now))
    }

    /// What happened in each queue in the last five minutes; idle queues are left out.
    pub fn queue_activity(&self) -> HashMap<QueueName, Activity> {
        self.parts.observed.lock().meter.activity(self.parts.clock.now())
    }

    /// A sample of the attempts of all workers that run or ended after `from`, by their start, each with how many attempts it
    /// stands for, and the cursor up to which it is complete. It reaches back ten minutes at most.
    pub fn attempt_sample(&self, from: Time) -> (Vec<(SampledAttempt, u32)>, Cursor) {
        let head = self.head();
        let time = self.now().since(from);
        let observed = self.parts.observed.lock();
        let cursor = Cursor { seq: observed.seq.min(head.seq), ..head };
        let [recent, all] = &observed.attempts;
        let sample = if time <= recent.kept() { recent } else { all };
        (sample.since(from), cursor)
    }

    /// The newest runs of these schedules, oldest first, and the position in the log up to which they are known. They are
    /// in memory, so this reads nothing, however many jobs there are.
    pub fn schedule_runs(&self, names: &[&ScheduleName]) -> (Vec<Vec<ScheduleRun>>, Cursor) {
        let head = self.head();
        let observed = self.parts.observed.lock();
        let cursor = Cursor { seq: observed.seq.min(head.seq), ..head };
        (names.iter().map(|name| observed.rollup.schedule_runs.of(name)).collect(), cursor)
    }

    /// The periods for which the history has data, oldest first.
    pub fn history_periods(&self) -> Vec<Period> {
        let now = self.parts.clock.now();
        self.parts.observed.lock().coverage.periods(now)
    }

    /// The current rates, how long jobs were available before they started, and how long attempts ran.
    pub fn rates(&self) -> (Rates, Option<Latency>, Option<Latency>) {
        let recent = self.parts.observed.lock().meter.recent(self.parts.clock.now());
        (recent.rates, recent.wait, recent.run)
    }

    /// How long jobs were available before they started, and how long attempts ran, since the start of this process.
    pub fn latency_totals(&self) -> (LatencyTotals, LatencyTotals) {
        let observed = self.parts.observed.lock();
        (observed.waits.clone(), observed.runs.clone())
    }

    /// What was measured in the last 30 minutes, oldest first.
    pub fn system_samples(&self) -> Vec<SystemSample> {
        self.parts.system_samples.all()
    }

    /// How long it took until submitted jobs were durable, since the start of this process.
    pub fn enqueue_times(&self) -> HistogramTotals {
        self.parts.enqueue_times.histogram()
    }

    /// The failure groups that failed last, at most `max`.
    pub fn failures(&self, max: usize) -> FailureList {
        self.parts.observed.lock().failures.list(max, self.parts.clock.now())
    }

    /// A failure group by its id.
    pub fn failure_group(&self, id: &str) -> Option<FailureGroup> {
        let id = u64::from_str_radix(id, 16).ok()?;
        self.parts.observed.lock().failures.group(id, self.parts.clock.now())
    }

    /// The jobs of a failure group after a given one, ordered by id: at most `max`, and where the next step
    /// starts; `None` when there are no more.
    pub fn failure_members(
        &self,
        group: &str,
        after: Option<JobId>,
        max: usize,
    ) -> (Vec<JobId>, Option<JobId>) {
        self.parts.observed.failure_members(group, after, max)
    }

    /// The jobs of a failure group that were submitted last, at most `max`. Of very many failed jobs only the newest are
    /// looked at.
    pub fn newest_failures(&self, group: &str, max: usize) -> Vec<JobId> {
        self.parts.observed.newest_failures(group, max)
    }

    /// The running attempts with their leases: the oldest ones, at most `max`.
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

    /// The number of events of each type since the start of this process.
    pub fn event_counts(&self) -> Vec<(EventType, u64)> {
        let observed = self.parts.observed.lock();
        EventType::ALL.into_iter().zip(observed.event_counts).collect()
    }

    /// When this process and others on the same store started, oldest first; the store keeps a few of these times.
    pub fn starts(&self) -> Vec<Time> {
        self.parts.store.starts()
    }

    /// When this process opened the store.
    pub fn started_at(&self) -> Option<Time> {
        self.parts.store.started_at()
    }

    /// Sets the concurrency limit of a queue, which also applies after a restart; `None` restores the configured one.
    /// Running attempts continue.
    pub async fn set_concurrency(
        &self,
        queue: QueueName,
        concurrency: Option<Concurrency>,
    ) -> Result<(), ControlError> {
        self.parts.queue_limits.set_concurrency(queue, concurrency, self.actor.clone()).await
    }

    /// Sets the rate limit of a queue, which also applies after a restart; `None` restores the configured one.
    /// Recent starts count for the new limit.
    pub async fn set_rate_limit(
        &self,
        queue: QueueName,
        rule: Option<RateRule>,
    ) -> Result<(), ControlError> {
        self.parts.queue_limits.set_rate_limit(queue, rule, self.actor.clone()).await
    }
}

impl EngineConfig {
    /// The counters of a queue that the store does not know: it has nothing but its configuration.
    pub fn unused_queue(&self, name: &QueueName) -> QueueStats {
        let config = self.of_queue(name);
        let (concurrency, rate_limit) = (config.limit, config.rate_limit);
        let configured = ConfiguredLimits { concurrency, rate_limit };
        QueueStats { configured, concurrency, ..QueueStats::default() }
    }

    /// The limits of a queue with these counters.
    pub fn queue_view(&self, name: &QueueName, stats: &QueueStats) -> QueueView {
        let config = self.of_queue(name);
        let configured_rate_limit = stats.configured.rate_limit;
        QueueView {
            concurrency: stats.concurrency.map(Concurrency::get),
            slots: stats.settings.concurrency.unwrap_or(config.concurrency).get(),
            configured: stats.configured.concurrency.map(Concurrency::get),
            weight: config.weight,
            rate_limit: stats.settings.rate_limit.map_or(configured_rate_limit, RateRule::limit),
            configured_rate_limit,
        }
    }
}

fn before(now: Time, ago: Duration) -> Time {
    Time::from_millis(now.millis().saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(0)))
}
