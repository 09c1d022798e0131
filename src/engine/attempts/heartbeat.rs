//! Extends all held leases every third of their duration, and passes on the store's answers: the job is being
//! cancelled, or the lease is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::leases::{Leases, Running};
use crate::logging::RetryLog;
use crate::store::{Extension, LeaseRef, Store};
use crate::supervise::{Part, pass};

/// The most leases that one call extends, so that no call keeps the store busy for long.
const MAX_EXTENSIONS: usize = 4_096;

/// The loop that extends leases.
pub struct Heartbeat {
    pub store: Arc<dyn Store>,
    pub leases: Arc<Leases>,
    pub lease_ttl: Duration,
    /// Ends the loop.
    pub end: CancellationToken,
}

impl Heartbeat {
    /// Extends all leases every third of their duration, until `end` is cancelled.
    pub async fn run(self) {
        let period = (self.lease_ttl / 3).max(Duration::from_millis(1));
        let mut beats = interval_at(Instant::now() + period, period);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // After a failure, the next tick of the interval is the retry.
        let mut retry = RetryLog::new("extending leases", period, period);
        loop {
            pass(Part::Heartbeat);
            tokio::select! {
                () = self.end.cancelled() => return,
                _ = beats.tick() => {}
            }
            for batch in self.leases.held().chunks(MAX_EXTENSIONS) {
                match self.extend(batch, period).await {
                    Ok(()) => retry.worked(),
                    Err(error) => {
                        retry.failed(&error);
                        self.give_up_lapsed(batch);
                    }
                }
            }
        }
    }

    async fn extend(&self, batch: &[Arc<Running>], bound: Duration) -> Result<(), String> {
        let keys: Vec<LeaseRef> = batch.iter().map(|running| running.key).collect();
        let asked = Instant::now();
        let answers = match timeout(bound, self.store.extend(keys, self.lease_ttl)).await {
            Ok(Ok(answers)) => answers,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("the store did not answer in time".to_owned()),
        };
        for (running, answer) in batch.iter().zip(answers) {
            match answer {
                Extension::Kept => self.leases.extended(running, asked.into_std()),
                Extension::CancelAsked => {
                    self.leases.extended(running, asked.into_std());
                    running.ask_cancel();
                }
                Extension::Lost => running.set_lost(),
            }
        }
        Ok(())
    }

    /// Ends attempts whose leases could not be extended in time: other workers may hold their leases by now.
    fn give_up_lapsed(&self, batch: &[Arc<Running>]) {
        for running in batch.iter().filter(|running| !self.leases.is_valid(running)) {
            warn!(job.id = %running.key.job, "lease expired, ending the attempt");
            running.set_lost();
        }
    }
}
