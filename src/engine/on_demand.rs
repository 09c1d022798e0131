//! Runs jobs of a paused server when somebody asks for it, as tests of programs do. Nothing else starts on such a server.

use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::{Batch, Engine};
use crate::job::{JobId, State};
use crate::store::StoreError;

/// The most jobs of one queue that a round starts.
const MOST_STARTED: usize = 64;

impl Engine {
    /// Runs an attempt of one job that may start now, and returns when its end is stored. The job is one of the first queue
    /// by name that has such jobs, and the first in this queue. `None` if no queue has one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run_one_job(&self) -> Result<Option<JobId>, StoreError> {
        let mut live = self.live();
        self.make_due().await?;
        let Some(id) = self.start_jobs(1).await?.first().copied() else { return Ok(None) };
        loop {
            let job = self.parts.store.get(id).await?.0;
            if job.is_none_or(|job| job.status.state != State::Running) {
                return Ok(Some(id));
            }
            if !has_more(&mut live).await {
                return Ok(Some(id));
            }
        }
    }

    /// Runs jobs until none may start now and none is running, and returns the number of attempts. Jobs that wait for their
    /// time, such as the next attempts of failed ones, go on waiting.
    ///
    /// # Errors
    /// The store failed.
    pub async fn run_all_jobs(&self) -> Result<usize, StoreError> {
        let mut live = self.live();
        let mut count = 0;
        loop {
            // Asked before the claims: an attempt that ends after them may have submitted a job.
            let is_idle = self.running() == 0;
            self.make_due().await?;
            let started = self.start_jobs(MOST_STARTED).await?.len();
            count += started;
            if started == 0 && (is_idle || !has_more(&mut live).await) {
                return Ok(count);
            }
        }
    }

    /// Makes all jobs available whose time has come.
    async fn make_due(&self) -> Result<(), StoreError> {
        loop {
            let ticked = self.parts.store.tick().await?;
            if ticked.due + ticked.fired + ticked.rescued == 0 {
                return Ok(());
            }
        }
    }

    /// Starts jobs of the queues, at most `max` of each; only one at all if that is 1.
    async fn start_jobs(&self, max: usize) -> Result<Vec<JobId>, StoreError> {
        let dispatchers = &self.parts.dispatchers;
        let mut started = Vec::new();
        for (queue, key) in dispatchers.queues.all() {
            dispatchers.dispatcher.start_jobs(&queue, key, max, &mut started).await?;
            if max == 1 && !started.is_empty() {
                break;
            }
        }
        Ok(started)
    }
}

/// Waits for further events; false when there will be none.
async fn has_more(live: &mut Receiver<Arc<Batch>>) -> bool {
    !matches!(live.recv().await, Err(RecvError::Closed))
}
