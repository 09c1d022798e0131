//! L1: durable transitions. The trait speaks in intents, never in keys or SQL, so that a key-value store
//! and a relational one can both be at their best. Every rule is a test in `conformance`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

use crate::job::{
    Cursor, Event, Job, JobId, JobQuery, LogLine, NewJob, PageCursor, Progress, QueueName,
    RateRule, Refused, Schedule, Status, Time, Verdict, WorkerName,
};
use crate::supervise::Failures;

#[cfg(test)]
pub(crate) mod conformance;
pub mod data_dir;
pub mod export;
pub mod formats;
mod limits;
mod log;
pub mod log_store;
pub mod memory;
#[cfg(test)]
pub(crate) mod model;
mod schedules;
mod search;
mod sled;
pub mod snapshot;
mod stats;

pub use export::{ExportCheck, ExportReader, ExportWriter};
pub use limits::{Keep, Limits, Retention};
pub use memory::MemoryStore;
pub use schedules::{ScheduleCommand, ScheduleError};
pub use snapshot::{Piece, Snapshot};
pub use stats::{QueueStats, Stats, Storage};

/// Keeps jobs and their event log. Each verb is one atomic transition including its events, and its
/// answer comes when the transition is durable (`claim` and `annotate` excepted: see there). What was
/// answered is seen by every later verb, durable or not. The items of one batch are done in order.
///
/// The store owns the clock: delays come in relative, times go out absolute. A time is reached when
/// `now` is equal to it.
///
/// Every change of a job is the answer of [`Status::step`], and its event carries the state and the
/// attempt count afterwards; only `Interrupted` and `Snoozed`, which give the attempt back, carry the
/// number of the attempt that ended. A refused step is no event.
///
/// At its opening a store gives back every job it finds running, in the order of their ids, as an
/// expired lease but with [`Interruption::Crash`](crate::job::Interruption::Crash). Otherwise a restart adds no event, keeps the epoch,
/// and keeps old leases invalid for ever.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Takes new jobs, all or none. A job whose idempotency key is already taken (by a stored job,
    /// finished or not, or earlier in the same batch) makes no new job: the answer holds the existing
    /// one, whatever else differs, even when the backlog is full. A job is `Scheduled` when its
    /// `run_at` is after now, else `Available`. Ids are the caller's to make unique
    /// ([`JobId::generate`]).
    ///
    /// # Errors
    /// First [`StoreError::Full`], when the waiting jobs and the new ones together exceed
    /// [`Limits::max_waiting`] (a job that comes back by itself is never refused, so there may be
    /// more); then [`StoreError::TooManyQueues`], when a new queue would exceed [`Limits::max_queues`].
    async fn enqueue(&self, batch: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError>;

    /// Leases up to `max` available jobs of one queue, in order: highest priority first, then the
    /// earliest `run_at`, then the smallest id. A due job is available only after a `tick`. A paused
    /// queue gives none. Each lease's token is the `seq` of the `Started` event. The answer may come
    /// before the claim is durable (a power cut only returns the job), but never before the job itself
    /// is.
    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError>;

    /// Moves the end of leases to now + `ttl`, be that later or sooner. Answers in order. Not an event,
    /// never durable. A lease that ran out but was not yet rescued is still held.
    async fn extend(
        &self,
        leases: Vec<LeaseRef>,
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError>;

    /// Ends attempts. Answers in order; one refusal does not touch the others. Only the token decides
    /// whether a lease is stale: one that ran out settles until the job was rescued.
    ///
    /// When the end of the job was asked for, an attempt that failed, was snoozed or interrupted makes
    /// it `Cancelled`; one that completed or was discarded stands.
    async fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError>;

    /// Adds log lines and progress to running jobs: one `Logged` event for all lines of a note, then
    /// one `Progressed`; none for a note without either. Notes of a stale lease are dropped silently.
    /// The answer may come before they are durable.
    async fn annotate(&self, notes: Vec<Note>) -> Result<(), StoreError>;

    /// Does what a person asks. Job controls answer for each id in order; queue controls answer with
    /// an empty list. Pausing a paused queue (or resuming one that is not, or setting a limit that it
    /// has already) changes nothing. Asking again for the end of a running job succeeds and is no event. A
    /// deleted job's last event carries the state it had; then the job and its key are gone.
    ///
    /// # Errors
    /// [`StoreError::TooManyQueues`] when a queue that nobody knows is to be paused, moved to or given
    /// a limit, and would be one too many; nothing was done then.
    async fn control(
        &self,
        control: Control,
    ) -> Result<Vec<(JobId, Result<Status, ControlError>)>, StoreError>;

    /// Does what is asked of a schedule. Answers with the schedule as it is then; a deleted one as it was
    /// last. What changes nothing is no event. A job that a schedule makes is enqueued in the same step,
    /// its `Enqueued` event first; it is never refused for a full backlog or for one queue too many,
    /// because nobody is there to try again.
    async fn schedule(
        &self,
        command: ScheduleCommand,
    ) -> Result<Result<Schedule, ScheduleError>, StoreError>;

    /// Every schedule, by name, and the place in the log they were read at.
    async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError>;

    /// Does what time asks, in this order: schedules whose time has come enqueue their jobs (by time, then
    /// name; see [`Schedule::due`]), due jobs become available (by `run_at`, then id), leases
    /// that ran out are rescued (by their end, then id), finished jobs past their retention go (the
    /// longest finished first) without an event, the log is trimmed. At most [`Limits::tick_step`] of
    /// each of the first four; [`Ticked::next`] tells when more is to be done at once. Idempotent.
    ///
    /// A rescued job is `Rescued`, or `Cancelled` when its end was asked for, or `Discarded` as
    /// [`FailureClass::Lost`](crate::job::FailureClass::Lost) with
    /// [its message](crate::job::Interruption::lost_message) when it was its last attempt.
    async fn tick(&self) -> Result<Ticked, StoreError>;

    /// One job with everything known of it, and the place in the log it was read at.
    ///
    /// The cursor of every read is a durable place, so the log can be read on from it. What is read
    /// holds all that happened up to there and perhaps a little more; [`Job::seq`] tells.
    async fn get(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError>;

    /// How many jobs of its queue a claim would take before this one, in the order of [`Store::claim`];
    /// counted up to `most`, which then means "at least so many". `None` when it is not available. A
    /// paused queue keeps its order. Costs no scan of the queue.
    async fn ahead(&self, id: JobId, most: u64) -> Result<Option<u64>, StoreError>;

    /// A page of jobs, newest (greatest id) first, without large payloads, results and logs
    /// ([`Job::without_content`]); it ends once they have [`Limits::read_bytes`]. Answers with fewer rows than asked for and a
    /// `next` cursor when it has looked at about [`Limits::search_step`] jobs or for
    /// [`Limits::search_time`], so that no search takes long; [`Page::examined`] says how many. The limit is
    /// taken as 1 to [`JobQuery::MAX_LIMIT`]. Reads nothing more once the answer is not waited for.
    async fn list(&self, query: JobQuery) -> Result<Page, StoreError>;

    /// Counters, equal to a recount of the stored jobs. Costs no scan.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// The log after a place, oldest first, at most `max` events; fewer once they have
    /// [`Limits::read_bytes`], but none only at the end. Only durable events are shown, without payloads and
    /// results of more than 1 KiB ([`Event::without_content`]); [`Store::get`] has them. Events within
    /// [`Retention::events`] are always there; older ones may be. Reads nothing more once the answer is not
    /// waited for.
    async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError>;

    /// When processes opened this store, oldest first, the present one last; at most [`MAX_STARTS`].
    /// Cheap: no waiting.
    fn starts(&self) -> Vec<Time>;

    /// The place of the newest durable event. Cheap: no waiting. Still answers after `close`.
    fn head(&self) -> Cursor;

    /// From now on every durable event also comes through this channel, in order, batch by batch as
    /// committed. The store never waits for it: when `capacity` batches are queued, further ones are
    /// dropped, which the reader sees as a jump in `seq` and mends with [`Store::events`]. The channel
    /// ends after the last event when the store closes.
    fn follow(&self, capacity: usize) -> mpsc::Receiver<Arc<[Event]>>;

    /// A lossy hint: notified (`notify_one`) when a queue may have work: a job became available, by
    /// whatever change, or the queue was resumed. One waiter a queue.
    fn wake(&self, queue: &QueueName) -> Arc<Notify>;

    /// A lossy hint: notified (`notify_one`) when `tick` may be needed earlier than the last
    /// `Ticked::next` said, because a job's time or the end of a lease comes first.
    fn wake_timer(&self) -> Arc<Notify>;

    /// Everything that is stored, as it is at one place of the log: every job, every event within
    /// retention, what was set of queues. Changes go on meanwhile and are not seen; nothing that the
    /// snapshot needs is removed before it was read.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;

    /// How much is stored and was written. Costs no scan.
    async fn storage(&self) -> Result<Storage, StoreError>;

    /// From now on no [`Store::list`] and no [`Store::events`] takes long: those under way and those to come
    /// answer in about a tenth of a second with what they have found. Asked for when the server stops.
    fn end_searches(&self);

    /// Whether the store can still accept work; the error says why not. Cheap.
    fn health(&self) -> Result<(), StoreError>;

    /// Where it is told when a thread of the store is gone: the server must stop then. `None` when it has none.
    fn failures(&self) -> Option<Failures> {
        None
    }

    /// Flushes, so that even claims and notes are durable, and closes. Every later verb answers
    /// [`StoreError::Closed`]; closing again is fine.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Openings that a store remembers.
pub const MAX_STARTS: usize = 64;

/// Remembers one more opening, and forgets the oldest when there are too many.
fn remember_start(starts: &mut Vec<Time>, now: Time) {
    starts.push(now);
    let surplus = starts.len().saturating_sub(MAX_STARTS);
    starts.drain(..surplus);
}

/// The answer for one submitted job.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// A new job.
    New(Job),
    /// The key was taken: this is the job that has it.
    Existing(Job),
}

impl Enqueued {
    /// The job, new or not.
    pub fn job(&self) -> &Job {
        match self {
            Enqueued::New(job) | Enqueued::Existing(job) => job,
        }
    }

    /// The job, new or not.
    pub fn into_job(self) -> Job {
        match self {
            Enqueued::New(job) | Enqueued::Existing(job) => job,
        }
    }
}

/// A wish for work.
#[derive(Debug, Clone)]
pub struct Claim {
    /// From where.
    pub queue: QueueName,
    /// How many at most.
    pub max: usize,
    /// For whom.
    pub worker: WorkerName,
    /// How long the leases last unless extended.
    pub ttl: Duration,
}

/// The right to run one attempt.
#[derive(Debug, Clone)]
pub struct Lease {
    /// The job as it was claimed.
    pub job: Arc<Job>,
    /// The fencing token: the `seq` of the `Started` event.
    pub token: u64,
    /// When it runs out unless extended, by the store's clock.
    pub expires: Time,
}

impl Lease {
    /// What names this lease to the store.
    pub fn key(&self) -> LeaseRef {
        LeaseRef { job: self.job.id, token: self.token }
    }
}

/// Names a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// The job.
    pub job: JobId,
    /// The fencing token.
    pub token: u64,
}

/// The answer to one extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// Extended.
    Kept,
    /// Extended; somebody asked for the end of the job: stop it.
    CancelAsked,
    /// Not the holder any more: stop, and report nothing.
    Lost,
}

/// The end of one attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Whose.
    pub lease: LeaseRef,
    /// How.
    pub verdict: Verdict,
}

/// What a running handler said.
#[derive(Debug, Clone)]
pub struct Note {
    /// Whose.
    pub lease: LeaseRef,
    /// New lines.
    pub lines: Vec<LogLine>,
    /// The newest progress.
    pub progress: Option<Progress>,
}

/// What a person or program wants done.
#[derive(Debug, Clone)]
pub enum Control {
    /// End these jobs; running ones are told.
    Cancel(Vec<JobId>),
    /// Run these jobs now, whatever happened before.
    Retry(Vec<JobId>),
    /// Remove these jobs; running ones are refused.
    Delete(Vec<JobId>),
    /// Claim nothing from this queue until resumed. Survives a restart.
    Pause(QueueName),
    /// Claim again.
    Resume(QueueName),
    /// Put these waiting jobs into a queue. One that is there already stays, and that is no event.
    Move {
        /// Which.
        jobs: Vec<JobId>,
        /// Where to; it may be new.
        queue: QueueName,
    },
    /// Give these waiting jobs a priority. One that has it already keeps it, and that is no event.
    Reprioritise {
        /// Which.
        jobs: Vec<JobId>,
        /// Higher runs first.
        priority: i16,
    },
    /// Let so many attempts of this queue run at once; `None` is what the configuration says. The store
    /// keeps and tells it, whoever claims obeys it. Survives a restart.
    SetConcurrency(QueueName, Option<u32>),
    /// Let attempts of this queue begin so often; `None` is what the configuration says. Kept, told and obeyed
    /// in the same way.
    SetRateLimit(QueueName, Option<RateRule>),
}

/// What a tick did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Jobs that schedules made.
    pub fired: usize,
    /// Times that schedules let pass.
    pub skipped: usize,
    /// Jobs that became available.
    pub due: usize,
    /// Jobs whose lease had run out.
    pub rescued: usize,
    /// Finished jobs that went.
    pub pruned: usize,
    /// When the next schedule, due job or lease end is, if any; not after now when more is to be done at once.
    /// May be too early when a lease ended or was extended, never too late. Retention is not counted.
    pub next: Option<Time>,
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Newest first.
    pub jobs: Vec<Job>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<PageCursor>,
    /// Jobs looked at for it, wanted or not; what was known to hold nothing wanted was not looked at.
    pub examined: u64,
    /// The place in the log the page was read at.
    pub cursor: Cursor,
}

impl Page {
    /// A page that was read at this place and holds nothing yet.
    fn begin(cursor: Cursor) -> Page {
        Page { jobs: Vec::new(), next: None, examined: 0, cursor }
    }
}

/// A stretch of the log.
#[derive(Debug, Clone, PartialEq)]
pub enum Events {
    /// The events after the place asked for; empty at the end of the log.
    Some(Vec<Event>),
    /// The log does not reach back to that place, or the place is of another epoch or in the future:
    /// take a fresh snapshot, or read on from `oldest`.
    Gap {
        /// The oldest place from which the log is complete.
        oldest: Cursor,
        /// The newest place.
        head: Cursor,
    },
}

/// What keeps a store from doing its work. Each variant is there because a caller acts differently.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The backlog is at its limit: come back later.
    #[error("the backlog is full: {waiting} jobs wait and the limit is {limit}")]
    Full {
        /// Jobs waiting.
        waiting: u64,
        /// The limit.
        limit: u64,
    },
    /// One queue more than allowed.
    #[error("no queue can be added: the limit is {limit}")]
    TooManyQueues {
        /// The limit.
        limit: usize,
    },
    /// Closed: the server is stopping.
    #[error("the store is closed")]
    Closed,
    /// The disk or the file system refuses; nothing of the command was acknowledged. The store comes
    /// back by itself when the disk works again, without what it refused; only a process that dies
    /// before that may find some of it.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
    /// What is stored cannot be understood.
    #[error("the store cannot be read: {0}")]
    Corrupt(String),
    /// A newer version wrote what is stored; this one leaves it as it is. See [`formats`].
    #[error(
        "{what} was written by a newer version of Cortado (format {found}; this version reads up to {newest})"
    )]
    Newer {
        /// What has the number, and where.
        what: String,
        /// The number that was found.
        found: u64,
        /// The greatest number that this version reads.
        newest: u64,
    },
}

/// Why an attempt's end was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The lease is not the current one: the job was rescued, finished, or is gone.
    #[error("the lease is stale")]
    Stale,
}

/// Why a control was not done for a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No such job.
    #[error("there is no such job")]
    NotFound,
    /// The job's state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
}
