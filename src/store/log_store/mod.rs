//! The durable store over any log. The journal is the truth: one committer thread applies commands to an index in
//! memory, in groups. The events of a group are appended to the journal in packed chunks and made durable, and only
//! then are its callers answered. Finished jobs move to packed runs (`archive`). docs/store-format.md has the bytes.

pub(crate) mod archive;
pub(crate) mod commit;
mod copy;
mod enqueue;
mod history;
mod inbox;
pub(crate) mod journal;
mod projection;
mod read;
mod snapshot;
#[cfg(test)]
pub(super) mod tests;
mod threads;
mod verify;

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use self::commit::open::Opening;
pub use self::commit::recover::empty_store;
pub use self::commit::tuning::Tuning;
pub use self::copy::copy;
pub use self::verify::{Report, VerifyProblem, verify};
use super::kinds::DeclaredKinds;
use super::search::Budget;
use super::{
    AccessError, Claim, Claimed, Control, ControlError, EnqueueError, Enqueued, Events, Extension,
    HistoryTable, Inbox, JobControlError, KindCommand, KindError, Lease, LeaseRef, NodeFigures,
    NodeReport, Note, Page, Projection, ScheduleCommand, ScheduleError, SettleError, Settlement,
    Snapshot, Stats, Storage, Store, StoreError, Ticked, WorkerNotice,
};
use crate::access::{AccessApplied, AccessCommand, AccessTable, Scope};
use crate::job::{
    Actor, Cursor, Event, Job, JobId, JobQuery, NewJob, QueueName, Schedule, State, Status, Time,
};
use crate::supervise::PartFailures;
use commit::claim::{ClaimAnswer, ClaimedJob};
use commit::command::{Command, Mutation, Reply};
use commit::core::Core;
use commit::index::Index;
use commit::shared::Shared;
use read::pool::{ReadClass, ReadPool};
pub use snapshot::builder::LogBuilder;
pub use snapshot::reader::read_all_pieces;
use snapshot::reader::{LiveSnapshot, SnapshotState};

/// How many commands can be queued for the committer before callers have to wait.
const MAX_QUEUED_COMMANDS: usize = 16_384;
/// How often a read is repeated when the job moved while it was read.
const MAX_READ_ATTEMPTS: usize = 8;

/// The handle of an open store.
pub struct LogStore {
    shared: Arc<Shared>,
    readers: ReadPool,
    /// Taken when the handle is dropped, so that the committer sees the end of its channel.
    commands: Option<mpsc::Sender<Command>>,
    /// Dropped with the handle, too, so that the threads that record the head and check the directory end.
    open: Option<[std::sync::mpsc::Sender<()>; 2]>,
    threads: Vec<JoinHandle<()>>,
    /// Where a thread that has panicked or ended is reported.
    failures: PartFailures,
}

impl LogStore {
    /// Sends a mutation to the committer and waits for its answer.
    async fn mutate<T, E: From<StoreError>>(
        &self,
        mutation: impl FnOnce(Reply<T, E>) -> Mutation,
    ) -> Result<T, E> {
        self.shared.check()?; // during an outage it is refused without waiting
        self.ask(|reply| Command::Mutate(mutation(reply))).await
    }

    async fn ask<T, E: From<StoreError>>(
        &self,
        command: impl FnOnce(Reply<T, E>) -> Command,
    ) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        let Some(commands) = &self.commands else { return Err(StoreError::Closed.into()) };
        if commands.send(command(reply)).await.is_err() {
            return Err(self.down().into());
        }
        answer.await.unwrap_or_else(|_| Err(self.down().into()))
    }

    /// The reason why the committer no longer answers.
    fn down(&self) -> StoreError {
        self.shared.check().err().unwrap_or(StoreError::Closed)
    }

    /// Inspects the committer's state between two groups, when the last one is durable.
    async fn inspect<T: Send + 'static>(
        &self,
        inspect: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check()?;
        self.ask(|reply| {
            Command::Inspect(Box::new(move |core| {
                // The caller may have stopped waiting.
                let _gone = reply.send(Ok(inspect(core)));
            }))
        })
        .await
    }

    /// Inspects the index, together with the cursor that it belongs to.
    async fn inspect_index<T: Send + 'static>(
        &self,
        inspect: impl FnOnce(&Index, Cursor) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inspect(move |core| inspect(&core.index, core.shared.head())).await
    }

    /// Reads from the log on a thread that may block, when it is its turn.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_as(ReadClass::Short, read).await
    }

    async fn read_as<T: Send + 'static>(
        &self,
        class: ReadClass,
        read: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = self.shared.clone();
        let outages = shared.outages.load(Ordering::Acquire);
        let answer = self.readers.read(class, move || read(&shared)).await;
        let answer = answer.unwrap_or_else(|| Err(StoreError::Corrupt("a read panicked".into())));
        if answer.is_err() && outages != self.outages() {
            return Err(StoreError::Unavailable("the store was reopened during the read".into()));
        }
        answer
    }

    fn outages(&self) -> u64 {
        self.shared.outages.load(Ordering::Acquire)
    }

    /// Reads the records of claimed jobs.
    async fn leases(
        &self,
        claimed: &Arc<Vec<(ClaimedJob, Event)>>,
    ) -> Result<Vec<Lease>, StoreError> {
        let these = claimed.clone();
        let mut leases = self.read(move |shared| read::records::leases(shared, &these)).await?;
        for ((one, _), lease) in claimed.iter().zip(&mut leases) {
            if lease.is_none() {
                // Its record has moved to other chunks, which the index knows, or the lease is gone.
                let job = self.get(one.id).await?.0;
                let job = job.filter(|job| read::records::token(job) == Some(one.token));
                *lease = job.map(|job| one.lease(job));
            }
        }
        Ok(leases.into_iter().flatten().collect())
    }
}

#[async_trait]
impl Store for LogStore {
    async fn enqueue_within(
        &self,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.enqueue_batch(batch, scope).await
    }

    fn inbox(&self) -> Option<&dyn Inbox> {
        self.shared.log.inbox().map(|_| self as &dyn Inbox)
    }

    fn projection(&self) -> Option<&dyn Projection> {
        self.shared.log.projection().map(|_| self as &dyn Projection)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.shared.check()?;
        let mut outages = self.outages();
        let ClaimAnswer { jobs, retry_in } = self.ask(|reply| Command::Claim(claim, reply)).await?;
        if jobs.is_empty() {
            return Ok(Claimed { leases: Vec::new(), retry_in });
        }
        let claimed = Arc::new(jobs);
        loop {
            match self.leases(&claimed).await {
                // The jobs are leased to this caller, also after an outage that began just now.
                Err(StoreError::Unavailable(_))
                    if self.shared.check().is_err() || outages != self.outages() =>
                {
                    outages = self.outages();
                    self.shared.wait_for_outage_end().await?;
                }
                answer => return answer.map(|leases| Claimed { leases, retry_in }),
            }
        }
    }

    async fn extend(
        &self,
        leases: Vec<LeaseRef>,
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError> {
        self.mutate(|reply| Mutation::Extend(leases, ttl, reply)).await
    }

    async fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError> {
        self.mutate(|reply| Mutation::Settle(settlements, reply)).await
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<(), StoreError> {
        self.mutate(|reply| Mutation::Annotate(notes, reply)).await
    }

    async fn control(
        &self,
        control: Control,
        by: Option<Actor>,
    ) -> Result<Vec<(JobId, Result<Status, JobControlError>)>, ControlError> {
        self.mutate(|reply| Mutation::Control(control, by, reply)).await
    }

    async fn schedule(
        &self,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError> {
        self.mutate(|reply| Mutation::Schedule(command, by, reply)).await
    }

    async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError> {
        self.inspect(|core| (core.schedules.0.values().cloned().collect(), core.shared.head()))
            .await
    }

    async fn kind(&self, command: KindCommand, by: Option<Actor>) -> Result<(), KindError> {
        self.mutate(|reply| Mutation::Kind(command, by, reply)).await
    }

    async fn report(&self, notices: Vec<WorkerNotice>) -> Result<(), StoreError> {
        self.mutate(|reply| Mutation::Report(notices, reply)).await
    }

    fn kinds(&self) -> watch::Receiver<Arc<DeclaredKinds>> {
        self.shared.kinds.subscribe()
    }

    async fn access(
        &self,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError> {
        self.mutate(|reply| Mutation::Access(command, by, reply)).await
    }

    fn access_table(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.shared.access.subscribe()
    }

    async fn tick(&self) -> Result<Ticked, StoreError> {
        self.mutate(|reply| Mutation::Tick(Ticked::default(), reply)).await
    }

    async fn get(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError> {
        let mut cursor = self.shared.head();
        for _ in 0..MAX_READ_ATTEMPTS {
            let indexed =
                self.inspect_index(move |index, head| (read::list::find(index, id), head)).await;
            let (indexed, head) = indexed?;
            cursor = head;
            let found = match indexed {
                Some(at) => {
                    let trail = at.trail.clone();
                    let fold = move |shared: &Shared| read::records::fold(shared, id, &trail);
                    let mut job = self.read(fold).await?;
                    if let Some(job) = &mut job {
                        at.correct(job);
                    }
                    job
                }
                None => {
                    let find = move |shared: &Shared| {
                        read::records::from_archive(shared, |archive| {
                            archive.find(&*shared.log, id)
                        })
                    };
                    self.read(find).await?.map(|(job, _)| job)
                }
            };
            if found.is_some() {
                return Ok((found, head));
            }
            // It does not exist, or it moved between the index and the archive during the read.
            if self
                .inspect_index(move |index, head| {
                    read::list::find(index, id).is_none() && head == cursor
                })
                .await?
            {
                break;
            }
        }
        Ok((None, cursor))
    }

    async fn running(&self, ids: Vec<JobId>) -> Result<Vec<Job>, StoreError> {
        let find = move |index: &Index, _| read::list::find_running(index, &ids);
        let found = self.inspect_index(find).await?;
        let (mut running, moved) =
            self.read(move |shared| read::records::fold_all(shared, &found)).await?;
        for id in moved {
            running.extend(self.get(id).await?.0.filter(|job| job.status.state == State::Running));
        }
        Ok(running)
    }

    async fn ahead(&self, id: JobId, most: u64) -> Result<Option<u64>, StoreError> {
        self.inspect_index(move |index, _| index.ahead(id, most)).await
    }

    async fn list(&self, query: JobQuery) -> Result<Page, StoreError> {
        self.search(query).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        let oldest = self.shared.oldest();
        let steady = self.shared.clock.steady();
        self.inspect_index(move |index, head| index.stats(head, oldest, steady)).await
    }

    async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError> {
        self.shared.check()?;
        let last = after.seq.saturating_add(max as u64);
        if self.shared.log.is_shared() && last >= self.shared.head().seq {
            self.inspect(|_| ()).await?; // another node may have got further
        }
        if after == self.shared.head() {
            return Ok(Events::Some(Vec::new()));
        }
        let (clock, limits, reads) =
            (&self.shared.clock, &self.shared.limits, &self.shared.log_reads);
        let (budget, _caller) = Budget::new(clock, limits, reads);
        let same = budget.clone();
        let read = move |shared: &Shared| read::records::events(shared, after, max, Some(&budget));
        match self.read_as(ReadClass::Log, read).await {
            // Another node may have trimmed the log before this one has read on.
            Err(StoreError::Corrupt(_)) if self.shared.log.is_shared() => {
                self.inspect(|_| ()).await?;
                let read =
                    move |shared: &Shared| read::records::events(shared, after, max, Some(&same));
                self.read_as(ReadClass::Log, read).await
            }
            answer => answer,
        }
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let pin = self.shared.pins.add(self.shared.clock.steady());
        if let Some(node) = self.shared.node {
            // The other nodes have to know before the state is captured; see `Core::others_read_snapshots`.
            self.read(move |shared| shared.heartbeat(node)).await?;
        }
        let state = self.inspect(move |core| SnapshotState::capture(core, pin)).await?;
        Ok(Box::new(LiveSnapshot::new(self.shared.clone(), state)))
    }

    async fn storage(&self) -> Result<Storage, StoreError> {
        self.shared.check()?;
        self.read(Shared::storage).await
    }

    fn history(&self) -> &dyn HistoryTable {
        self
    }

    fn starts(&self) -> Vec<Time> {
        self.shared.starts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn started_at(&self) -> Option<Time> {
        self.shared.started_at.get().copied()
    }

    fn head(&self) -> Cursor {
        self.shared.head()
    }

    fn is_shared(&self) -> bool {
        self.shared.log.is_shared()
    }

    fn follow(&self, capacity: usize) -> mpsc::Receiver<Arc<[Event]>> {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let mut followers = self.shared.followers.lock().unwrap_or_else(PoisonError::into_inner);
        // An outage may be over at any moment; only a closed store has no further events.
        if self.shared.check() != Err(StoreError::Closed) {
            followers.push(sender);
        }
        receiver
    }

    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        self.shared.wake(queue)
    }

    fn wake_timer(&self) -> Arc<Notify> {
        self.shared.timer.clone()
    }

    fn queue_changes(&self) -> Arc<Notify> {
        self.shared.queue_changes.clone()
    }

    fn describe_node(&self, figures: NodeFigures) {
        self.shared.nodes.describe(figures);
    }

    fn describe_bulk_runs(&self, runs: serde_json::Value) {
        self.shared.nodes.describe_bulk_runs(runs);
    }

    async fn exchange_heartbeats(&self) -> Result<(), StoreError> {
        let Some(node) = self.shared.node else { return Ok(()) };
        self.shared.check()?;
        self.read(move |shared| shared.heartbeat(node).map(drop)).await
    }

    fn nodes(&self) -> Vec<NodeReport> {
        self.shared.node_reports()
    }

    fn end_searches(&self) {
        let now = self.shared.clock.steady();
        self.shared.searches.end(now);
        self.shared.log_reads.end(now);
    }

    async fn replaced(&self) -> StoreError {
        self.shared.wait_for_replacement().await
    }

    fn health(&self) -> Result<(), StoreError> {
        self.shared.check()?;
        self.shared.log.check_values()
    }

    fn failures(&self) -> Option<PartFailures> {
        Some(self.failures.clone())
    }

    async fn close(&self) -> Result<(), StoreError> {
        match self.ask(Command::Close).await {
            Ok(()) | Err(StoreError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for LogStore {
    /// Waits until no thread uses the log any more. Without [`Store::close`] before, the log is left as after a crash.
    fn drop(&mut self) {
        self.commands = None;
        self.open = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}
