//! L2: the loops that run jobs. `http`, `ui` and the library call the verbs of [`Engine`]; no layer above
//! this one names the store.

use std::sync::Arc;

use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use attempts::dispatchers::Dispatchers;
use attempts::leases::Leases;
use attempts::settler::Settled;
use bulk::runs::Bulks;
use hash_permits::HashPermits;
use insight::enqueue_times::EnqueueTimes;
use insight::live_stats::LiveStatsChannel;
use insight::observer::Observed;
use insight::system_samples::SystemSamples;
use queues::limits::QueueLimits;
use stages::Stages;
use stream::completion_waiters::CompletionWaiters;
use stream::event_pump::Live;
use workers::node_names::NodeNames;
use workers::remote::RemoteWorkers;

use crate::access::Scope;
use crate::clock::Clock;
use crate::job::{Actor, Cursor, Json, QueueChange, QueueName, Time};
use crate::shutdown::Shutdown;
use crate::store::{Control, Store};
use crate::supervise::PartFailure;

mod attempts;
mod audit;
pub mod bulk;
pub mod handler;
mod insight;
mod queues;
mod rewind;
mod stream;
pub mod submission;
mod workers;

mod access;
mod blocking;
mod config;
mod error;
mod hash_permits;
mod inbox;
mod jobs;
mod kinds;
mod link_keeper;
mod nodes;
mod on_demand;
mod projection;
mod schedule_warnings;
mod stages;
mod start;
mod stop;
mod timer;

#[cfg(test)]
pub(crate) mod tests;

pub use crate::store::{
    AccessError, ConfiguredTopic, ControlError, Disagreement, EnqueueError, Enqueued, Events,
    ExportCheck, ExportWriter, InboxFigures, JobControlError, KindError, NodeFigures, NodeReport,
    Page, Piece, ProjectionFigures, QueueStats, ReusedKey, ScheduleError, Snapshot, Stats, Storage,
    StoreError, TooManyQueues,
};
pub use audit::{AuditActor, AuditPage, AuditQuery};
pub use blocking::run_blocking;
pub use config::{EngineConfig, QueueConfig};
pub use error::{
    BulkError, DeclareKindError, JobActionError, PayloadError, SetScheduleError, SubmitError,
};
pub use handler::registry::{KindInfo, Registry};
pub use handler::{AttemptContext, IntoOutcome, KindHandler};
pub use hash_permits::TooBusy;
pub use insight::attempt_sample::{AttemptOutcome, SampledAttempt, is_sampled};
pub use insight::coverage::Period;
pub use insight::failures::{FailureGroup, FailureList};
pub use insight::histogram::Latency;
pub use insight::history::{Activity, HistoryPoint, IntervalCounts};
pub use insight::history_range::{History, HistoryRange};
pub use insight::latency_totals::{HistogramTotals, LatencyTotals};
pub use insight::live_stats::LiveStats;
pub use insight::meter::Rates;
pub use insight::overview::{HeldAttempt, QueueView, Workers};
pub use insight::rollup::HistoryMark;
pub use insight::run_times::{RunTimeBar, RunTimes};
pub use insight::schedule_runs::{KEPT_RUNS, ScheduleRun};
pub use insight::system_samples::{SAMPLES_KEPT, SystemSample};
pub use insight::wait_map::{WaitMap, WaitRange};
pub use insight::wait_reason::{COUNTED_AHEAD, WaitReason};
pub use kinds::{ConfiguredKinds, KindSource, Kinds, KnownKind};
pub use rewind::limits::RewindLimits;
pub use rewind::{Past, PastJob, PastPage, Reach, RewindError, When};
pub use stop::Drained;
pub use stream::batch::Batch;
pub use stream::subscriber_counts::{CountedSubscriber, SubscriberCounts, Transport};
pub use submission::kind::KindSubmission;
pub use submission::schedule::ScheduleSubmission;
pub use submission::{BackoffFields, FieldError, Submission};
pub use workers::callbacks::OpenCallback;
pub use workers::claims::{
    ClaimRequest, ClaimResponse, ClaimUnderWay, Grant, Granted, UnsentGrants,
};
pub use workers::counters::{RemoteCounts, RemoteEnd};
pub use workers::entry::WorkerState;
pub use workers::kind_workers::KindWorkers;
pub use workers::list::{RankedWorkers, WorkerPage, WorkerQuery};
pub use workers::owner::LeaseHolderKind;
pub use workers::push_queue::Push;
pub use workers::registration::{
    WorkerAbout, WorkerCaller, WorkerCommand, WorkerRegistration, WorkerTransport,
};
pub use workers::report::{RemoteAttempt, WorkerReport};
pub use workers::session::WorkerSession;
pub use workers::totals::RemoteTotals;
pub use workers::updates::{
    AboutLease, AttemptEnding, ExtendAnswer, NoteAnswer, SettleAnswer, UpdateAnswer, WorkerNote,
    WorkerSettle, WorkerUpdate,
};
pub use workers::waiting_claims::Interest;
pub use workers::worker_error::WorkerError;

/// The running engine. Cheap to clone; every clone is the same engine.
#[derive(Clone)]
pub struct Engine {
    parts: Arc<Parts>,
    /// In whose name its operations are; see [`Engine::by`].
    actor: Option<Actor>,
    /// What the credentials behind them are restricted to, if they are.
    restriction: Option<Arc<Scope>>,
}

/// Everything that the verbs of the engine use. Each loop has a struct with just the parts that it uses.
struct Parts {
    store: Arc<dyn Store>,
    kinds: Kinds,
    config: Arc<EngineConfig>,
    /// The source of the timestamps of log lines, and of the current time with which the store's times are compared.
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
    stages: Stages,
    /// Cancelled once the engine is not paused as a whole, or never was. Until then nothing starts by itself.
    resumed: CancellationToken,
    dispatchers: Arc<Dispatchers>,
    queue_limits: Arc<QueueLimits>,
    leases: Arc<Leases>,
    /// The workers in other processes.
    remote: Arc<RemoteWorkers>,
    /// The one channel of committed events; only the event pump sends on it.
    live: Arc<Live>,
    completion_waiters: Arc<CompletionWaiters>,
    live_stats: Arc<LiveStatsChannel>,
    /// Metrics and failure groups.
    observed: Arc<Observed>,
    enqueue_times: Arc<EnqueueTimes>,
    /// What the System page draws over time.
    system_samples: Arc<SystemSamples>,
    /// Bounds how many pages of earlier moments are made at once.
    rewinding: Arc<Semaphore>,
    hashing: HashPermits,
    bulks: Arc<Bulks>,
    /// The names of the workers in the processes of the nodes.
    node_names: Arc<NodeNames>,
    subscriber_counts: Arc<SubscriberCounts>,
    settled: Arc<Settled>,
}

impl Engine {
    /// A consistent snapshot of everything that is stored, read piece by piece.
    pub async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.parts.store.snapshot().await
    }

    /// How much is stored, and how much was written since the start.
    pub async fn storage(&self) -> Result<Storage, StoreError> {
        self.parts.store.storage().await
    }

    /// What waits in the inbox of jobs that are submitted in SQL, if the store has one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn inbox_figures(&self) -> Result<Option<InboxFigures>, StoreError> {
        match self.parts.store.inbox() {
            Some(inbox) => inbox.figures().await.map(Some),
            None => Ok(None),
        }
    }

    /// How far the jobs for queries in SQL are behind, if the store has them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn projection_figures(&self) -> Result<Option<ProjectionFigures>, StoreError> {
        match self.parts.store.projection() {
            Some(projection) => projection.figures().await.map(Some),
            None => Ok(None),
        }
    }

    /// The stored events after a position in the log, at most `max`.
    pub async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError> {
        self.parts.store.events(after, max).await
    }

    /// The current time by the store's clock.
    pub fn now(&self) -> Time {
        self.parts.clock.now()
    }

    /// The position of the newest durable event.
    pub fn head(&self) -> Cursor {
        self.parts.store.head()
    }

    /// Where the log is read for a client whose cursor was ahead of it when the client came. It is behind every event, so
    /// that the client gets a gap even if the log has reached the cursor meanwhile: those are other events than the ones
    /// that it has seen. Where several nodes share the log, another one may have sent them, so it is the cursor itself.
    pub fn read_ahead_at(&self, cursor: Cursor) -> Cursor {
        if self.parts.store.is_shared() { cursor } else { cursor.behind_every_event() }
    }

    /// A receiver of committed events. When it lags, the missed events can be read with [`Engine::events`].
    /// The channel is closed when the server stops and the last event was sent.
    pub fn live(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.parts.live.subscribe()
    }

    /// A receiver of live statistics: the current ones at once, and then changes, at most four a second.
    pub fn live_stats(&self) -> watch::Receiver<Option<Arc<LiveStats>>> {
        self.parts.live_stats.subscribe()
    }

    /// The live statistics of this moment, for clients that ask for them instead of receiving them.
    pub async fn live_stats_now(&self) -> Result<LiveStats, StoreError> {
        let parts = &self.parts;
        LiveStats::read(&*parts.store, &*parts.clock, &parts.observed).await
    }

    /// The number of running attempts in this process.
    pub fn running(&self) -> usize {
        self.parts.leases.len()
    }

    /// Resolves when a loop or thread has failed, so that the server must stop with a non-zero code.
    pub async fn failed(&self) -> PartFailure {
        self.parts.shutdown.failures.first().await
    }

    /// Resolves with the reason when the store was replaced by another one, as by the failover of a database, so that the
    /// server must start again.
    pub async fn store_replaced(&self) -> StoreError {
        self.parts.store.replaced().await
    }

    /// Pauses a queue: none of its jobs is claimed.
    pub async fn pause(&self, queue: QueueName) -> Result<(), ControlError> {
        self.set_queue(queue, QueueChange::Paused).await
    }

    /// Resolves when the schedules of the configuration are stored, so that requests see those of this start. It does not
    /// wait for a store that fails, which must not keep the server from answering, nor for the end of a pause, because they
    /// are not stored before that.
    pub async fn declared_schedules_tried(&self) {
        let parts = &self.parts;
        tokio::select! {
            () = parts.stages.schedules_tried.cancelled() => {}
            () = parts.shutdown.draining.cancelled() => {}
            _ = self.failed() => {}
            () = std::future::ready(()), if self.is_paused() => {}
        }
    }

    /// Whether the engine began paused and was not resumed.
    pub fn is_paused(&self) -> bool {
        !self.parts.resumed.is_cancelled()
    }

    /// Ends the pause with which the engine began: jobs and schedules start. It cannot be paused again before the next
    /// start, but each queue can.
    pub fn resume_server(&self) {
        if self.is_paused() {
            tracing::info!("the server was resumed, jobs and schedules start now");
            self.parts.resumed.cancel();
            self.parts.remote.waiting.wake_all();
        }
    }

    /// Resumes a queue.
    pub async fn resume(&self, queue: QueueName) -> Result<(), ControlError> {
        self.set_queue(queue, QueueChange::Resumed).await
    }

    async fn set_queue(&self, queue: QueueName, change: QueueChange) -> Result<(), ControlError> {
        let control = Control::SetQueue(queue, change);
        self.parts.store.control(control, self.actor.clone()).await.map(drop)
    }

    /// The configuration of the engine.
    pub fn config(&self) -> &EngineConfig {
        &self.parts.config
    }

    /// The tokens and trackers of the server's stop.
    pub fn shutdown(&self) -> &Shutdown {
        &self.parts.shutdown
    }

    /// Tells a test whether the engine is still in memory.
    #[cfg(test)]
    pub(crate) fn alive(&self) -> std::sync::Weak<dyn std::any::Any + Send + Sync> {
        let parts: Arc<dyn std::any::Any + Send + Sync> = self.parts.clone();
        Arc::downgrade(&parts)
    }

    /// Whether jobs can be accepted; the error says why not.
    pub fn health(&self) -> Result<(), StoreError> {
        self.parts.store.health()
    }
}

/// A JSON value that is known to be valid at compile time, for examples of payloads.
pub fn example(text: &str) -> Json {
    Json::parse(text).unwrap_or_else(|_| Json::null())
}
