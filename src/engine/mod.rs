//! L2: the loops that move jobs. `http`, `ui` and the library door call the verbs of [`Engine`];
//! nobody above this layer names the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use attempts::dispatchers::Dispatchers;
use attempts::leases::Leases;
use attempts::settler::Settled;
use bulk::runs::Bulks;
use insight::live_stats::Pulses;
use insight::observer::Observed;
use queues::settings::QueueSettings;
use stages::Stages;
use stream::completion_waiters::Finals;
use stream::event_pump::Live;

use crate::clock::Clock;
use crate::job::{Cursor, Job, JobId, JobQuery, Json, Kind, NewJob, QueueName, Status, Time};
use crate::shutdown::Shutdown;
use crate::store::{Control, Store};
use crate::supervise::Failure;

mod attempts;
pub mod bulk;
pub mod handler;
mod insight;
mod queues;
mod stream;
pub mod submission;

mod config;
mod error;
mod off_runtime;
mod stages;
mod start;
mod stop;
mod timer;

#[cfg(test)]
mod tests;

pub use crate::store::{
    ControlError, Enqueued, Events, ExportCheck, ExportWriter, Page, Piece, QueueStats,
    ScheduleError, Snapshot, Stats, Storage, StoreError,
};
pub use bulk::group_action::{GroupAction, GroupDone};
pub use config::{EngineConfig, QueueConfig};
pub use error::EngineError;
pub use handler::registry::{KindInfo, Registry};
pub use handler::{Context, Handler, IntoOutcome};
pub use insight::failures::{FailureGroup, FailureList};
pub use insight::histogram::Latency;
pub use insight::history::{Counts, Point};
pub use insight::latency_totals::LatencyTotals;
pub use insight::live_stats::Pulse;
pub use insight::meter::Rates;
pub use insight::overview::{HeldAttempt, History, QueueView, Workers};
pub use insight::wait_reason::{COUNTED_AHEAD, Why};
pub use off_runtime::off_runtime;
pub use stop::Drained;
pub use stream::batch::Batch;
pub use stream::subscriber_counts::{CountedSubscriber, SubscriberCounts, Transport};
pub use submission::schedule::ScheduleSubmission;
pub use submission::{BackoffFields, FieldError, Submission};

/// The running engine. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    config: Arc<EngineConfig>,
    /// Times the handlers' lines and compares the store's times with now.
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    stages: Stages,
    dispatchers: Arc<Dispatchers>,
    queue_settings: Arc<QueueSettings>,
    leases: Arc<Leases>,
    /// The one channel of committed events; only the event pump sends on it.
    live: Arc<Live>,
    finals: Arc<Finals>,
    pulses: Arc<Pulses>,
    /// The metrics and the failures of lately.
    observed: Arc<Observed>,
    bulks: Arc<Bulks>,
    subscriber_counts: Arc<SubscriberCounts>,
    settled: Arc<Settled>,
}

impl Inner {
    /// Whether a job of this kind with this payload would be accepted. The limits come first: what keeps
    /// to them can be looked at in a time that its length bounds.
    fn check(&self, kind: &Kind, payload: &Json) -> Result<(), EngineError> {
        self.config.check_payload(payload)?;
        self.registry.check(kind, payload)
    }
}

impl Engine {
    /// Accepts jobs, all or none; the answer comes when they are durable.
    ///
    /// # Errors
    /// An unknown kind, a payload that does not fit or is too large, or the store's refusal. Nothing was accepted then.
    pub async fn enqueue(&self, batch: Vec<NewJob>) -> Result<Vec<Enqueued>, EngineError> {
        let size = batch.iter().map(|job| job.spec.payload.as_str().len()).sum();
        off_runtime(size, || {
            batch.iter().enumerate().try_for_each(|(at, job)| {
                let checked = self.inner.check(&job.labels.kind, &job.spec.payload);
                checked.map_err(|error| if batch.len() > 1 { error.of_job(at) } else { error })
            })
        })?;
        let accepted = self.inner.store.enqueue(batch).await?;
        self.inner.dispatchers.ensure(accepted.iter().map(|answer| &answer.job().labels.queue));
        Ok(accepted)
    }

    /// One job, and the place in the log it was read at.
    pub async fn job(&self, id: JobId) -> Result<(Option<Job>, Cursor), EngineError> {
        Ok(self.inner.store.get(id).await?)
    }

    /// A page of jobs, newest first.
    pub async fn jobs(&self, query: JobQuery) -> Result<Page, EngineError> {
        Ok(self.inner.store.list(query).await?)
    }

    /// Counters by state, queue and kind.
    pub async fn stats(&self) -> Result<Stats, EngineError> {
        Ok(self.inner.store.stats().await?)
    }

    /// Everything that is stored, as it is at one place of the log, piece by piece.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        Ok(self.inner.store.snapshot().await?)
    }

    /// How much is stored and was written since the start.
    pub async fn storage(&self) -> Result<Storage, EngineError> {
        Ok(self.inner.store.storage().await?)
    }

    /// The stored log after a place.
    pub async fn events(&self, after: Cursor, max: usize) -> Result<Events, EngineError> {
        Ok(self.inner.store.events(after, max).await?)
    }

    /// The time by the store's clock.
    pub fn now(&self) -> Time {
        self.inner.clock.now()
    }

    /// The place of the newest durable event.
    pub fn head(&self) -> Cursor {
        self.inner.store.head()
    }

    /// Committed events as they come. A receiver that lags reads [`Engine::events`] from its cursor.
    /// The channel ends when the server stops and the last event is out.
    pub fn live(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.inner.live.subscribe()
    }

    /// How busy the server is: a look at once, and then whenever it has changed, at most four a second.
    pub fn pulse(&self) -> watch::Receiver<Option<Arc<Pulse>>> {
        self.inner.pulses.listen()
    }

    /// Ends a job; `Ok` holds its status: `Cancelled`, or still `Running` with `cancel_asked`.
    pub async fn cancel(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        let answer = self.control_one(Control::Cancel(vec![id])).await?;
        if answer.as_ref().is_ok_and(|status| status.cancel_asked) {
            self.inner.leases.ask_cancel(id);
        }
        Ok(answer)
    }

    /// Whether the attempt that runs here has been told to end because its job is to be cancelled.
    pub fn was_told_to_end(&self, id: JobId) -> bool {
        self.inner.leases.was_told(id)
    }

    /// Waits until a job is final, at most for `bound` and not beyond the end of all work in a stop.
    /// Answers with the job as it is then, final or not; `None` when there is no such job. Thousands
    /// may wait at once.
    pub async fn wait_final(&self, id: JobId, bound: Duration) -> Result<Option<Job>, EngineError> {
        Ok(self.inner.finals.wait(id, bound).await?)
    }

    /// Attempts under way in this process.
    pub fn running(&self) -> usize {
        self.inner.leases.len()
    }

    /// Resolves when a loop or thread has failed: the server must stop with a non-zero code.
    pub async fn failed(&self) -> Failure {
        self.inner.shutdown.failures.first().await
    }

    /// Makes a job run again now.
    pub async fn retry(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Retry(vec![id])).await
    }

    /// Removes a job that is not running.
    pub async fn delete(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Delete(vec![id])).await
    }

    /// Puts a waiting job into another queue.
    pub async fn move_to(
        &self,
        id: JobId,
        queue: QueueName,
    ) -> Result<Result<Status, ControlError>, EngineError> {
        let control = Control::Move { jobs: vec![id], queue: queue.clone() };
        let answer = self.control_one(control).await?;
        if answer.is_ok() {
            self.inner.dispatchers.ensure(std::iter::once(&queue));
        }
        Ok(answer)
    }

    /// Gives a waiting job another priority.
    pub async fn reprioritise(
        &self,
        id: JobId,
        priority: i16,
    ) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Reprioritise { jobs: vec![id], priority }).await
    }

    /// Holds claims of a queue back.
    pub async fn pause(&self, queue: QueueName) -> Result<(), EngineError> {
        self.inner.store.control(Control::Pause(queue)).await?;
        Ok(())
    }

    /// Lets claims of a queue go on.
    pub async fn resume(&self, queue: QueueName) -> Result<(), EngineError> {
        self.inner.store.control(Control::Resume(queue)).await?;
        Ok(())
    }

    /// The registered kinds, by name.
    pub fn kinds(&self) -> Vec<&KindInfo> {
        self.inner.registry.kinds()
    }

    /// The settings in force.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The stop that this engine obeys.
    pub fn shutdown(&self) -> &Shutdown {
        &self.inner.shutdown
    }

    /// Whether work can be accepted; the error says why not.
    pub fn health(&self) -> Result<(), EngineError> {
        Ok(self.inner.store.health()?)
    }

    async fn control_one(
        &self,
        control: Control,
    ) -> Result<Result<Status, ControlError>, EngineError> {
        let answers = self.inner.store.control(control).await?;
        Ok(answers.into_iter().next().map_or(Err(ControlError::NotFound), |(_, answer)| answer))
    }
}

/// A JSON value that is known to be valid at compile time, for examples of payloads.
pub fn example(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|_| Json::null())
}
