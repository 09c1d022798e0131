//! L1: durable transitions. The verbs of the trait express what callers want, never keys or SQL, so that a key-value
//! store and a relational database can both implement them well. Every rule is a test in `conformance`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};

use crate::access::{AccessApplied, AccessCommand, AccessTable, Scope};
use crate::clock::ClockJump;
use crate::job::{
    Actor, Cursor, Event, Job, JobId, JobQuery, LogLine, NewJob, PageCursor, Progress, QueueChange,
    QueueName, Schedule, State, Status, Time, Verdict,
};
use crate::supervise::PartFailures;

pub(crate) mod access_row;
mod claim;
mod claim_limits;
mod clock_changes;
#[cfg(test)]
pub(crate) mod conformance;
pub mod data_dir;
pub mod database;
mod enqueued;
mod errors;
pub mod export;
pub mod formats;
mod history;
mod inbox;
mod kinds;
mod limits;
pub mod location;
pub(crate) mod log;
pub mod log_store;
pub mod memory;
#[cfg(test)]
pub(crate) mod model;
pub mod moving;
pub(crate) mod nodes;
pub mod permissions;
#[cfg_attr(not(feature = "postgres"), path = "without_postgres.rs")]
mod postgres;
mod projection;
mod rate_window;
mod reused_key;
mod schedules;
mod search;
mod sled;
pub mod snapshot;
mod stats;
mod worker_notice;

pub use claim::{Claim, Claimed, Lease, LeaseRef, WorkerPlace};
pub use claim_limits::ConfiguredLimits;
pub use enqueued::Enqueued;
pub use errors::{
    AccessError, ControlError, EnqueueError, JobControlError, SettleError, StoreError,
    TooManyQueues,
};
pub use export::{ExportCheck, ExportReader, ExportWriter};
pub use history::{
    HistoryBatch, HistoryKey, HistoryProgress, HistoryRow, HistorySeries, HistoryStep,
    HistoryTable, MAX_HISTORY_VALUE,
};
pub use inbox::{Inbox, InboxAnswer, InboxFigures, InboxRow, NotEnqueued};
pub use kinds::{DeclaredKinds, KindCommand, KindError};
pub use limits::{Keep, Retention, SharedLimits, StoreLimits};
pub use memory::MemoryStore;
pub use nodes::{ConfiguredTopic, Disagreement, NodeFigures, NodeReport};
pub use permissions::{GroupAccess, WideAccess};
pub use projection::{
    NewRow, ProjectedJob, Projection, ProjectionCharge, ProjectionFigures, ProjectionStep,
};
pub use reused_key::{KeyOwner, ReusedKey};
pub use schedules::{ScheduleCommand, ScheduleError};
pub use snapshot::{Piece, Snapshot};
pub use stats::{PublishTimes, QueueStats, Stats, Storage};
pub use worker_notice::WorkerNotice;

/// Keeps jobs and their event log. Each verb is one atomic transition including its events, and it answers when the
/// transition is durable (`claim` and `annotate` may answer earlier). Every later verb sees what was answered,
/// durable or not. The items of one batch are handled in order.
///
/// The store owns the clock: it takes relative delays, and returns absolute times. A time has come when `now` equals
/// it. Leases end by the steady clock, all other times by the time of day. When a tick notices that the clock was set,
/// delays (of retries, snoozes and [`Start::After`](crate::job::Start::After)) move along with it, so that they last as
/// long as they were to last; times that somebody chose stay; and every schedule is counted again. A delay that began
/// after now, because the clock was ahead, begins again when the store is opened. Records and events keep the times that
/// the clock showed, except [`Job::run_at`] in the answers of reads.
///
/// Every event that somebody caused has the actor: the one of the new job, of the control or of the command. A job that a
/// schedule creates at its time has the schedule. Events of ticks, of attempts and of restarts have none.
///
/// Every change of a job is the result of [`Status::step`], and its event carries the resulting state and attempt
/// count; only `Interrupted` and `Snoozed`, which do not count the attempt, carry the number of the attempt that
/// ended. A refused step adds no event.
///
/// When a store is opened, it rescues every job that a worker in the process of the server was running, in the order of
/// their ids, as if its lease had expired but with [`Interruption::Crash`](crate::job::Interruption::Crash). A remote
/// worker ([`WorkerPlace::Remote`]) goes on while the server restarts: its lease stays valid, and ends when as much time
/// has passed since the opening as it asked for in its claim, unless it is extended. Otherwise a restart adds no event,
/// keeps the epoch, and leaves old leases invalid.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Enqueues new jobs, all or none. A job whose idempotency key is already taken (by a stored job,
    /// finished or not, or earlier in the same batch) is not enqueued: the answer holds the existing job,
    /// even when the backlog is full. A job is `Scheduled` when its `run_at` is after
    /// now, and otherwise `Available`. The caller makes ids unique ([`JobId::generate`]).
    ///
    /// # Errors
    /// First [`EnqueueError::KeyReused`], when the job that has the key of a new job was submitted with something else
    /// ([`Job::differences`]) or is outside of `scope`, the scope of the submitter; then [`EnqueueError::Full`], when the waiting jobs and the new ones together exceed
    /// [`StoreLimits::max_waiting`] (a job that becomes available again is never refused, so there may
    /// be more); then [`EnqueueError::TooManyQueues`], when a new queue would exceed [`StoreLimits::max_queues`].
    async fn enqueue_within(
        &self,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError>;

    /// The same for a submitter without restrictions.
    ///
    /// # Errors
    /// As [`Store::enqueue_within`].
    async fn enqueue(&self, batch: Vec<NewJob>) -> Result<Vec<Enqueued>, EnqueueError> {
        self.enqueue_within(batch, None).await
    }

    /// Where jobs wait that programs submit in transactions of their own, if the store has such a place.
    fn inbox(&self) -> Option<&dyn Inbox> {
        None
    }

    /// Jobs as rows for queries, if the store has a place for them.
    fn projection(&self) -> Option<&dyn Projection> {
        None
    }

    /// Leases up to `max` available jobs of the kinds and queues of the claim, in order over all of them: highest
    /// priority first, then the earliest `run_at`, then the smallest id. A due job is available only after a `tick`.
    /// A paused queue gives none. Each lease's token is the `seq` of the `Started` event. The answer may come before
    /// the claim is durable (a power cut only returns the job), but never before the job itself is.
    ///
    /// The concurrency and the rate limit of a queue (those of its [`QueueSettings`](crate::job::QueueSettings), or else
    /// of [`StoreLimits::queues`]) hold over all workers: a claim takes no job that would exceed one of them, and takes
    /// the next ones of other queues instead. A job counts as running until its attempt is settled or rescued. Starts
    /// are counted by the steady clock; a restart counts the recent ones that are in the log. A limit that is lowered
    /// ends no attempt.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Sets the end of leases to now + `ttl`, whether that is later or sooner. Answers in order. It adds no event and
    /// is never durable. A lease that has expired is still held until its job is rescued.
    async fn extend(
        &self,
        leases: Vec<LeaseRef>,
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError>;

    /// Ends attempts. Answers in order; a refusal does not affect the others. Only the token decides whether a
    /// lease is stale: an expired one can be settled until its job is rescued.
    ///
    /// When the job is being cancelled, an attempt that failed, was snoozed or was interrupted makes it `Cancelled`;
    /// one that completed or was discarded keeps its outcome.
    async fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError>;

    /// Adds log lines and progress to running jobs: one `Logged` event for all lines of a note, then one
    /// `Progressed`; none for a note without either. Notes of a stale lease are dropped silently. The answer may come
    /// before the notes are durable.
    async fn annotate(&self, notes: Vec<Note>) -> Result<(), StoreError>;

    /// Applies a control in the name of an actor. Controls of jobs answer for each id in order; controls of queues answer with an empty list.
    /// Pausing a paused queue (or resuming one that is not, or setting a limit that it already has) changes nothing.
    /// Cancelling a running job again succeeds and adds no event. The last event of a deleted job carries the state
    /// it had; then the job and its key are removed.
    ///
    /// # Errors
    /// [`ControlError::TooManyQueues`] when the control pauses, sets a limit of or moves jobs to a new queue that would
    /// exceed the limit of queues. Then nothing was done.
    async fn control(
        &self,
        control: Control,
        by: Option<Actor>,
    ) -> Result<Vec<(JobId, Result<Status, JobControlError>)>, ControlError>;

    /// Executes a command about a schedule in the name of an actor. Returns the schedule as it is afterwards, or as it was before it was
    /// deleted. A command that changes nothing adds no event. A job that a schedule creates is enqueued in the same
    /// step, with its `Enqueued` event first. It is never refused for a full backlog or for too many queues, because
    /// no caller could try again.
    async fn schedule(
        &self,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError>;

    /// Every schedule by name, and the cursor at which they were read.
    async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError>;

    /// Executes a command about declared kinds in the name of an actor. A command that changes nothing adds no event. A job
    /// may be of any kind, declared or not: the caller that enqueues jobs checks their kinds.
    async fn kind(&self, command: KindCommand, by: Option<Actor>) -> Result<(), KindError>;

    /// Adds an event for each notice about a remote worker, in order. Nothing else is stored about workers.
    async fn report(&self, notices: Vec<WorkerNotice>) -> Result<(), StoreError>;

    /// The declared kinds as of the newest durable change, and their later versions. It is cheap and never waits.
    fn kinds(&self) -> watch::Receiver<Arc<DeclaredKinds>>;

    /// Changes users, tokens, sessions or share links, in the name of an actor; [`AccessTable::apply`] has the rules.
    /// Nothing of them is ever in a list, an export or the log but what their events say, which hold no secret.
    async fn access(
        &self,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError>;

    /// The table of users, tokens, sessions and share links as of the newest durable change, and its later versions. It
    /// is cheap and never waits. Every table has a signing key, which stays the same over restarts.
    fn access_table(&self) -> watch::Receiver<Arc<AccessTable>>;

    /// Does what is due, in this order: due schedules enqueue their jobs (by time, then name; see [`Schedule::due`]),
    /// due jobs become available (by `run_at`, then id), jobs whose lease has expired are rescued (by the end of the
    /// lease, then id), finished jobs past their retention are removed without an event (in the order in which they
    /// finished), and the log is trimmed. At most [`StoreLimits::tick_step`] of each of the first four; [`Ticked::next`]
    /// says when there is more to do at once. Idempotent.
    ///
    /// A rescued job is `Rescued`, or `Cancelled` when it was being cancelled, or `Discarded` as
    /// [`FailureClass::Lost`](crate::job::FailureClass::Lost) with [its
    /// message](crate::job::Interruption::lost_message) when it was its last attempt.
    async fn tick(&self) -> Result<Ticked, StoreError>;

    /// A job with its whole record, and the cursor at which it was read.
    ///
    /// The cursor of every read is durable, so a reader can continue from it in the log. The answer holds all changes
    /// up to the cursor and perhaps a few later ones, which [`Job::seq`] shows.
    async fn get(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError>;

    /// The records of those of these jobs that are running, read together. Which of several moments they are from is open,
    /// but each is a whole record.
    async fn running(&self, ids: Vec<JobId>) -> Result<Vec<Job>, StoreError> {
        let mut running = Vec::new();
        for id in ids {
            running.extend(self.get(id).await?.0.filter(|job| job.status.state == State::Running));
        }
        Ok(running)
    }

    /// How many jobs of its queue a claim would take before this one, in the order of [`Store::claim`]. Counting
    /// stops at `most`, which then means "at least that many". `None` when the job is not available. A paused queue
    /// keeps its order. It does not scan the queue.
    async fn ahead(&self, id: JobId, most: u64) -> Result<Option<u64>, StoreError>;

    /// A page of jobs, newest (greatest id) first, without large payloads, results and logs
    /// ([`Job::without_content`]); it ends once they have [`StoreLimits::read_bytes`]. Answers with fewer rows than
    /// requested and a `next` cursor when it has examined about [`StoreLimits::search_step`] jobs or has taken
    /// [`StoreLimits::search_time`], so that no search takes long; [`Page::examined`] says how many. The limit is clamped
    /// to 1 to [`JobQuery::MAX_LIMIT`]. It stops reading when the caller stops waiting.
    async fn list(&self, query: JobQuery) -> Result<Page, StoreError>;

    /// Counters, equal to a recount of the stored jobs, without a scan.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// The events after a cursor, oldest first, at most `max` of them; fewer once they have [`StoreLimits::read_bytes`],
    /// and none only at the end of the log. Only durable events are shown, without payloads and results of more than
    /// 1 KiB ([`Event::without_content`]); [`Store::get`] has them. Events within [`Retention::events`] are always
    /// there; older ones may be. It stops reading when the caller stops waiting.
    async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError>;

    /// What was counted over time, for charts.
    fn history(&self) -> &dyn HistoryTable;
    /// When processes opened this store to run its jobs, oldest first; at most [`MAX_STARTS`]. The current one is the last,
    /// unless several nodes share the store. It is cheap and never waits.
    fn starts(&self) -> Vec<Time>;

    /// When this process opened the store.
    fn started_at(&self) -> Option<Time> {
        self.starts().last().copied()
    }

    /// The cursor of the newest durable event. It is cheap, never waits, and still answers after `close`.
    fn head(&self) -> Cursor;

    /// Whether other processes append to the same log, so that a client may have been sent more by one of them than this
    /// process has read. [`Store::events`] reads on before it says that a cursor is ahead of the log.
    fn is_shared(&self) -> bool {
        false
    }

    /// A channel through which every later durable event is sent, in order, in batches. The store never waits for it:
    /// when `capacity` batches are queued, further ones are dropped, which the reader sees as a gap in `seq` and
    /// fills with [`Store::events`]. The channel ends after the last event when the store closes.
    fn follow(&self, capacity: usize) -> mpsc::Receiver<Arc<[Event]>>;

    /// Notified (`notify_one`) when a claim of a queue may give more than before: a job became available, for whatever
    /// reason, the queue was resumed, a limit of it was changed, or an attempt ended while as many were running as may.
    /// A notification may be lost. Each queue has one waiter.
    fn wake(&self, queue: &QueueName) -> Arc<Notify>;

    /// Notified (`notify_one`) when `tick` may be needed earlier than the last `Ticked::next` said, because a job is
    /// due or a lease ends before that. A notification may be lost.
    fn wake_timer(&self) -> Arc<Notify>;

    /// Notified (`notify_one`) when another process that shares the store has added the first job of a queue, or changed a setting
    /// of one. A notification may be lost. There is one waiter.
    fn queue_changes(&self) -> Arc<Notify> {
        Arc::default()
    }

    /// Everything that is stored as of one cursor: every job, every event within its retention, the settings of
    /// queues, the schedules and the declared kinds. Later changes are not seen, and nothing that the snapshot needs is removed before it was read.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// How much is stored and was written, without a scan.
    async fn storage(&self) -> Result<Storage, StoreError>;

    /// Sets what the next heartbeats tell the other nodes about this one, where several share the store.
    fn describe_node(&self, _figures: NodeFigures) {}

    /// Sets what the next heartbeats tell the other nodes about the bulk runs of this one.
    fn describe_bulk_runs(&self, _runs: serde_json::Value) {}

    /// Sends a heartbeat now, so that every other node that does the same later knows what this one has said, and this one
    /// knows what they have said before.
    async fn exchange_heartbeats(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The nodes that share the store, by name, as of the last heartbeat of this one; none where only one process uses
    /// it. It is cheap and never waits.
    fn nodes(&self) -> Vec<NodeReport> {
        Vec::new()
    }

    /// Makes every [`Store::list`] and [`Store::events`], running or later, answer in about a tenth of a second with
    /// what it has found. Called when the server stops.
    fn end_searches(&self);

    /// Whether the store can still accept work; the error says why not. Cheap.
    fn health(&self) -> Result<(), StoreError>;

    /// Resolves with [`StoreError::Replaced`] when the stored data was replaced, so that only a new start of the server can
    /// use it. A store in this process never is.
    async fn replaced(&self) -> StoreError {
        std::future::pending().await
    }

    /// Reports that one of the store's threads has ended, after which the server must stop. `None` without threads.
    fn failures(&self) -> Option<PartFailures> {
        None
    }

    /// Flushes, so that even claims and notes are durable, and closes. Every later verb answers
    /// [`StoreError::Closed`]; closing again is fine.
    async fn close(&self) -> Result<(), StoreError>;
}

/// How many openings a store remembers; older ones are forgotten.
pub const MAX_STARTS: usize = 64;
/// Remembers one more opening, and forgets the oldest when there are too many.
fn remember_start(starts: &mut Vec<Time>, now: Time) {
    starts.push(now);
    let surplus = starts.len().saturating_sub(MAX_STARTS);
    starts.drain(..surplus);
}

/// The answer to one extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// The lease was extended.
    Kept,
    /// The lease was extended, and the job is to be cancelled: stop the attempt.
    CancelAsked,
    /// The lease is lost: stop the attempt, and report nothing.
    Lost,
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The lease of the attempt.
    pub lease: LeaseRef,
    /// How the attempt ended.
    pub verdict: Verdict,
}

/// Log lines and progress of a running attempt.
#[derive(Debug, Clone)]
pub struct Note {
    /// The lease of the attempt.
    pub lease: LeaseRef,
    /// New log lines.
    pub lines: Vec<LogLine>,
    /// The newest progress, if there is any.
    pub progress: Option<Progress>,
}

/// A control: what a person or a program wants to change.
#[derive(Debug, Clone)]
pub enum Control {
    /// Cancel these jobs. Running attempts are asked to stop.
    Cancel(Vec<JobId>),
    /// Run these jobs now, even finished ones.
    Retry(Vec<JobId>),
    /// Delete these jobs. Running ones are refused.
    Delete(Vec<JobId>),
    /// Move these waiting jobs to a queue. A job that is already there stays as it is.
    Move {
        /// The jobs.
        jobs: Vec<JobId>,
        /// The queue to move them to, which may be new.
        queue: QueueName,
    },
    /// Give these waiting jobs a priority. A job that already has it stays as it is.
    Reprioritise {
        /// The jobs.
        jobs: Vec<JobId>,
        /// The priority; jobs with a higher one run first.
        priority: i16,
    },
    /// Change one setting of a queue. Nothing is claimed from a paused queue until it is resumed, and no more than its
    /// limits allow. Settings survive a restart.
    SetQueue(QueueName, QueueChange),
}

/// What a tick did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticked {
    /// How many jobs schedules have enqueued.
    pub fired: usize,
    /// How many scheduled times were skipped.
    pub skipped: usize,
    /// How many jobs became available.
    pub due: usize,
    /// How many jobs were rescued because their lease had expired.
    pub rescued: usize,
    /// How many finished jobs were removed.
    pub pruned: usize,
    /// How far the clock was set since the last tick, if it was.
    pub clock_jump: Option<ClockJump>,
    /// When the next schedule or job is due or the next lease ends, if any; not after now when there is more to do at
    /// once. It may be too early when a lease ended or was extended, and is never too late. It does not account for
    /// retention.
    pub next: Option<Time>,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The jobs, newest first.
    pub jobs: Vec<Job>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageCursor>,
    /// How many jobs were examined for it. Jobs that were known not to match were not examined.
    pub examined: u64,
    /// The cursor at which reading the page began. No job in it is older; one that changed during the read may be newer.
    pub cursor: Cursor,
}

impl Page {
    /// An empty page that is read at this cursor.
    fn begin(cursor: Cursor) -> Page {
        Page { jobs: Vec::new(), next: None, examined: 0, cursor }
    }
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Events {
    /// The events after the cursor; empty at the end of the log.
    Some(Vec<Event>),
    /// The log does not reach back to the cursor, or the cursor is of another epoch or in the future: read the current
    /// state, or continue from `oldest`.
    Gap {
        /// The oldest cursor from which the log is complete.
        oldest: Cursor,
        /// The newest cursor.
        head: Cursor,
    },
}
