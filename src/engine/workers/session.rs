//! The session of a worker on a WebSocket, without the protocol: its name, the jobs that it can run, and the messages
//! for it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::claims::{ClaimUnderWay, Grant, Granted};
use super::hello::{WorkerCaller, WorkerCommand, WorkerHello};
use super::mailbox::{Mailbox, Push};
use super::remote::RemoteWorkers;
use super::updates::{AboutLease, ExtendAnswer, UpdateAnswer, WorkerUpdate};
use super::waiting_claims::LinePlace;
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
    mailbox: Arc<Mailbox>,
    place: LinePlace,
    /// Whether it gets no jobs, because it was told to be quiet or to stop.
    is_quiet: bool,
}

impl WorkerSession {
    /// Connects a worker.
    ///
    /// # Errors
    /// There are too many workers, or the name belongs to somebody else.
    pub fn open(
        remote: &Arc<RemoteWorkers>,
        name: WorkerName,
        mut hello: WorkerHello,
    ) -> Result<WorkerSession, WorkerError> {
        let mailbox = Arc::new(Mailbox::default());
        let place = remote.waiting.place(&hello.interest, mailbox.signal.clone());
        hello.interest = place.interest().clone();
        let (lease, caller) = (hello.lease, hello.caller.clone());
        remote.hello(&name, hello)?;
        let news = {
            let (mut table, when) = (remote.table(), remote.moments());
            table.begin_session(&name, mailbox.clone(), when);
            table.take_news()
        };
        remote.report(news);
        let is_quiet = remote.command_of(&name).is_some();
        Ok(WorkerSession { remote: remote.clone(), name, caller, lease, mailbox, place, is_quiet })
    }

    /// Changes what the worker can run.
    ///
    /// # Errors
    /// There are too many workers, and this one was forgotten; or the name belongs to somebody else now.
    pub fn change(&mut self, mut hello: WorkerHello) -> Result<(), WorkerError> {
        let signal = self.mailbox.signal.clone();
        let is_other = hello.interest != *self.place.interest();
        let place = is_other.then(|| self.remote.waiting.place(&hello.interest, signal));
        hello.interest = place.as_ref().unwrap_or(&self.place).interest().clone();
        hello.caller = self.caller.clone();
        let lease = hello.lease;
        self.remote.hello(&self.name, hello)?;
        if let Some(place) = place {
            self.place = place;
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
        self.mailbox.signal.notified().await;
    }

    /// Takes the messages that wait for the worker.
    pub fn take_pushes(&mut self) -> Vec<Push> {
        let pushes = self.mailbox.take();
        for push in &pushes {
            match push {
                Push::Command(WorkerCommand::Quiet | WorkerCommand::Stop) => self.is_quiet = true,
                Push::Command(WorkerCommand::Resume) => self.is_quiet = false,
                Push::Cancel(_) | Push::Lost(_) | Push::Replaced => {}
            }
        }
        pushes
    }

    /// Whether the worker was woken to claim.
    pub fn take_turn(&mut self) -> bool {
        self.place.take_turn()
    }

    /// The text of a lease.
    pub fn text(&self, lease: LeaseRef) -> String {
        self.remote.text(lease)
    }

    /// A claim of at most `max` jobs; `None` when the worker gets none now. The worker waits in its line before the claim
    /// begins.
    pub fn claim(&mut self, max: usize) -> Option<ClaimUnderWay> {
        if max == 0 || self.is_quiet {
            self.place.step_out();
            return None;
        }
        self.place.line_up();
        Some(self.remote.begin_claim(&self.name, self.place.interest(), max, self.lease))
    }

    /// Stops waiting for jobs, for now.
    pub fn step_out(&mut self) {
        self.place.step_out();
    }

    /// Notes the result of a claim.
    pub fn claimed(&mut self, claimed: &Result<Granted, StoreError>) {
        let (size, retry_in) = match claimed {
            Ok(granted) => (granted.size(), granted.retry_in),
            Err(_) => (super::waiting_claims::ClaimSize::Short, Some(RETRY_DELAY)),
        };
        self.place.claimed(size);
        if let Some(retry_in) = retry_in {
            self.place.retry_at(Instant::now() + retry_in);
        }
    }

    /// Carries out a report.
    pub fn update(
        &self,
        update: WorkerUpdate,
    ) -> BoxFuture<'static, Result<UpdateAnswer, StoreError>> {
        let remote = self.remote.clone();
        async move { remote.update(update).await }.boxed()
    }

    /// Extends the leases that the worker still holds after it has connected again.
    pub fn keep(
        &self,
        held: Vec<String>,
    ) -> BoxFuture<'static, Result<Vec<AboutLease<ExtendAnswer>>, StoreError>> {
        let (remote, lease) = (self.remote.clone(), self.lease);
        let update = WorkerUpdate { extend: held, lease, ..WorkerUpdate::default() };
        async move { remote.update(update).await.map(|answer| answer.extend) }.boxed()
    }

    /// Gives jobs back that were claimed for the worker and not sent to it.
    pub fn give_back(&self, grants: Vec<Grant>) -> BoxFuture<'static, Result<usize, StoreError>> {
        let remote = self.remote.clone();
        async move { remote.give_back_grants(grants).await }.boxed()
    }

    /// Signs the worker off: the jobs that it holds are given back. Returns their number.
    pub fn sign_off(&mut self) -> BoxFuture<'static, Result<usize, WorkerError>> {
        self.place.step_out();
        let (remote, name, caller) = (self.remote.clone(), self.name.clone(), self.caller.clone());
        async move { remote.sign_off(&name, &caller).await }.boxed()
    }
}

impl Drop for WorkerSession {
    fn drop(&mut self) {
        let when = self.remote.moments();
        self.remote.table().end_session(&self.name, &self.mailbox, when);
    }
}
