//! L2: the loops that move jobs. `http`, `ui` and the library door call the verbs of [`Engine`];
//! nobody above this layer names the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::job::{
    Cursor, Invalid, Job, JobId, JobQuery, Json, Kind, NewJob, QueueName, Status, WorkerName,
};
use crate::shutdown::Shutdown;
use crate::store::{Control, Store};

pub mod batch;
pub mod handler;
pub mod registry;
pub mod submission;

pub use crate::store::{ControlError, Enqueued, Events, Page, QueueStats, Stats, StoreError};
pub use batch::Batch;
pub use handler::{Context, Handler, IntoOutcome};
pub use registry::{KindInfo, Registry};
pub use submission::{BackoffFields, FieldError, Submission};

/// What the engine is told at its start.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The name under which this process holds leases.
    pub worker: WorkerName,
    /// Attempts that may run at once in the whole process.
    pub max_running: usize,
    /// Queues with settings of their own.
    pub queues: Vec<(QueueName, QueueConfig)>,
    /// What every other queue gets.
    pub default_queue: QueueConfig,
    /// How long a lease lasts unless extended; extended at a third of it.
    pub lease_ttl: Duration,
    /// The longest an attempt may run when the job does not say.
    pub default_timeout: Duration,
    /// The longest payload, in bytes.
    pub max_payload: usize,
    /// Batches a subscriber may lag behind before it must read the stored log.
    pub stream_capacity: usize,
}

/// How much of the process one queue may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Attempts that may run at once.
    pub concurrency: usize,
    /// Its share when queues compete for the last slots; twice the weight is twice the share.
    pub weight: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            worker: WorkerName::parse("local").unwrap_or_else(|_| unreachable!("a valid name")),
            max_running: 100_000,
            queues: Vec::new(),
            default_queue: QueueConfig { concurrency: 64, weight: 1 },
            lease_ttl: Duration::from_secs(30),
            default_timeout: Duration::from_secs(30 * 60),
            max_payload: 1_024 * 1_024,
            stream_capacity: 1_024,
        }
    }
}

/// Why a verb of the engine could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// No handler is registered for the kind.
    #[error("there is no handler for kind {:?}; known kinds: {known}", .kind.as_str())]
    UnknownKind {
        /// What was asked for.
        kind: Kind,
        /// What there is, comma-separated.
        known: String,
    },
    /// The payload is longer than the limit.
    #[error("the payload is {size} bytes long and the limit is {limit}")]
    PayloadTooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// A name or number is outside what is accepted.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The store's answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The running engine. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    registry: Registry,
    config: EngineConfig,
    /// The one channel of committed events; only the event pump sends on it.
    live: broadcast::Sender<Arc<Batch>>,
    shutdown: Shutdown,
}

impl Engine {
    /// Opens for business: starts every loop on the shutdown's tracker.
    pub fn start(
        store: Arc<dyn Store>,
        registry: Registry,
        config: EngineConfig,
        shutdown: Shutdown,
    ) -> Engine {
        let (live, _) = broadcast::channel(config.stream_capacity);
        Engine { inner: Arc::new(Inner { store, registry, config, live, shutdown }) }
    }

    /// Accepts jobs, all or none; the answer comes when they are durable.
    ///
    /// # Errors
    /// An unknown kind, a payload too large, or the store's refusal. Nothing was accepted then.
    pub async fn enqueue(&self, batch: Vec<NewJob>) -> Result<Vec<Enqueued>, EngineError> {
        for job in &batch {
            self.inner.registry.check(&job.labels.kind)?;
            let (size, limit) = (job.spec.payload.as_str().len(), self.inner.config.max_payload);
            if size > limit {
                return Err(EngineError::PayloadTooLarge { size, limit });
            }
        }
        Ok(self.inner.store.enqueue(batch).await?)
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

    /// The stored log after a place.
    pub async fn events(&self, after: Cursor, max: usize) -> Result<Events, EngineError> {
        Ok(self.inner.store.events(after, max).await?)
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

    /// Ends a job; `Ok` holds its status: `Cancelled`, or still `Running` with `cancel_asked`.
    pub async fn cancel(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Cancel(vec![id])).await
    }

    /// Makes a job run again now.
    pub async fn retry(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Retry(vec![id])).await
    }

    /// Removes a job that is not running.
    pub async fn delete(&self, id: JobId) -> Result<Result<Status, ControlError>, EngineError> {
        self.control_one(Control::Delete(vec![id])).await
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
