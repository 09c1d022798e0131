//! What the handle and the archiver ask of the committer.

use std::time::Duration;

use tokio::sync::oneshot;

use super::claim::ClaimAnswer;
use super::core::Core;
use super::enqueue::{EnqueueOutcome, NewBatch};
use super::inbox::TakenJob;
use super::verbs::JobAnswers;
use crate::access::{AccessApplied, AccessCommand};
use crate::job::{Actor, Event, JobId, NewJob, Schedule, Status};
use crate::store::log::NodeHeartbeat;
use crate::store::log_store::archive::new_run::NewRun;
use crate::store::log_store::journal::history_rows::HistoryWrites;
use crate::store::log_store::journal::nodes::NodeId;
use crate::store::{
    AccessError, Claim, Control, ControlError, EnqueueError, Extension, KindCommand, KindError,
    LeaseRef, Note, ScheduleCommand, ScheduleError, SettleError, Settlement, StoreError, Ticked,
    WorkerNotice,
};

/// Answers a command with its result or with the error of its verb.
pub type Reply<T, E = StoreError> = oneshot::Sender<Result<T, E>>;
pub type ClaimReply = Reply<ClaimAnswer>;
/// Answers with what became of each job from the inbox, or with `None` when nothing of the group was written because another
/// node was first.
pub type TakeReply = Reply<Option<Vec<TakenJob>>>;
/// Inspects the committer's state between two groups, when the last one is durable.
pub type Inspection = Box<dyn FnOnce(&Core) + Send>;

/// A request from the handle or the archiver.
pub enum Command {
    Inspect(Inspection),
    /// Another node seems to have appended a chunk with this number.
    Follow(u64),
    /// The nodes that are at work or were lately.
    Nodes(Vec<NodeHeartbeat>),
    Claim(Claim, ClaimReply),
    Mutate(Mutation),
    /// The writer could not write a group, or the data directory is gone. The committer checks.
    Failed,
    Close(Reply<()>),
}

/// A change. Its caller is answered when the group that holds it is durable.
pub enum Mutation {
    Enqueue(NewBatch, Reply<EnqueueOutcome, EnqueueError>),
    /// Enqueues jobs from the inbox beside the log.
    TakeInbox(Vec<NewJob>, TakeReply),
    Extend(Vec<LeaseRef>, Duration, Reply<Vec<Extension>>),
    Settle(Vec<Settlement>, Reply<Vec<Result<Status, SettleError>>>),
    Annotate(Vec<Note>, Reply<()>),
    Control(Control, Option<Actor>, Reply<JobAnswers, ControlError>),
    Schedule(ScheduleCommand, Option<Actor>, Reply<Schedule, ScheduleError>),
    Kind(KindCommand, Option<Actor>, Reply<(), KindError>),
    Report(Vec<WorkerNotice>, Reply<()>),
    Access(AccessCommand, Option<Actor>, Reply<AccessApplied, AccessError>),
    /// Stores what was counted over time.
    PutHistory(HistoryWrites, Reply<bool>),
    /// Carries what this tick did before it had to wait for the archiver.
    Tick(Ticked, Reply<Ticked>),
    /// Records that this process has opened the store.
    RecordStart,
    /// Gives back what these nodes were running, because they have ended or are silent.
    GiveBack(Vec<NodeId>),
    /// Takes back what is in the log although its callers were refused.
    TakeBack(Vec<Event>),
    /// The archiver has built the run it was asked for, of jobs that were selected in this version of the archive.
    Archive(u64, Result<NewRun, StoreError>),
}

impl Command {
    /// An estimate of how many events the command makes.
    fn weight(&self) -> usize {
        match self {
            Command::Mutate(Mutation::Enqueue(batch, _)) => batch.jobs.len(),
            Command::Mutate(Mutation::TakeInbox(jobs, _)) => jobs.len(),
            Command::Mutate(Mutation::Settle(all, _)) => all.len(),
            Command::Claim(claim, _) => claim.max,
            Command::Inspect(_)
            | Command::Follow(_)
            | Command::Nodes(_)
            | Command::Mutate(_)
            | Command::Failed
            | Command::Close(_) => 1,
        }
    }
}

impl Mutation {
    /// Whether it adds a run to the archive.
    pub fn archives(&self) -> bool {
        matches!(self, Mutation::Archive(..))
    }

    /// The jobs that it enqueues from the inbox.
    pub fn taken(&self) -> impl Iterator<Item = JobId> {
        let jobs = match self {
            Mutation::TakeInbox(jobs, _) => jobs.as_slice(),
            Mutation::Enqueue(..)
            | Mutation::Extend(..)
            | Mutation::Settle(..)
            | Mutation::Annotate(..)
            | Mutation::Control(..)
            | Mutation::Schedule(..)
            | Mutation::Kind(..)
            | Mutation::Report(..)
            | Mutation::Access(..)
            | Mutation::PutHistory(..)
            | Mutation::Tick(..)
            | Mutation::RecordStart
            | Mutation::GiveBack(..)
            | Mutation::TakeBack(..)
            | Mutation::Archive(..) => &[],
        };
        jobs.iter().map(|job| job.id)
    }

    /// Whether it may read what earlier groups wrote.
    fn reads_disk(&self) -> bool {
        match self {
            Mutation::Enqueue(..)
            | Mutation::TakeInbox(..)
            | Mutation::Extend(..)
            | Mutation::Settle(..)
            | Mutation::Annotate(..)
            | Mutation::Kind(..)
            | Mutation::Report(..)
            | Mutation::GiveBack(..)
            | Mutation::TakeBack(..)
            | Mutation::Access(..) => false,
            Mutation::Control(..)
            | Mutation::Schedule(..)
            | Mutation::PutHistory(..)
            | Mutation::Tick(..)
            | Mutation::RecordStart
            | Mutation::Archive(..) => true,
        }
    }
}

/// The commands that one group will execute.
#[derive(Default)]
pub struct CommandBatch {
    pub inspections: Vec<Inspection>,
    pub claims: Vec<(Claim, ClaimReply)>,
    pub mutations: Vec<Mutation>,
    pub closing: Vec<Reply<()>>,
    /// Whether somebody reported that a write failed or the data directory is gone.
    pub failed: bool,
    /// The number of a chunk that another node seems to have appended.
    pub follows: Option<u64>,
    /// The nodes that are at work or were lately, if somebody has asked.
    pub nodes: Option<Vec<NodeHeartbeat>>,
    /// How many jobs its claims may take together, if that is limited.
    pub claim_room: Option<usize>,
    /// An estimate of how many events the commands make.
    pub weight: usize,
}

impl CommandBatch {
    /// A batch of mutations that were deferred.
    pub fn of(mutations: Vec<Mutation>) -> CommandBatch {
        CommandBatch { mutations, ..CommandBatch::default() }
    }

    /// Adds a command.
    pub fn add(&mut self, command: Command) {
        self.weight = self.weight.saturating_add(command.weight());
        match command {
            Command::Inspect(inspection) => self.inspections.push(inspection),
            Command::Claim(claim, reply) => self.claims.push((claim, reply)),
            Command::Mutate(change) => self.mutations.push(change),
            Command::Failed => self.failed = true,
            Command::Follow(number) => self.follows = self.follows.max(Some(number)),
            Command::Nodes(nodes) => self.nodes = Some(nodes),
            Command::Close(reply) => self.closing.push(reply),
        }
    }

    /// Whether a command in it may change something.
    pub fn may_append(&self) -> bool {
        !self.claims.is_empty() || !self.mutations.is_empty()
    }

    /// Whether it ends attempts and claims nothing. A claim for their slots is probably on its way then.
    pub fn precedes_claim(&self) -> bool {
        let settles = |mutation: &Mutation| matches!(mutation, Mutation::Settle(..));
        self.claims.is_empty() && self.mutations.iter().any(settles)
    }

    /// Whether every earlier group must be durable before this batch runs, because a command in it shows durable
    /// state or reads it from the log.
    pub fn needs_durable_state(&self) -> bool {
        self.failed
            || !self.inspections.is_empty()
            || self.mutations.iter().any(Mutation::reads_disk)
    }

    /// Whether a command in it may change the archive or schedules.
    pub fn changes_tables(&self) -> bool {
        self.mutations.iter().any(Mutation::reads_disk)
    }

    /// Answers every command with `error`, except those that wait for the store to close, which it returns. The
    /// callers of inspections learn the reason from the state of the store.
    pub fn refuse(self, error: &StoreError) -> Vec<Reply<()>> {
        // In every arm the caller may have stopped waiting.
        for (_, reply) in self.claims {
            let _gone = reply.send(Err(error.clone()));
        }
        for change in self.mutations {
            let error = error.clone();
            match change {
                Mutation::Enqueue(_, reply) => drop(reply.send(Err(error.into()))),
                Mutation::TakeInbox(_, reply) => drop(reply.send(Err(error))),
                Mutation::Extend(_, _, reply) => drop(reply.send(Err(error))),
                Mutation::Settle(_, reply) => drop(reply.send(Err(error))),
                Mutation::Annotate(_, reply) => drop(reply.send(Err(error))),
                Mutation::Control(_, _, reply) => drop(reply.send(Err(error.into()))),
                Mutation::Schedule(_, _, reply) => drop(reply.send(Err(error.into()))),
                Mutation::Kind(_, _, reply) => drop(reply.send(Err(error.into()))),
                Mutation::Report(_, reply) => drop(reply.send(Err(error))),
                Mutation::Access(_, _, reply) => drop(reply.send(Err(error.into()))),
                Mutation::PutHistory(_, reply) => drop(reply.send(Err(error))),
                Mutation::Tick(_, reply) => drop(reply.send(Err(error))),
                Mutation::RecordStart
                | Mutation::GiveBack(..)
                | Mutation::TakeBack(..)
                | Mutation::Archive(..) => {}
            }
        }
        self.closing
    }
}
