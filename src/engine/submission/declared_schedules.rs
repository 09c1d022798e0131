//! Stores the schedules that the configuration declares.

use std::sync::Arc;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::engine::EngineConfig;
use crate::job::Origin;
use crate::logging::RetryLog;
use crate::store::{ScheduleCommand, ScheduleError, Store, StoreError};

/// The schedules of the configuration.
pub struct DeclaredSchedules {
    pub store: Arc<dyn Store>,
    pub config: Arc<EngineConfig>,
    /// Cancelled after the first try.
    pub tried: CancellationToken,
    /// Ends the retries.
    pub end: CancellationToken,
}

impl DeclaredSchedules {
    /// Stores the declared schedules, deletes those that are no longer declared, and leaves all others alone.
    /// Retries until the store accepts them, because nothing is due before that.
    pub async fn store(&self) {
        let pause = self.config.poll_interval;
        let mut retry = RetryLog::new("storing the configured schedules", pause, pause);
        loop {
            let stored = self.try_to_store().await;
            self.tried.cancel();
            let wait = match stored {
                Ok(()) => return retry.worked(),
                Err(StoreError::Closed) => return,
                Err(error) => retry.failed(&error),
            };
            tokio::select! {
                () = self.end.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
    }

    async fn try_to_store(&self) -> Result<(), StoreError> {
        let declared = &self.config.schedules;
        let (stored, _) = self.store.schedules().await?;
        let gone = stored.into_iter().filter(|schedule| {
            schedule.spec.origin == Origin::Config
                && declared.iter().all(|(name, _)| *name != schedule.name)
        });
        let gone = gone.map(|schedule| ScheduleCommand::Delete(schedule.name, Origin::Config));
        let set = declared
            .iter()
            .map(|(name, spec)| ScheduleCommand::Set(name.clone(), Box::new(spec.clone())));
        for command in gone.chain(set) {
            match self.store.schedule(command, None).await {
                Ok(_) => {}
                Err(ScheduleError::Store(error)) => return Err(error),
                Err(
                    refused @ (ScheduleError::NotFound
                    | ScheduleError::TooMany { .. }
                    | ScheduleError::Declared),
                ) => error!(%refused, "the store refused a configured schedule"),
            }
        }
        if !declared.is_empty() {
            info!(schedules = declared.len(), "configured schedules stored");
        }
        Ok(())
    }
}
