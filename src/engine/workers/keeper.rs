//! The loop behind remote workers: it ends attempts that run for too long, tells workers which leases they have lost, and
//! notices workers that are silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::counters::RemoteEnd;
use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::updates::verdict_on_timeout;
use crate::engine::stream::batch::Batch;
use crate::job::{Change, Event, Fact};
use crate::logging::RetryLog;
use crate::store::{LeaseRef, Settlement, StoreError};
use crate::supervise::{Part, pass};

/// How often the table is swept.
const SWEEP: Duration = Duration::from_secs(1);
/// How long an expired lease is remembered if nothing is reported about it.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The loop.
pub struct WorkerKeeper {
    pub remote: Arc<RemoteWorkers>,
    /// How often one waiting claim of each interest is woken, in case a wake-up was lost.
    pub poll_interval: Duration,
    /// Ends the loop.
    pub end: CancellationToken,
}

impl WorkerKeeper {
    /// Runs until `end` is cancelled.
    pub async fn run(self, mut live: Receiver<Arc<Batch>>) {
        let remote = &self.remote;
        tokio::select! {
            () = remote.restore_leases() => {}
            () = self.end.cancelled() => {}
        }
        let mut sweep_at = Instant::now() + SWEEP;
        let mut wake_at = Instant::now() + self.poll_interval;
        let mut retry = RetryLog::new("ending attempts of remote workers", SWEEP, SWEEP);
        let mut not_before = Instant::now();
        let mut is_live = true;
        loop {
            pass(Part::WorkerKeeper);
            let deadline = remote.table().leases.next_deadline().map(|at| at.max(not_before));
            let next = [deadline, remote.waiting.next_retry()].into_iter().flatten();
            let next = next.fold(sweep_at.min(wake_at), Instant::min);
            tokio::select! {
                batch = live.recv(), if is_live => match batch {
                    Ok(batch) => self.on_events(&batch.events),
                    Err(RecvError::Lagged(_)) => {} // workers learn of lost leases when they extend them
                    Err(RecvError::Closed) => is_live = false,
                },
                () = sleep_until(next) => {}
                () = remote.deadline_changed.notified() => {}
                () = remote.waiting.retry_changed() => {}
                () = self.end.cancelled() => return self.store_news().await,
            }
            self.store_news().await;
            let now = Instant::now();
            remote.waiting.wake_due(now);
            if wake_at <= now {
                wake_at = now + self.poll_interval;
                remote.waiting.wake_all();
            }
            let overdue =
                if not_before <= now { remote.table().leases.overdue(now) } else { Vec::new() };
            if !overdue.is_empty() {
                match self.end_overdue(overdue).await {
                    Ok(()) => retry.worked(),
                    Err(StoreError::Closed) => return,
                    Err(error) => not_before = now + retry.failed(&error),
                }
            }
            if sweep_at <= now {
                sweep_at = now + SWEEP;
                self.sweep();
            }
        }
    }

    /// Stores the events about workers. Those that the store refuses are lost.
    async fn store_news(&self) {
        let events = self.remote.take_events();
        if events.is_empty() {
            return;
        }
        if let Err(error) = self.remote.store.report(events).await {
            debug!(%error, "the events of workers could not be stored");
        }
    }

    /// Finds the leases that were lost because something other than their worker has ended the attempt.
    fn on_events(&self, events: &[Event]) {
        let mut table = self.remote.table();
        if table.leases.is_empty() {
            return;
        }
        for event in events {
            let Fact::Job { id, state, change, .. } = &event.fact else { continue };
            let may_be_lost = matches!(
                change,
                Change::Rescued { .. } | Change::Cancelled | Change::Discarded { .. }
            );
            if !may_be_lost || *state == crate::job::State::Running {
                continue;
            }
            let held = table.leases.of_job(*id);
            let lost = held.filter(|held| held.lease.token < event.seq && !held.is_settling);
            if let Some(lease) = lost.map(|held| held.lease) {
                if matches!(change, Change::Rescued { .. }) {
                    self.remote.counters.ended(RemoteEnd::Expired, 1);
                }
                table.lose(lease);
            }
        }
    }

    /// Ends attempts that have run for too long.
    async fn end_overdue(&self, overdue: Vec<RemoteLease>) -> Result<(), StoreError> {
        let settlement = |held: &RemoteLease| Settlement {
            lease: held.lease,
            verdict: verdict_on_timeout(held),
        };
        let leases: Vec<LeaseRef> = overdue.iter().map(|held| held.lease).collect();
        let stored = self.remote.store.settle(overdue.iter().map(settlement).collect()).await;
        let mut table = self.remote.table();
        match stored {
            Ok(ended) => {
                let ended = ended.iter().filter(|answer| answer.is_ok()).count();
                self.remote.counters.ended(RemoteEnd::TimedOut, ended);
                leases.into_iter().for_each(|lease| table.lose(lease));
                Ok(())
            }
            Err(error) => {
                // They are overdue again.
                overdue.into_iter().for_each(|held| table.put_back(held));
                Err(error)
            }
        }
    }

    fn sweep(&self) {
        let when = self.remote.read_clocks();
        let mut table = self.remote.table();
        if table.is_empty() {
            return;
        }
        table.leases.forget_requests();
        table.sweep(when);
        let long_ago = crate::job::Time::from_millis(
            when.at.millis().saturating_sub(FORGOTTEN.as_millis() as i64),
        );
        table.forget_expired(long_ago);
        let events = table.take_events();
        drop(table);
        self.remote.report(events);
    }
}
