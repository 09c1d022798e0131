//! Claims of remote workers: a claim that returns at once, and one over HTTP that waits for jobs.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::registration::{WorkerCommand, WorkerRegistration};
use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::waiting_claims::{ClaimSize, Interest, Signal};
use super::worker_error::WorkerError;
use crate::job::{Job, WorkerName};
use crate::store::{Claim, Claimed, StoreError, WorkerPlace};

/// A job that a remote worker has got.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The text by which the worker names the lease.
    pub lease: String,
    /// The job as it was claimed.
    pub job: Arc<Job>,
    /// How long the lease lasts unless it is extended.
    pub expires_in: Duration,
}

impl Grant {
    /// About how long the job is in a message, in bytes.
    pub fn bytes(&self) -> usize {
        let tags: usize = self.job.labels.tags.iter().map(|tag| tag.as_str().len() + 3).sum();
        JOB_BYTES + self.job.spec.payload.as_str().len() + tags
    }

    /// How many of the first of these jobs one message may bring: at least one, and only one that is longer than
    /// a message may be.
    pub fn fitting(grants: &[Grant]) -> usize {
        let mut bytes = 0;
        let fit = grants.iter().take_while(|grant| {
            bytes += grant.bytes();
            bytes <= MAX_MESSAGE
        });
        fit.count().max(1).min(grants.len())
    }
}

/// Bytes of a job in a message, apart from its payload and its tags.
const JOB_BYTES: usize = 400;
/// About the most bytes of jobs in one message. Clients need no more memory for it, however large the payloads are.
const MAX_MESSAGE: usize = 4 * 1_024 * 1_024;

/// A claim over HTTP.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// What the worker says about itself.
    pub registration: WorkerRegistration,
    /// The most jobs to return.
    pub max: usize,
    /// How long to wait for the first of them.
    pub wait: Duration,
}

/// The answer to a claim over HTTP.
#[derive(Debug)]
pub struct ClaimResponse {
    /// The jobs.
    pub grants: UnsentGrants,
    /// What the worker is to do.
    pub command: Option<WorkerCommand>,
}

/// The result of one claim.
#[derive(Debug)]
pub struct Granted {
    /// The jobs.
    pub grants: UnsentGrants,
    /// After how long to claim again even if nothing wakes the worker, for example because of a rate limit.
    pub retry_in: Option<Duration>,
    /// The most jobs that the store was asked for, which may be less than the worker wanted.
    pub most: usize,
}

impl Granted {
    /// Whether the claim got all that it asked for.
    pub fn size(&self) -> ClaimSize {
        if self.is_full() { ClaimSize::Full } else { ClaimSize::Short }
    }

    /// Whether there may be more jobs.
    pub fn is_full(&self) -> bool {
        self.grants.len() >= self.most
    }
}

impl RemoteWorkers {
    /// Begins to claim jobs for a worker.
    pub fn begin_claim(
        self: &Arc<Self>,
        name: &WorkerName,
        interest: &Arc<Interest>,
        max: usize,
        ttl: Duration,
    ) -> ClaimUnderWay {
        let (remote, name, interest) = (self.clone(), name.clone(), interest.clone());
        let claim = async move { remote.claim_now(&name, &interest, max, ttl).await }.boxed();
        ClaimUnderWay { remote: self.clone(), claim: Some(claim) }
    }

    /// Claims jobs for a worker.
    async fn claim_now(
        self: &Arc<Self>,
        name: &WorkerName,
        interest: &Interest,
        max: usize,
        ttl: Duration,
    ) -> Result<Granted, StoreError> {
        if !self.resumed.is_cancelled() || self.draining.is_cancelled() {
            return Ok(self.nothing(None, max));
        }
        let max = self.table().claim_size(name, max, MAX_MESSAGE);
        let claim = Claim {
            queues: interest.queues.iter().cloned().collect(),
            kinds: interest.kinds.clone(),
            max,
            worker: name.clone(),
            place: WorkerPlace::Remote,
            ttl,
        };
        let when = self.read_clocks();
        let Claimed { leases, retry_in } = self.store.claim(claim).await?;
        if leases.is_empty() {
            return Ok(self.nothing(retry_in, max));
        }
        self.counters.started(leases.len());
        let texts: Vec<String> = leases.iter().map(|lease| self.text(lease.key())).collect();
        let mut table = self.table();
        let before = table.leases.next_deadline();
        for lease in &leases {
            if let Some(mut held) =
                RemoteLease::of(&lease.job, lease.key(), self.default_timeout, when)
            {
                held.until = when.at.after(ttl);
                table.take(held);
            }
        }
        let grants = leases.into_iter().zip(texts);
        let grants =
            grants.map(|(lease, text)| Grant { lease: text, job: lease.job, expires_in: ttl });
        let grants: Vec<Grant> = grants.collect();
        table.note_claimed(name, grants.iter().map(Grant::bytes).sum(), grants.len());
        let is_earlier = table.leases.next_deadline() < before || before.is_none();
        drop(table);
        if is_earlier {
            self.deadline_changed.notify_one();
        }
        Ok(Granted { grants: self.unsent(grants), retry_in, most: max })
    }

    /// A claim without jobs.
    fn nothing(self: &Arc<Self>, retry_in: Option<Duration>, most: usize) -> Granted {
        Granted { grants: self.unsent(Vec::new()), retry_in, most }
    }

    fn unsent(self: &Arc<Self>, grants: Vec<Grant>) -> UnsentGrants {
        UnsentGrants { remote: self.clone(), grants }
    }

    /// Claims jobs for a worker over HTTP, and waits for the first of them. A worker that was told to be quiet or to
    /// stop is answered at once the first time, and gets no jobs until it is told to resume.
    pub async fn claim(
        self: &Arc<Self>,
        name: &WorkerName,
        request: ClaimRequest,
    ) -> Result<ClaimResponse, WorkerError> {
        if self.draining.is_cancelled() {
            return Err(WorkerError::Stopping);
        }
        let ClaimRequest { registration, max, wait } = request;
        let (interest, ttl) = (registration.interest.clone(), registration.lease);
        self.register(name, registration)?;
        let poll = OpenPoll::begin(self, name);
        let mut waiter = self.waiting.join(&interest, poll.signal.clone());
        let deadline = Instant::now() + wait;
        loop {
            if !self.table().has_poll(name, &poll.signal) {
                // It was signed off while this claim waited.
                return Ok(self.answer(name, self.unsent(Vec::new())));
            }
            if self.command_of(name).is_some() {
                waiter.stop_waiting();
                if wait.is_zero() || self.table().is_command_new(name) {
                    return Ok(self.answer(name, self.unsent(Vec::new())));
                }
            } else if let Some(room) = poll.reserve(max) {
                if !wait.is_zero() {
                    waiter.start_waiting();
                }
                let granted = self.begin_claim(name, &interest, room.jobs, ttl).await?;
                waiter.claimed(granted.size());
                drop(room);
                if !self.table().has_poll(name, &poll.signal) {
                    continue; // the jobs are given back
                }
                if let Some(retry_in) = granted.retry_in {
                    waiter.retry_at(Instant::now() + retry_in);
                }
                if wait.is_zero() || !granted.grants.is_empty() {
                    return Ok(self.answer(name, granted.grants.fitting()));
                }
            } else {
                // It runs as many jobs as it can. An end of one of them wakes this claim.
                waiter.stop_waiting();
                if wait.is_zero() {
                    return Ok(self.answer(name, self.unsent(Vec::new())));
                }
            }
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return Err(WorkerError::Stopping),
                () = poll.signal.notified() => {
                    waiter.take_wake_up();
                }
                () = sleep_until(deadline) => return Ok(self.answer(name, self.unsent(Vec::new()))),
            }
        }
    }

    /// The command that is in force for a worker: `quiet`, `stop`, or none.
    pub fn command_of(&self, name: &WorkerName) -> Option<WorkerCommand> {
        self.table().get(name).and_then(|worker| worker.command)
    }

    fn answer(&self, name: &WorkerName, grants: UnsentGrants) -> ClaimResponse {
        ClaimResponse { grants, command: self.table().answer_command(name) }
    }

    /// Gives jobs back that were claimed for a worker that is gone, once the claim is done. A stop waits for that as for
    /// the connection of the worker.
    fn give_back_later(
        self: &Arc<Self>,
        claim: impl Future<Output = Result<Vec<Grant>, StoreError>> + Send + 'static,
    ) {
        // Without a runtime, the process ends. The leases expire then.
        if Handle::try_current().is_err() {
            return;
        }
        let remote = self.clone();
        self.connections.spawn(async move {
            let given_back = match claim.await {
                Ok(grants) => remote.give_back_grants(grants).await,
                Err(error) => Err(error),
            };
            if let Err(error) = given_back {
                tracing::debug!(%error, "jobs whose worker is gone could not be given back");
            }
        });
    }
}

/// A claim under way. When its caller no longer waits for it, the jobs that it brings are given back at once.
pub struct ClaimUnderWay {
    remote: Arc<RemoteWorkers>,
    /// Exists until it is done.
    claim: Option<BoxFuture<'static, Result<Granted, StoreError>>>,
}

impl Future for ClaimUnderWay {
    type Output = Result<Granted, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(claim) = &mut self.claim else { return Poll::Pending };
        let done = std::task::ready!(claim.as_mut().poll(context));
        self.claim = None;
        Poll::Ready(done)
    }
}

impl Drop for ClaimUnderWay {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            let grants = |granted: Granted| granted.grants.send();
            self.remote.give_back_later(claim.map(move |granted| granted.map(grants)));
        }
    }
}

/// Jobs that a worker was given and has not been sent. When they are dropped, they are given back at once.
pub struct UnsentGrants {
    remote: Arc<RemoteWorkers>,
    grants: Vec<Grant>,
}

impl UnsentGrants {
    /// The jobs, which the worker is sent now.
    pub fn send(mut self) -> Vec<Grant> {
        std::mem::take(&mut self.grants)
    }

    /// The jobs that one answer over HTTP may bring. The others are given back.
    fn fitting(mut self) -> UnsentGrants {
        let fit = Grant::fitting(&self);
        drop(self.split_off(fit));
        self
    }

    /// Splits off the jobs from this position on.
    pub fn split_off(&mut self, at: usize) -> UnsentGrants {
        UnsentGrants { remote: self.remote.clone(), grants: self.grants.split_off(at) }
    }
}

impl Deref for UnsentGrants {
    type Target = [Grant];

    fn deref(&self) -> &[Grant] {
        &self.grants
    }
}

impl std::fmt::Debug for UnsentGrants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.grants.fmt(f)
    }
}

impl Drop for UnsentGrants {
    fn drop(&mut self) {
        if !self.grants.is_empty() {
            let grants = std::mem::take(&mut self.grants);
            self.remote.give_back_later(std::future::ready(Ok(grants)));
        }
    }
}

/// A claim over HTTP that waits. Its worker is connected until this is dropped.
struct OpenPoll<'a> {
    remote: &'a RemoteWorkers,
    name: &'a WorkerName,
    signal: Arc<Signal>,
}

impl<'a> OpenPoll<'a> {
    fn begin(remote: &'a RemoteWorkers, name: &'a WorkerName) -> OpenPoll<'a> {
        let signal = Arc::new(Signal::default());
        remote.table().begin_poll(name, signal.clone());
        OpenPoll { remote, name, signal }
    }

    /// Reserves room for a claim of at most `max` jobs. `None` while the worker runs as many as it has said that it can;
    /// the signal then tells when there may be room.
    fn reserve(&self, max: usize) -> Option<ReservedRoom<'a>> {
        let jobs = self.remote.table().reserve(self.name, max, &self.signal);
        if jobs == 0 {
            return None;
        }
        Some(ReservedRoom { remote: self.remote, name: self.name, jobs })
    }
}

/// How many jobs a claim under way may bring. Other claims of the same worker have only what is left.
struct ReservedRoom<'a> {
    remote: &'a RemoteWorkers,
    name: &'a WorkerName,
    jobs: usize,
}

impl Drop for ReservedRoom<'_> {
    fn drop(&mut self) {
        self.remote.table().release(self.name, self.jobs);
    }
}

impl Drop for OpenPoll<'_> {
    fn drop(&mut self) {
        let when = self.remote.read_clocks();
        self.remote.table().end_poll(self.name, &self.signal, when);
    }
}
