//! Processes every event once and in order, and keeps metrics and failure groups up to date. At the start it reads
//! earlier events and failed jobs in small steps.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::attempt_sample::AttemptSample;
use super::checkpoint::{Checkpoint, Checkpoints};
use super::coverage::Coverage;
use super::failures::Failures;
use super::latency_totals::LatencyTotals;
use super::meter::{Meter, TimedPhase};
use super::rollup::{self, Rollup};
use crate::clock::Clock;
use crate::engine::Batch;
use crate::job::{Cursor, Event, EventType, JobId, JobQuery, State, Time};
use crate::store::{
    Events, HistoryProgress, HistoryRow, HistorySeries, HistoryStep, Stats, Store, StoreError,
};
use crate::supervise::{Part, pass};

/// The most events of the log that are read at the start; about as many as its retention keeps.
const MAX_REPLAYED_EVENTS: u64 = 1_000_000;
/// Events that one read of the log may return.
const EVENTS_PER_READ: usize = 1_024;
/// Jobs on one page of the list that is read at the start.
const JOBS_PER_PAGE: usize = 250;
/// Jobs that are looked up in one round when some seem to have been removed without an event.
const JOBS_PER_RECONCILIATION: usize = 200;
/// Jobs of any failure group that one look for those of a group passes.
const MAX_EXAMINED: usize = 20_000;
/// The pause between two steps, which lets others use the store.
const STEP_DELAY: Duration = Duration::from_millis(2);
/// The wait before the store is asked again after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often the failure groups are compared with the store's counters.
const RECONCILIATION_INTERVAL: Duration = Duration::from_secs(2);

/// How long the samples of attempts reach back: a little longer than pages show, because events take a while to arrive.
const ATTEMPTS_KEPT: [Duration; 2] = [Duration::from_secs(70), Duration::from_secs(610)];

/// Metrics and failure groups.
pub struct Observed {
    observations: Mutex<Observations>,
}

/// Metrics and failure groups, up to the same event.
pub struct Observations {
    pub meter: Meter,
    /// The periods for which the meter has data.
    pub coverage: Coverage,
    pub failures: Failures,
    /// Samples of attempts that reach back for different times, the shortest first: over a shorter time, a sample of the same
    /// size has a larger share of them.
    pub attempts: [AttemptSample; 2],
    /// The number of the last event that was added. While earlier events are read, it is that of the last of them.
    pub seq: u64,
    /// What charts of hours and weeks show, as far as the store does not have it.
    pub rollup: Rollup,
    /// The counters at earlier moments.
    pub checkpoints: Checkpoints,
    /// The number of events of each type since the start, in the order of [`EventType::ALL`].
    pub event_counts: [u64; EventType::ALL.len()],
    /// How long jobs were available before they started, since the start.
    pub waits: LatencyTotals,
    /// How long attempts ran, since the start.
    pub runs: LatencyTotals,
}

impl Observed {
    /// Empty metrics, with histories of at most `max_each` queues, and as many kinds.
    pub fn new(now: Time, max_each: usize) -> Self {
        let event_counts = [0; EventType::ALL.len()];
        let (waits, runs) = Default::default();
        let (meter, coverage, failures) =
            (Meter::new(now, max_each), Coverage::new(now), Failures::new());
        let attempts = ATTEMPTS_KEPT.map(AttemptSample::new);
        let rollup = Rollup::new(max_each);
        let observations = Observations {
            meter,
            coverage,
            failures,
            attempts,
            seq: 0,
            rollup,
            checkpoints: Checkpoints::default(),
            event_counts,
            waits,
            runs,
        };
        Observed { observations: Mutex::new(observations) }
    }

    /// The jobs of a failure group after a given one, ordered by id: at most `max`, and where the next step
    /// starts; `None` when there are no more.
    pub fn failure_members(
        &self,
        group: &str,
        after: Option<JobId>,
        max: usize,
    ) -> (Vec<JobId>, Option<JobId>) {
        let Ok(id) = u64::from_str_radix(group, 16) else { return (Vec::new(), None) };
        self.lock().failures.members(id, after, max, MAX_EXAMINED)
    }

    /// The jobs of a failure group that were submitted last, at most `max`, among the newest of any group.
    pub fn newest_failures(&self, group: &str, max: usize) -> Vec<JobId> {
        let Ok(id) = u64::from_str_radix(group, 16) else { return Vec::new() };
        self.lock().failures.newest_members(id, max, MAX_EXAMINED)
    }

    pub fn lock(&self) -> MutexGuard<'_, Observations> {
        self.observations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop that processes events.
pub struct Observer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    observed: Arc<Observed>,
    /// Events up to here belong to earlier processes.
    began: u64,
    /// The last event that was added.
    seen: Cursor,
    /// The last job that was looked up.
    checked: Option<JobId>,
}

/// What the store has of the history.
struct StoredHistory {
    /// Up to where the rows have counted.
    progress: HistoryProgress,
    /// The rows of the intervals that go on.
    intervals: Vec<HistoryRow>,
    /// The rows of checkpoints.
    counters: Vec<HistoryRow>,
}

impl Observer {
    /// An observer that has processed no events yet.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, observed: Arc<Observed>) -> Self {
        let head = store.head();
        observed.lock().seq = head.seq;
        Observer { store, clock, observed, began: head.seq, seen: head, checked: None }
    }

    /// Processes events until there are no more; after that nothing reads the statistics.
    pub async fn run(mut self, live: Receiver<Arc<Batch>>, no_more_events: CancellationToken) {
        tokio::select! {
            () = no_more_events.cancelled() => {}
            () = self.observe(live) => {}
        }
    }

    async fn observe(&mut self, mut live: Receiver<Arc<Batch>>) {
        let began = self.clock.steady();
        self.replay().await;
        self.count_stored().await;
        self.observed.lock().failures.counted();
        let took = self.clock.steady().since(began);
        debug!(
            duration_ms = took.as_millis() as u64,
            "counted the jobs that failed before the start"
        );
        let mut rounds = interval(RECONCILIATION_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pass(Part::Observer);
            tokio::select! {
                next = live.recv() => match next {
                    Ok(batch) => {
                        self.take(&batch).await;
                        self.add_checkpoint().await;
                    }
                    Err(RecvError::Lagged(_)) => self.catch_up(self.store.head().seq).await,
                    Err(RecvError::Closed) => return,
                },
                _ = rounds.tick() => self.reconcile_failures().await,
            }
        }
    }

    /// Adds a batch, after the events that are missing before it.
    async fn take(&mut self, batch: &Batch) {
        if batch.first_seq() > self.seen.seq + 1 {
            self.catch_up(batch.first_seq() - 1).await;
        }
        let known = batch.events.iter().take_while(|event| event.seq <= self.seen.seq).count();
        self.add(&batch.events[known..]);
    }

    /// Notes the counters of the store when that is due.
    async fn add_checkpoint(&self) {
        if !self.observed.lock().checkpoints.is_due(self.seen.seq) {
            return;
        }
        let Some(stats) = self.stats().await else { return };
        self.observed.lock().checkpoints.add(&Checkpoint::of(&stats));
    }

    fn add(&mut self, events: &[Event]) {
        let Some(last) = events.last() else { return };
        self.seen.seq = last.seq;
        let mut observed = self.observed.lock();
        observed.seq = observed.seq.max(last.seq);
        for event in events {
            observed.attempts.iter_mut().for_each(|attempts| attempts.add(event));
            let weight = observed.meter.weight();
            let timed = observed.meter.add(event);
            observed.coverage.add(event.at);
            observed.failures.add(event);
            observed.rollup.add(event, timed);
            if event.seq > self.began {
                observed.event_counts[event.event_type() as usize] += 1;
                match timed {
                    TimedPhase::Nothing => {}
                    TimedPhase::Wait(since) => observed.waits.add(event.at.since(since), weight),
                    TimedPhase::Run(since) => observed.runs.add(event.at.since(since), weight),
                }
            }
        }
    }

    /// Reads earlier events, so that the metrics cover the time before the start.
    async fn replay(&mut self) {
        let head = self.seen;
        let Some(stats) = self.stats().await else { return };
        self.observed.lock().checkpoints.add(&Checkpoint::of(&stats));
        let Some(counted) = self.resume_rollup().await else { return };
        // What was not counted for the charts is read, too, however much it is.
        let from = head.seq.saturating_sub(MAX_REPLAYED_EVENTS).min(counted).max(stats.oldest.seq);
        self.seen.seq = from.min(head.seq);
        let nodes = self.store.nodes();
        let others = nodes.iter().filter(|node| !node.is_own && !node.is_silent);
        let at_work_since = others.map(|node| node.started_at).min();
        {
            let coverage = &mut self.observed.lock().coverage;
            coverage.replay(&self.store.starts(), from == 0);
            if let Some(since) = at_work_since {
                coverage.others_at_work_since(since);
            }
        }
        while self.seen.seq < head.seq {
            self.catch_up(head.seq.min(self.seen.seq + 8 * EVENTS_PER_READ as u64)).await;
            sleep(STEP_DELAY).await;
        }
    }

    /// Reads what the store has of the charts' history and of the counters at earlier moments. Returns the last event that is counted in it; `None` when the store
    /// is closing.
    async fn resume_rollup(&mut self) -> Option<u64> {
        loop {
            match self.stored_history().await {
                Ok(StoredHistory { progress, intervals, counters }) => {
                    let mut observed = self.observed.lock();
                    observed.rollup.resume(progress, intervals);
                    observed.checkpoints.resume(&counters, self.store.head());
                    return Some(progress.through.seq);
                }
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    debug!(%error, "reading the history failed, retrying");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    async fn stored_history(&self) -> Result<StoredHistory, StoreError> {
        let history = self.store.history();
        let stored = history.progress().await?;
        let mut intervals = Vec::new();
        for (step, number) in stored.iter().flat_map(Rollup::last_intervals) {
            intervals.extend(history.rows_at(step, number).await?);
        }
        let all = HistorySeries::Server;
        intervals.extend(history.rows(HistoryStep::ScheduleRuns, all.clone(), 0).await?);
        let counters = history.rows(HistoryStep::Counters, all, 0).await?;
        let progress = rollup::progress_at(stored, self.store.head());
        Ok(StoredHistory { progress, intervals, counters })
    }

    /// Reads and adds the events up to `to`, in steps.
    async fn catch_up(&mut self, to: u64) {
        while self.seen.seq < to {
            match self.store.events(self.seen, EVENTS_PER_READ).await {
                Ok(Events::Some(events)) if events.is_empty() => self.seen.seq = to,
                Ok(Events::Some(events)) => self.add(&events),
                Ok(Events::Gap { oldest, .. }) => {
                    self.seen.seq = oldest.seq.max(self.seen.seq + 1);
                    self.observed.lock().attempts.iter_mut().for_each(AttemptSample::clear);
                }
                Err(StoreError::Closed) => self.seen.seq = to,
                Err(error) => {
                    debug!(%error, "reading the event log failed, retrying");
                    sleep(RETRY_DELAY).await;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Adds stored discarded and retrying jobs, page by page. Events are added only between two pages, so that a page is
    /// never older than the events that were added.
    async fn count_stored(&mut self) {
        let states = vec![State::Discarded, State::Retryable];
        let mut query = JobQuery { states, limit: JOBS_PER_PAGE, ..JobQuery::default() };
        loop {
            let page = match self.store.list(query.clone()).await {
                Ok(page) => page,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    debug!(%error, "listing failed jobs failed, retrying");
                    sleep(RETRY_DELAY).await;
                    continue;
                }
            };
            let full = {
                let mut observed = self.observed.lock();
                for job in &page.jobs {
                    observed.failures.add_stored(job, self.seen.seq);
                }
                observed.failures.is_full()
            };
            self.catch_up(self.store.head().seq).await;
            match page.next {
                Some(next) if !full => query.after = Some(next),
                Some(_) | None => return,
            }
            sleep(STEP_DELAY).await;
        }
    }

    /// Compares the failure groups with the store's counters, because retention removes jobs without an
    /// event.
    async fn reconcile_failures(&mut self) {
        let Some(stats) = self.stats().await else { return };
        let count = |state| stats.states.get(&state).copied().unwrap_or(0);
        let stored = count(State::Discarded) + count(State::Retryable);
        let (known, full, some) = {
            let now = self.clock.now();
            let mut observed = self.observed.lock();
            observed.failures.forget_old(now);
            let (dead, retrying) = observed.failures.totals();
            let known = dead + retrying;
            let full = observed.failures.is_full();
            observed.failures.set_beyond(if full { stored.saturating_sub(known) } else { 0 });
            let gone = known > stored && self.seen.seq >= stats.cursor.seq;
            let some = if gone {
                observed.failures.some_after(self.checked, JOBS_PER_RECONCILIATION)
            } else {
                Vec::new()
            };
            (known, full, some)
        };
        if full && known < stored {
            debug!(stored, known, "not all failed jobs are in failure groups");
        }
        self.checked = some.last().copied();
        for id in some {
            match self.store.get(id).await {
                Ok((Some(_), _)) => {}
                Ok((None, _)) => self.observed.lock().failures.leave(id),
                Err(error) => return warn!(%error, "looking up a failed job failed"),
            }
        }
    }

    /// The store's counters; `None` when the store is closing.
    async fn stats(&self) -> Option<Stats> {
        loop {
            match self.store.stats().await {
                Ok(stats) => return Some(stats),
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    debug!(%error, "reading job counters failed, retrying");
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }
}
