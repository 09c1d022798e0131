//! What the engine is told at its start: limits, times, and the settings of queues.

use std::time::Duration;

use super::EngineError;
use crate::job::{Json, JsonLimits, QueueName, RateLimit, ScheduleName, ScheduleSpec, WorkerName};

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
    /// How deep payloads and results may be nested, and how many values they may have.
    pub json: JsonLimits,
    /// Batches a subscriber may lag behind before it must read the stored log.
    pub stream_capacity: usize,
    /// How long a queue may wait for a wake before it looks by itself.
    pub poll_interval: Duration,
    /// How long a handler may take to clean up once its token is cancelled; then it is dropped. Short:
    /// with the stop's grace of 25 s and the steps after it, it must fit into the 30 s that Docker and
    /// Kubernetes give. A handler with a process to end must be done with SIGTERM and SIGKILL by then.
    pub handler_grace: Duration,
    /// What is enqueued again and again by what the configuration says.
    pub schedules: Vec<(ScheduleName, ScheduleSpec)>,
}

/// How much of the process one queue may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Attempts that may run at once.
    pub concurrency: usize,
    /// Its share when queues compete for the last slots; twice the weight is twice the share.
    pub weight: u32,
    /// How often attempts may begin.
    pub rate_limit: Option<RateLimit>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            worker: WorkerName::parse("local").unwrap_or_else(|_| unreachable!("a valid name")),
            max_running: 100_000,
            queues: Vec::new(),
            default_queue: QueueConfig { concurrency: 64, weight: 1, rate_limit: None },
            lease_ttl: Duration::from_secs(30),
            default_timeout: Duration::from_secs(30 * 60),
            max_payload: 1_024 * 1_024,
            json: JsonLimits::default(),
            stream_capacity: 512,
            poll_interval: Duration::from_secs(5),
            handler_grace: Duration::from_secs(2),
            schedules: Vec::new(),
        }
    }
}

impl EngineConfig {
    /// What the configuration says of a queue.
    pub fn of_queue(&self, queue: &QueueName) -> QueueConfig {
        let own = self.queues.iter().find(|(name, _)| name == queue);
        own.map_or(self.default_queue, |(_, own)| *own)
    }

    /// Refuses a payload that is too long, nested too deep or has too many values.
    ///
    /// # Errors
    /// What there is too much of.
    pub fn check_payload(&self, payload: &Json) -> Result<(), EngineError> {
        let (size, limit) = (payload.as_str().len(), self.max_payload);
        if size > limit {
            return Err(EngineError::PayloadTooLarge { size, limit, at: None });
        }
        let checked = self.json.check(payload.as_str());
        checked.map_err(|why| EngineError::TooComplex { at: None, why })
    }
}
