//! The remote workers of a server: their table, the claims that wait, and what both need.

use std::future::{pending, ready};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::callbacks::Callbacks;
use super::counters::WorkerCounters;
use super::lease_token::LeaseTokens;
use super::limits::{RegistrationRefused, WorkerLimits};
use super::registration::WorkerRegistration;
use super::remote_leases::ClockReadings;
use super::table::WorkerTable;
use super::waiting_claims::WaitingClaims;
use super::worker_error::WorkerError;
use crate::clock::Clock;
use crate::engine::stream::event_pump::Live;
use crate::job::{JobId, Kind, Time, WorkerName};
use crate::store::{LeaseRef, Store, WorkerNotice};

/// What remote workers share.
pub struct RemoteWorkers {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub tokens: Arc<LeaseTokens>,
    /// The attempts of this process that accept reports, too.
    pub callbacks: Arc<Callbacks>,
    /// The channel of committed events.
    pub live: Arc<Live>,
    pub waiting: Arc<WaitingClaims>,
    pub counters: WorkerCounters,
    table: Mutex<WorkerTable>,
    /// Events about workers that are not stored yet.
    pending_events: Mutex<Vec<WorkerNotice>>,
    /// Wakes the keeper when the next deadline may be earlier than before, or when there are events to store.
    pub deadline_changed: Notify,
    /// How long an attempt may run when its job does not say.
    pub default_timeout: Duration,
    /// The most workers in the table.
    pub limits: WorkerLimits,
    /// Cancelled once the server is not paused. Nothing is claimed before that.
    pub resumed: CancellationToken,
    /// Cancelled when the stop begins: nothing is claimed any more.
    pub draining: CancellationToken,
    /// Cancelled when no attempt of this process runs any more: then the connections of workers are closed.
    pub attempts_over: CancellationToken,
    /// Tracks connections, and what their ends leave to be done.
    pub connections: TaskTracker,
}

/// The parts from which [`RemoteWorkers`] are made.
pub struct RemoteParts {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub tokens: Arc<LeaseTokens>,
    pub callbacks: Arc<Callbacks>,
    pub live: Arc<Live>,
    pub default_timeout: Duration,
    pub limits: WorkerLimits,
    pub resumed: CancellationToken,
    pub draining: CancellationToken,
    pub attempts_over: CancellationToken,
    pub connections: TaskTracker,
}

impl RemoteWorkers {
    /// Creates the table without workers.
    pub fn new(parts: RemoteParts) -> RemoteWorkers {
        RemoteWorkers {
            store: parts.store,
            clock: parts.clock,
            tokens: parts.tokens,
            callbacks: parts.callbacks,
            live: parts.live,
            waiting: Arc::default(),
            counters: WorkerCounters::default(),
            table: Mutex::default(),
            pending_events: Mutex::default(),
            deadline_changed: Notify::new(),
            default_timeout: parts.default_timeout,
            limits: parts.limits,
            resumed: parts.resumed,
            draining: parts.draining,
            attempts_over: parts.attempts_over,
            connections: parts.connections,
        }
    }

    /// Begins an operation at once, and carries it out also when its caller stops waiting for it: a report that is dropped
    /// midway would leave its leases as if their ends were still being stored.
    pub fn run_to_end<T: Send + 'static>(
        &self,
        mut operation: BoxFuture<'static, T>,
    ) -> BoxFuture<'static, T> {
        if let Some(done) = (&mut operation).now_or_never() {
            return ready(done).boxed();
        }
        let task = self.connections.spawn(operation);
        let joined = task.then(|joined| async {
            match joined.map_err(JoinError::try_into_panic) {
                Ok(done) => done,
                Err(Ok(panic)) => resume_unwind(panic),
                Err(Err(_)) => pending().await, // the runtime ends
            }
        });
        joined.boxed()
    }

    /// The text of a lease.
    pub fn text(&self, lease: LeaseRef) -> String {
        self.tokens.text(lease)
    }

    /// Tells the worker of a job that the job is to be cancelled.
    pub fn ask_cancel(&self, job: JobId) {
        self.table().ask_cancel(job);
    }

    /// Registers a worker, or updates what it says about itself.
    ///
    /// # Errors
    /// There are too many workers, in all or of the caller, or the name belongs to somebody else.
    pub fn register(
        &self,
        name: &WorkerName,
        mut registration: WorkerRegistration,
    ) -> Result<(), WorkerError> {
        registration.interest = self.waiting.shared(registration.interest);
        let when = self.read_clocks();
        let mut table = self.table();
        let registered = table.register(name, registration, self.limits, when);
        let events = table.take_events();
        drop(table);
        self.report(events);
        registered.map_err(|refused| match refused {
            RegistrationRefused::TooMany => {
                self.counters.refused();
                WorkerError::TooMany { limit: self.limits.total }
            }
            RegistrationRefused::TooManyOfToken => {
                self.counters.refused();
                WorkerError::TooManyOfToken { limit: self.limits.per_token }
            }
            RegistrationRefused::OfAnother => WorkerError::OfAnother(name.clone()),
        })
    }

    /// Queues events about workers for the keeper, which stores them. Nobody waits for that.
    pub fn report(&self, events: Vec<WorkerNotice>) {
        if events.is_empty() {
            return;
        }
        for WorkerNotice { worker, change, .. } in &events {
            let event = change.event_type();
            info!(%worker, %event, "the state of a worker changed");
        }
        self.pending_events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
        self.deadline_changed.notify_one();
    }

    /// Takes the events that were queued since the last call.
    pub fn take_events(&self) -> Vec<WorkerNotice> {
        std::mem::take(&mut self.pending_events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// When the last worker of a kind left.
    pub fn last_left(&self, kind: &Kind) -> Option<Time> {
        self.table().last_left(kind)
    }

    /// Reads the store's clock and the monotonic clock.
    pub fn read_clocks(&self) -> ClockReadings {
        ClockReadings { at: self.clock.now(), now: Instant::now() }
    }

    pub fn table(&self) -> MutexGuard<'_, WorkerTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
