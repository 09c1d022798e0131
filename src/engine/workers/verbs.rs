//! The operations of `Engine` on remote workers. Their events name the caller (`by`).

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::claims::{ClaimRequest, ClaimResponse, Grant};
use super::counters::RemoteEnd;
use super::owner::LeaseHolderKind;
use super::registration::{WorkerCaller, WorkerCommand, WorkerRegistration};
use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::report::RemoteAttempt;
use super::session::WorkerSession;
use super::update_order::UpdateTurn;
use super::updates::{UpdateAnswer, WorkerUpdate};
use super::waiting_claims::Interest;
use super::worker_error::WorkerError;
use crate::engine::Engine;
use crate::job::{Actor, Interruption, Kind, Verdict, WorkerName};
use crate::store::{KindError, Settlement, StoreError};

impl RemoteWorkers {
    /// Signs a worker off: the jobs that it holds are given back, and their attempts do not count. Its connection is closed,
    /// and it gets no more jobs. Returns how many jobs were given back. It goes on when nobody waits for it any more.
    pub fn sign_off(
        self: &Arc<Self>,
        name: &WorkerName,
        caller: &WorkerCaller,
    ) -> BoxFuture<'static, Result<usize, WorkerError>> {
        let (remote, name, caller) = (self.clone(), name.clone(), caller.clone());
        self.run_to_end(async move { remote.sign_off_now(&name, &caller).await }.boxed())
    }

    async fn sign_off_now(
        &self,
        name: &WorkerName,
        caller: &WorkerCaller,
    ) -> Result<usize, WorkerError> {
        if !self.table().may_use(name, caller) {
            return Err(WorkerError::OfAnother(name.clone()));
        }
        let mut returned = 0;
        loop {
            let held: Vec<RemoteLease> = {
                let mut table = self.table();
                if !table.begin_sign_off(name) {
                    return Err(WorkerError::NotFound(name.clone()));
                }
                let held = table.begin_settling(name);
                if held.is_empty() {
                    table.sign_off(name, self.clock.now(), caller.actor.clone());
                    let events = table.take_events();
                    drop(table);
                    self.report(events);
                    return Ok(returned);
                }
                held
            };
            // A claim that was under way may bring jobs meanwhile.
            returned +=
                self.give_back(held).await.inspect_err(|_| self.table().sign_off_failed(name))?;
        }
    }

    /// Gives back jobs that were claimed and not sent to a worker.
    pub async fn give_back_grants(&self, grants: Vec<Grant>) -> Result<usize, StoreError> {
        let leases = grants.iter().filter_map(|grant| self.tokens.read(&grant.lease));
        let held = {
            let table = self.table();
            leases.filter_map(|lease| table.leases.get(lease).cloned()).collect()
        };
        self.give_back(held).await
    }

    /// Gives back the jobs that a worker holds; their attempts do not count. Returns the number of jobs.
    pub async fn give_back(&self, leases: Vec<RemoteLease>) -> Result<usize, StoreError> {
        let why = Interruption::Returned;
        let settlement = |held: &RemoteLease| Settlement {
            lease: held.lease,
            verdict: Verdict::Interrupted { why },
        };
        let batch: Vec<Settlement> = leases.iter().map(settlement).collect();
        if batch.is_empty() {
            return Ok(0);
        }
        let stored = self.store.settle(batch).await;
        let mut table = self.table();
        let answers = match stored {
            Ok(answers) => answers,
            Err(error) => {
                leases.iter().for_each(|held| table.leases.settling_failed(held.lease));
                return Err(error);
            }
        };
        leases.iter().for_each(|held| drop(table.end(held.lease)));
        let returned = answers.into_iter().filter(Result::is_ok).count();
        self.counters.ended(RemoteEnd::Returned, returned);
        Ok(returned)
    }

    /// Gives a worker a command.
    pub fn command(
        &self,
        name: &WorkerName,
        command: WorkerCommand,
        by: Option<Actor>,
    ) -> Result<(), WorkerError> {
        let mut table = self.table();
        let is_known = table.tell(name, command, by);
        let events = table.take_events();
        drop(table);
        self.report(events);
        if is_known { Ok(()) } else { Err(WorkerError::NotFound(name.clone())) }
    }
}

impl Engine {
    /// Claims jobs for a worker, and waits for the first of them.
    ///
    /// # Errors
    /// There are too many workers, the name belongs to somebody else, the server stops, or the store failed.
    pub async fn claim_for(
        &self,
        worker: &WorkerName,
        mut request: ClaimRequest,
    ) -> Result<ClaimResponse, WorkerError> {
        self.check_worker_name(worker)?;
        request.registration.caller = self.worker_caller();
        self.announce_interest(&request.registration.interest).await?;
        self.parts.remote.claim(worker, request).await
    }

    /// Applies a report of a worker. The outcomes are durable when this returns.
    ///
    /// # Errors
    /// The store failed.
    pub async fn update_leases(&self, update: WorkerUpdate) -> Result<UpdateAnswer, StoreError> {
        self.parts.remote.update(update, UpdateTurn::alone()).await
    }

    /// Refuses a report about leases of workers that the caller may not act as.
    ///
    /// # Errors
    /// A worker belongs to somebody else, and the credentials of the caller are restricted.
    pub fn check_leases<'a>(
        &self,
        leases: impl Iterator<Item = &'a str>,
    ) -> Result<(), WorkerError> {
        self.parts.remote.check_leases(leases, &self.worker_caller())
    }

    fn worker_caller(&self) -> WorkerCaller {
        WorkerCaller { actor: self.actor.clone(), restriction: self.restriction.clone() }
    }

    /// Whose attempt a text names as its lease; `None` if it is not a lease that this server has issued.
    ///
    /// # Errors
    /// The store failed.
    pub async fn lease_holder(&self, text: &str) -> Result<Option<LeaseHolderKind>, StoreError> {
        self.parts.remote.holder_of(text).await
    }

    /// Signs a worker off. Returns how many jobs it gave back.
    ///
    /// # Errors
    /// There is no such worker, it belongs to somebody else, or the store failed.
    pub async fn sign_off(&self, worker: &WorkerName) -> Result<usize, WorkerError> {
        self.parts.remote.sign_off(worker, &self.worker_caller()).await
    }

    /// Gives a worker a command: to be quiet, to stop or to resume.
    ///
    /// # Errors
    /// There is no such worker.
    pub fn tell_worker(
        &self,
        worker: &WorkerName,
        command: WorkerCommand,
    ) -> Result<(), WorkerError> {
        self.parts.remote.command(worker, command, self.actor.clone())
    }

    /// Opens the session of a worker on a WebSocket.
    ///
    /// # Errors
    /// There are too many workers, or the name belongs to somebody else.
    pub fn connect_worker(
        &self,
        worker: WorkerName,
        mut registration: WorkerRegistration,
    ) -> Result<WorkerSession, WorkerError> {
        registration.caller = self.worker_caller();
        WorkerSession::open(&self.parts.remote, worker, registration)
    }

    /// Announces the kinds of a worker, so that jobs of them can be submitted even while no worker is connected.
    ///
    /// # Errors
    /// The store failed. If there are too many kinds already, this succeeds: the worker can still run the known ones.
    pub async fn announce_interest(&self, interest: &Interest) -> Result<(), StoreError> {
        let kinds: Vec<Kind> = interest.kinds.iter().cloned().collect();
        match self.announce_kinds(&kinds).await {
            Ok(()) => Ok(()),
            Err(KindError::Store(error)) => Err(error),
            Err(error @ (KindError::TooMany { .. } | KindError::NotFound)) => {
                tracing::debug!(%error, "the kinds of a worker could not be announced");
                Ok(())
            }
        }
    }

    /// How many remote workers run a kind now.
    pub fn workers_of_kind(&self, kind: &Kind) -> usize {
        self.parts.remote.table().workers_of(kind)
    }

    /// How many remote workers run each kind now.
    pub fn workers_by_kind(&self) -> HashMap<Kind, usize> {
        self.parts.remote.table().workers_by_kind()
    }

    /// The oldest attempts of remote workers, at most `max`, and the number of all.
    pub fn remote_attempts(&self, max: usize) -> (Vec<RemoteAttempt>, usize) {
        self.parts.remote.attempts(max)
    }

    /// The oldest attempts of each of these remote workers, at most `max` for each.
    pub fn remote_attempts_of(
        &self,
        workers: &[WorkerName],
        max: usize,
    ) -> HashMap<WorkerName, Vec<RemoteAttempt>> {
        self.parts.remote.attempts_of(workers, max)
    }

    /// Resolves when connections of workers are to be closed, because the server stops and no attempt runs here any more.
    pub async fn workers_must_leave(&self) {
        self.parts.remote.attempts_over.cancelled().await;
    }

    /// Refuses the name of the worker in the process of a node.
    ///
    /// # Errors
    /// It is such a name.
    pub fn check_worker_name(&self, worker: &WorkerName) -> Result<(), WorkerError> {
        self.parts.node_names.check(worker)
    }
}
