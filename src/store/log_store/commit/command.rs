//! What the handle and the archiver ask of the committer.

use std::time::Duration;

use tokio::sync::oneshot;

use super::core::Core;
use super::verbs::{Claimed, Taken};
use crate::job::{Event, JobId, NewJob, Schedule, Status};
use crate::store::log_store::archive::new_run::NewRun;
use crate::store::{
    Claim, Control, ControlError, Extension, LeaseRef, Note, ScheduleCommand, ScheduleError,
    SettleError, Settlement, StoreError, Ticked,
};

pub type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
pub type ClaimReply = Reply<Vec<(Claimed, Event)>>;
/// Sees everything between two groups, when it is durable.
pub type Look = Box<dyn FnOnce(&Core) + Send>;
type Controls = Vec<(JobId, Result<Status, ControlError>)>;

/// What the handle and the archiver ask for.
pub enum Command {
    Look(Look),
    Claim(Claim, ClaimReply),
    Change(Change),
    /// The group on its way was not written, or the data directory was not found.
    Failed,
    Close(Reply<()>),
}

/// A command that is answered when its group is durable.
pub enum Change {
    Enqueue(Vec<NewJob>, Reply<Vec<Taken>>),
    Extend(Vec<LeaseRef>, Duration, Reply<Vec<Extension>>),
    Settle(Vec<Settlement>, Reply<Vec<Result<Status, SettleError>>>),
    Annotate(Vec<Note>, Reply<()>),
    Control(Control, Reply<Controls>),
    Schedule(ScheduleCommand, Reply<Result<Schedule, ScheduleError>>),
    /// With what an earlier part of the same tick did, before it met the archiver.
    Tick(Ticked, Reply<Ticked>),
    /// The archiver has built the run it was asked for, after that many outages.
    Archive(u64, Result<NewRun, StoreError>),
}

impl Command {
    /// About how many events it makes.
    fn weight(&self) -> usize {
        match self {
            Command::Change(Change::Enqueue(jobs, _)) => jobs.len(),
            Command::Change(Change::Settle(all, _)) => all.len(),
            Command::Claim(claim, _) => claim.max,
            Command::Look(_) | Command::Change(_) | Command::Failed | Command::Close(_) => 1,
        }
    }
}

impl Change {
    /// Whether it may look at the disk for what earlier groups left there.
    fn reads_disk(&self) -> bool {
        match self {
            Change::Enqueue(..)
            | Change::Extend(..)
            | Change::Settle(..)
            | Change::Annotate(..) => false,
            Change::Control(..) | Change::Schedule(..) | Change::Tick(..) | Change::Archive(..) => {
                true
            }
        }
    }
}

/// Commands that will be one group.
#[derive(Default)]
pub struct Batch {
    /// Those who want to see what is durable.
    pub looks: Vec<Look>,
    pub claims: Vec<(Claim, ClaimReply)>,
    pub changes: Vec<Change>,
    pub closing: Vec<Reply<()>>,
    /// The group before may have failed, or the data directory may be gone.
    pub failed: bool,
    /// About how many events it makes.
    pub weight: usize,
}

impl Batch {
    /// Changes that waited.
    pub fn of(changes: Vec<Change>) -> Batch {
        Batch { changes, ..Batch::default() }
    }

    /// Sorts a command in.
    pub fn add(&mut self, command: Command) {
        self.weight = self.weight.saturating_add(command.weight());
        match command {
            Command::Look(look) => self.looks.push(look),
            Command::Claim(claim, reply) => self.claims.push((claim, reply)),
            Command::Change(change) => self.changes.push(change),
            Command::Failed => self.failed = true,
            Command::Close(reply) => self.closing.push(reply),
        }
    }

    /// Whether something in it must find every group before it on the disk: it shows what is durable, or
    /// reads it there.
    pub fn wants_rest(&self) -> bool {
        self.failed || !self.looks.is_empty() || self.changes.iter().any(Change::reads_disk)
    }

    /// Refuses all but who waits for the close. Whoever looks is told why by the store's state.
    pub fn refuse(self, error: &StoreError) -> Vec<Reply<()>> {
        // In every arm: whoever asked may have given up.
        for (_, reply) in self.claims {
            let _gone = reply.send(Err(error.clone()));
        }
        for change in self.changes {
            let error = error.clone();
            match change {
                Change::Enqueue(_, reply) => drop(reply.send(Err(error))),
                Change::Extend(_, _, reply) => drop(reply.send(Err(error))),
                Change::Settle(_, reply) => drop(reply.send(Err(error))),
                Change::Annotate(_, reply) => drop(reply.send(Err(error))),
                Change::Control(_, reply) => drop(reply.send(Err(error))),
                Change::Schedule(_, reply) => drop(reply.send(Err(error))),
                Change::Tick(_, reply) => drop(reply.send(Err(error))),
                Change::Archive(..) => {}
            }
        }
        self.closing
    }
}
