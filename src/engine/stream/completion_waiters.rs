//! The table of callers that wait for jobs to reach a final state. It is fed by one receiver of events, so that
//! thousands of waiters cost one entry each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::engine::Batch;
use crate::job::{Change, Event, Fact, Job, JobId};
use crate::store::{Store, StoreError};
use crate::supervise::{Part, pass};

/// The callers that wait for jobs.
pub struct CompletionWaiters {
    store: Arc<dyn Store>,
    /// Cancelled when no attempt will run any more: ends all waits.
    attempts_over: CancellationToken,
    waiters: Mutex<HashMap<JobId, (usize, Arc<Notify>)>>,
}

impl CompletionWaiters {
    /// A table without waiters.
    pub fn new(store: Arc<dyn Store>, attempts_over: CancellationToken) -> Self {
        CompletionWaiters { store, attempts_over, waiters: Mutex::default() }
    }

    /// Waits until the job has reached a final state, for at most `bound`. Returns the job as it is then; `None` when
    /// there is no such job.
    pub async fn wait(&self, id: JobId, bound: Duration) -> Result<Option<Job>, StoreError> {
        let waiter = self.enter(id);
        let wait = async {
            loop {
                let changed = waiter.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                match self.store.get(id).await?.0 {
                    Some(job) if !job.status.state.is_final() => {}
                    found => return Ok(found),
                }
                tokio::select! {
                    () = changed => {}
                    () = self.attempts_over.cancelled() => return Ok(self.store.get(id).await?.0),
                }
            }
        };
        match timeout(bound, wait).await {
            Ok(answer) => answer,
            Err(_) => Ok(self.store.get(id).await?.0),
        }
    }

    fn enter(&self, id: JobId) -> Waiter<'_> {
        let mut waiters = self.lock();
        let entry = waiters.entry(id).or_default();
        entry.0 += 1;
        Waiter { table: self, id, changed: entry.1.clone() }
    }

    fn notify(&self, events: &[Event]) {
        let waiters = self.lock();
        if waiters.is_empty() {
            return;
        }
        for id in events.iter().filter_map(ended_job) {
            if let Some((_, changed)) = waiters.get(&id) {
                changed.notify_waiters();
            }
        }
    }

    fn notify_all(&self) {
        for (_, changed) in self.lock().values() {
            changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, (usize, Arc<Notify>)>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry of the table, which is removed when this is dropped.
struct Waiter<'a> {
    table: &'a CompletionWaiters,
    id: JobId,
    changed: Arc<Notify>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiters = self.table.lock();
        if let Some((count, _)) = waiters.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                waiters.remove(&self.id);
            }
        }
    }
}

/// Notifies waiters until the channel ends.
pub async fn run(waiters: Arc<CompletionWaiters>, mut live: Receiver<Arc<Batch>>) {
    loop {
        pass(Part::CompletionWaiters);
        match live.recv().await {
            Ok(batch) => waiters.notify(&batch.events),
            // The missed events may concern any waiter: each of them reads its job.
            Err(RecvError::Lagged(_)) => waiters.notify_all(),
            Err(RecvError::Closed) => return waiters.notify_all(),
        }
    }
}

/// The job that this event ended or deleted.
fn ended_job(event: &Event) -> Option<JobId> {
    match &event.fact {
        Fact::Job { id, state, change, .. } => {
            (state.is_final() || *change == Change::Deleted).then_some(*id)
        }
        Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => None,
    }
}
