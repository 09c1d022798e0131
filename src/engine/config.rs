//! The engine's configuration: limits, timeouts, and the settings of queues.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::rewind::limits::RewindLimits;
use super::workers::limits::WorkerLimits;
use super::{ConfiguredKinds, PayloadError};
use crate::access::AccessLimits;
use crate::job::{
    Concurrency, Json, JsonLimits, QueueName, RateLimit, ScheduleName, ScheduleSpec, WorkerName,
};

/// The configuration of the engine.
#[derive(Clone)]
pub struct EngineConfig {
    /// The name under which this process holds leases.
    pub worker: WorkerName,
    /// The URL at which this process serves, for the list of nodes that share a store.
    pub address: Option<String>,
    /// The most attempts that run at once in the whole process.
    pub max_running: usize,
    /// Queues with settings of their own.
    pub queues: Vec<(QueueName, QueueConfig)>,
    /// The settings of all other queues.
    pub default_queue: QueueConfig,
    /// How long a lease lasts. The heartbeat extends it after a third of this time.
    pub lease_ttl: Duration,
    /// How long an attempt may run when its job has no timeout.
    pub default_timeout: Duration,
    /// The longest payload, in bytes.
    pub max_payload: usize,
    /// How deep payloads and results may be nested, and how many values they may have.
    pub json: JsonLimits,
    /// How many batches of events a subscriber may lag before it has to read the stored log.
    pub stream_capacity: usize,
    /// How often a dispatcher asks the store for jobs when nothing wakes it.
    pub poll_interval: Duration,
    /// The most queues, and the most kinds, whose recent history is kept in memory. When there are more, those that have
    /// been idle longest have none.
    pub queue_histories: usize,
    /// How long a handler may take to clean up after its token was cancelled; then it is dropped. With the 25 s grace
    /// of the stop and the steps after it, this must fit into the 30 s that Docker and Kubernetes allow. A handler
    /// that runs a process must have sent both SIGTERM and SIGKILL by then.
    pub handler_grace: Duration,
    /// Whether the engine begins paused: no job starts, no schedule fires and nothing is pruned until
    /// [`Engine::resume_server`](super::Engine::resume_server).
    pub paused: bool,
    /// The limits of users, tokens, sessions and share links.
    pub access: AccessLimits,
    /// The kinds that the configuration declares, or whose defaults it sets.
    pub kinds: Arc<ConfiguredKinds>,
    /// The most remote workers at once.
    pub max_workers: usize,
    /// The most of them that one token or user may connect; if it is missing, half of all, so that others can always connect.
    pub workers_per_token: Option<usize>,
    /// The schedules that the configuration declares.
    pub schedules: Vec<(ScheduleName, ScheduleSpec)>,
    /// Whether jobs are kept up as rows for queries, if the store has a place for them.
    pub projection: bool,
    /// How much of the log a request for an earlier moment reads.
    pub rewind: RewindLimits,
}

/// Leaves out the declared schedules, whose payloads may hold secrets.
impl fmt::Debug for EngineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineConfig")
            .field("worker", &self.worker)
            .field("max_running", &self.max_running)
            .field("queues", &self.queues)
            .field("default_queue", &self.default_queue)
            .finish_non_exhaustive()
    }
}

/// The limits of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// The most attempts of the queue that run at once in this process.
    pub concurrency: Concurrency,
    /// The most attempts that run at once over all workers, if the configuration limits the queue.
    pub limit: Option<Concurrency>,
    /// The queue's share when queues compete for the last slots: twice the weight is twice the share.
    pub weight: u32,
    /// How often attempts may start.
    pub rate_limit: Option<RateLimit>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            worker: WorkerName::parse("local").unwrap_or_else(|_| unreachable!("a valid name")),
            address: None,
            max_running: 100_000,
            queues: Vec::new(),
            default_queue: QueueConfig {
                concurrency: Concurrency::clamped(64),
                limit: None,
                weight: 1,
                rate_limit: None,
            },
            lease_ttl: Duration::from_secs(30),
            default_timeout: Duration::from_secs(30 * 60),
            max_payload: 1_024 * 1_024,
            json: JsonLimits::default(),
            stream_capacity: 512,
            poll_interval: Duration::from_secs(5),
            queue_histories: 1_000,
            handler_grace: Duration::from_secs(2),
            paused: false,
            access: AccessLimits::default(),
            kinds: Arc::default(),
            max_workers: 20_000,
            workers_per_token: None,
            schedules: Vec::new(),
            projection: false,
            rewind: RewindLimits::default(),
        }
    }
}

impl EngineConfig {
    /// How many remote workers there may be.
    pub fn worker_limits(&self) -> WorkerLimits {
        let half = self.max_workers.div_ceil(2);
        let per_token = self.workers_per_token.unwrap_or(half);
        WorkerLimits { total: self.max_workers, per_token }
    }

    /// The configuration of a queue.
    pub fn of_queue(&self, queue: &QueueName) -> QueueConfig {
        let own = self.queues.iter().find(|(name, _)| name == queue);
        own.map_or(self.default_queue, |(_, own)| *own)
    }

    /// Refuses a payload that is too long, nested too deeply or has too many values.
    ///
    /// # Errors
    /// Which limit the payload exceeds.
    pub fn check_payload(&self, payload: &Json) -> Result<(), PayloadError> {
        let (size, limit) = (payload.as_str().len(), self.max_payload);
        if size > limit {
            return Err(PayloadError::TooLarge { size, limit, at: None });
        }
        let checked = self.json.check(payload.as_str());
        checked.map_err(|why| PayloadError::TooComplex { at: None, why })
    }
}
