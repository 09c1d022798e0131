//! The session of a worker on a WebSocket, without the protocol: its name, the jobs that it can run, and the messages
//! for it.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::claims::{ClaimUnderWay, Granted};
use super::push_queue::{Push, PushQueue};
use super::registration::{WorkerCaller, WorkerCommand, WorkerRegistration};
use super::remote::RemoteWorkers;
use super::update_order::UpdateOrder;
use super::updates::{AboutLease, ExtendAnswer, UpdateAnswer, WorkerUpdate};
use super::waiting_claims::ClaimWaiter;
use super::worker_error::WorkerError;
use crate::job::WorkerName;
use crate::store::{LeaseRef, StoreError};

/// How long a session waits after a claim that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The connection of one worker. When it is dropped, the leases of the worker stay as they are.
pub struct WorkerSession {
    remote: Arc<RemoteWorkers>,
    name: WorkerName,
    caller: WorkerCaller,
    lease: Duration,
    pushes: Arc<PushQueue>,
    waiter: ClaimWaiter,
    /// The reports of this connection.
    order: UpdateOrder,
}

impl WorkerSession {
    /// Connects a worker.
    ///
    /// # Errors
    /// There are too many workers, or the name belongs to somebody else.
    pub fn open(
        remote: &Arc<RemoteWorkers>,
        name: WorkerName,
        registration: WorkerRegistration,
    ) -> Result<WorkerSession, WorkerError> {
        let (interest, lease, caller) =
            (registration.interest.clone(), registration.lease, registration.caller.clone());
        remote.register(&name, registration)?;
        let pushes = Arc::new(PushQueue::default());
        let events = {
            let (mut table, when) = (remote.table(), remote.read_clocks());
            table.begin_session(&name, pushes.clone(), when);
            table.take_events()
        };
        remote.report(events);
        let waiter = remote.waiting.join(&interest, pushes.signal.clone());
        let order = UpdateOrder::default();
        Ok(WorkerSession { remote: remote.clone(), name, caller, lease, pushes, waiter, order })
    }

    /// Changes what the worker can run.
    ///
    /// # Errors
    /// There are too many workers, and this one was forgotten; or the name belongs to somebody else now.
    pub fn change(&mut self, mut registration: WorkerRegistration) -> Result<(), WorkerError> {
        if !self.is_current() {
            return Ok(()); // the connection is about to end
        }
        let (interest, lease) = (registration.interest.clone(), registration.lease);
        registration.caller = self.caller.clone();
        self.remote.register(&self.name, registration)?;
        if interest != *self.waiter.interest() {
            self.waiter = self.remote.waiting.join(&interest, self.pushes.signal.clone());
        }
        self.lease = lease;
        Ok(())
    }

    /// How long its leases last.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    /// The command that is in force: `quiet`, `stop`, or none.
    pub fn command(&self) -> Option<WorkerCommand> {
        self.remote.command_of(&self.name)
    }

    /// Resolves when there is a push, or when the worker should claim.
    pub async fn woken(&self) {
        self.pushes.signal.notified().await;
    }

    /// Takes the messages that wait for the worker.
    pub fn take_pushes(&self) -> Vec<Push> {
        self.pushes.take()
    }

    /// Whether this is still the connection of the worker: another one may have replaced it, or the worker was signed off.
    pub fn is_current(&self) -> bool {
        self.remote.table().has_session(&self.name, &self.pushes)
    }

    /// Whether the worker was woken to claim since the last call.
    pub fn take_wake_up(&mut self) -> bool {
        self.waiter.take_wake_up()
    }

    /// The text of a lease.
    pub fn text(&self, lease: LeaseRef) -> String {
        self.remote.text(lease)
    }

    /// A claim of at most `max` jobs; `None` when the worker gets none now. The worker waits in its queue before the claim
    /// begins.
    pub fn claim(&mut self, max: usize) -> Option<ClaimUnderWay> {
        let can_claim = || {
            let table = self.remote.table();
            table.has_session(&self.name, &self.pushes) && table.can_claim(&self.name)
        };
        if max == 0 || !can_claim() {
            self.waiter.stop_waiting();
            return None;
        }
        self.waiter.start_waiting();
        Some(self.remote.begin_claim(&self.name, self.waiter.interest(), max, self.lease))
    }

    /// Stops waiting for jobs, for now.
    pub fn stop_waiting(&mut self) {
        self.waiter.stop_waiting();
    }

    /// Notes the result of a claim.
    pub fn claimed(&mut self, claimed: &Result<Granted, StoreError>) {
        let (size, retry_in) = match claimed {
            Ok(granted) => (granted.size(), granted.retry_in),
            Err(_) => (super::waiting_claims::ClaimSize::Short, Some(RETRY_DELAY)),
        };
        self.waiter.claimed(size);
        if let Some(retry_in) = retry_in {
            self.waiter.retry_at(Instant::now() + retry_in);
        }
    }

    /// Carries out a report, after those before it. It goes on when the connection ends.
    pub fn update(
        &mut self,
        update: WorkerUpdate,
    ) -> BoxFuture<'static, Result<UpdateAnswer, StoreError>> {
        self.remote.update(update, self.order.next_turn())
    }

    /// Extends the leases that the worker still holds after it has connected again.
    pub fn keep(
        &mut self,
        held: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<AboutLease<ExtendAnswer>>, StoreError>> {
        let (remote, lease, turn) = (self.remote.clone(), self.lease, self.order.next_turn());
        let update = WorkerUpdate { extend: held, lease, ..WorkerUpdate::default() };
        async move { remote.update(update, turn).await.map(|answer| answer.extend) }.boxed()
    }

    /// Signs the worker off: the jobs that it holds are given back. Returns their number. Its reports are answered before.
    pub fn sign_off(&mut self) -> BoxFuture<'static, Result<usize, WorkerError>> {
        self.waiter.stop_waiting();
        if !self.is_current() {
            // Another connection of the worker has replaced this one, or somebody else has signed the worker off.
            return ready(Err(WorkerError::NotFound(self.name.clone()))).boxed();
        }
        self.remote.sign_off(&self.name, &self.caller)
    }
}

impl Drop for WorkerSession {
    fn drop(&mut self) {
        let when = self.remote.read_clocks();
        self.remote.table().end_session(&self.name, &self.pushes, when);
    }
}
