//! L2: the loops that move jobs. `http`, `ui` and the library door call the verbs of [`Engine`];
//! nobody above this layer names the store.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, SystemClock};
use crate::job::{
    Cursor, Job, JobId, JobQuery, Json, JsonLimits, Kind, NewJob, QueueName, RateLimit,
    ScheduleName, ScheduleSpec, Status, Time, WorkerName,
};
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

mod error;
mod off_runtime;
mod stop;
mod timer;

#[cfg(test)]
mod tests;

pub use crate::store::{
    ControlError, Enqueued, Events, ExportCheck, ExportWriter, Page, Piece, QueueStats,
    ScheduleError, Snapshot, Stats, Storage, StoreError,
};
pub use bulk::group_action::{GroupAction, GroupDone};
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

/// The running engine. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    registry: Registry,
    config: EngineConfig,
    /// Times the handlers' lines and compares the store's times with now.
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    /// Which queues have a dispatcher.
    queues: queues::known::Queues,
    slots: Arc<queues::slots::Slots>,
    leases: attempts::leases::Leases,
    /// To the settler.
    reports: mpsc::UnboundedSender<attempts::settler::Report>,
    /// The one channel of committed events; only the event pump sends on it.
    live: stream::event_pump::Live,
    finals: stream::completion_waiters::Finals,
    pulses: insight::live_stats::Pulses,
    /// The metrics and the failures of lately.
    observed: insight::observer::Observed,
    bulks: bulk::Bulks,
    subscriber_counts: Arc<SubscriberCounts>,
    /// Attempts settled with an end of their own, since the start.
    finished: AtomicU64,
    /// Attempts given back, since the start.
    interrupted: AtomicU64,
    /// The dispatchers, so that the stop can wait for the last claim.
    dispatchers: TaskTracker,
    /// Heartbeat, settler and timer: they outlive the attempts.
    loops: TaskTracker,
    /// The event pump: it outlives everything that makes events.
    pump: TaskTracker,
    /// Ends `loops`.
    quiet: CancellationToken,
    /// No event will be added: tells the pump to send the rest and end.
    last_event_is_in: CancellationToken,
    /// Nothing will run any more: releases who waits for a job's end, so that requests in flight end.
    work_over: CancellationToken,
}

impl Inner {
    /// Whether a job of this kind with this payload would be accepted. The limits come first: what keeps
    /// to them can be looked at in a time that its length bounds.
    fn check(&self, kind: &Kind, payload: &Json) -> Result<(), EngineError> {
        self.config.check_payload(payload)?;
        self.registry.check(kind, payload)
    }

    fn report(&self, report: attempts::settler::Report) {
        // The settler ends last of all loops; after it the lease runs out, which is logged there.
        let _ = self.reports.send(report);
    }
}

impl Engine {
    /// Opens for business: starts every loop on the shutdown's tracker. Needs a tokio runtime.
    pub fn start(
        store: Arc<dyn Store>,
        registry: Registry,
        config: EngineConfig,
        shutdown: Shutdown,
    ) -> Engine {
        Engine::start_with_clock(store, registry, config, shutdown, Arc::new(SystemClock))
    }

    /// The same with the clock the store was given.
    pub fn start_with_clock(
        store: Arc<dyn Store>,
        registry: Registry,
        config: EngineConfig,
        shutdown: Shutdown,
        clock: Arc<dyn Clock>,
    ) -> Engine {
        let (reports, inbox) = mpsc::unbounded_channel();
        // The place first: an event between the two comes through the channel or is seen missing.
        let from = store.head();
        let followed = store.follow(stream::event_pump::FOLLOW);
        let inner = Arc::new(Inner {
            queues: queues::known::Queues::new(&config),
            slots: queues::slots::Slots::new(config.max_running),
            leases: attempts::leases::Leases::new(config.lease_ttl, shutdown.abort.clone()),
            reports,
            live: stream::event_pump::Live::new(config.stream_capacity),
            finals: stream::completion_waiters::Finals::default(),
            pulses: insight::live_stats::Pulses::default(),
            observed: insight::observer::Observed::new(clock.now()),
            bulks: bulk::Bulks::default(),
            subscriber_counts: Arc::default(),
            finished: AtomicU64::new(0),
            interrupted: AtomicU64::new(0),
            dispatchers: TaskTracker::new(),
            loops: TaskTracker::new(),
            pump: TaskTracker::new(),
            quiet: CancellationToken::new(),
            last_event_is_in: CancellationToken::new(),
            work_over: CancellationToken::new(),
            store,
            registry,
            config,
            clock,
            shutdown,
        });
        inner.spawn_loops(from, followed, inbox);
        Engine { inner }
    }

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
        self.inner.ensure_queues(accepted.iter().map(|answer| &answer.job().labels.queue));
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
        stream::completion_waiters::wait(&self.inner, id, bound).await
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
            self.inner.ensure_queues(std::iter::once(&queue));
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
