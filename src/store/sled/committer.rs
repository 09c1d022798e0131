//! The one thread that writes. It takes every waiting command, applies them as one group, makes the
//! group durable, and then answers: a group is what arrived while the last one was synced.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::archiver::Archiver;
use super::group::{Core, Group, Packed};
use super::index::Index;
use super::time::Ticking;
use super::verbs::{Claimed, Controlled, Taken};
use crate::job::{Cursor, Event, Job, JobId, NewJob, Status};
use crate::store::{
    Claim, Control, ControlError, Extension, LeaseRef, Note, SettleError, Settlement, StoreError,
    Ticked,
};

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
type ClaimReply = Reply<Vec<(Claimed, Event)>>;
/// A look at the index, and the durable place it is of.
pub(super) type Look = Box<dyn FnOnce(&Index, Cursor) + Send>;
type Controls = Vec<(JobId, Result<Status, ControlError>)>;

/// What the handle and the archiver ask for.
pub(super) enum Command {
    /// Looks at the index between two groups, so it sees durable state only.
    Read(Look),
    Claim(Claim, ClaimReply),
    Change(Change),
    Close(Reply<()>),
}

/// A command that is answered when its group is durable.
pub(super) enum Change {
    Enqueue(Vec<NewJob>, Reply<Vec<Taken>>),
    Extend(Vec<LeaseRef>, Duration, Reply<Vec<Extension>>),
    Settle(Vec<Settlement>, Reply<Vec<Result<Status, SettleError>>>),
    Annotate(Vec<Note>, Reply<()>),
    Control(Control, Reply<Controls>),
    /// With what an earlier part of the same tick did, before it met the archiver.
    Tick(Ticked, Reply<Ticked>),
    /// The archiver has read the records of the jobs it was given.
    Archive(Result<Vec<Job>, StoreError>),
}

/// Commands in one group at most; what is beyond waits for the next.
const GROUP: usize = 16_384;

/// An answer to give when the group is durable, or has failed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Claims = Vec<(Result<Vec<Claimed>, StoreError>, ClaimReply)>;

/// Runs until it is told to close. Owns everything that changes.
pub(super) fn run(mut core: Core, mut commands: mpsc::Receiver<Command>, archiver: &Archiver) {
    let mut deferred: Vec<Change> = Vec::new();
    loop {
        let mut batch = Batch::default();
        if deferred.is_empty() || core.archiving {
            match commands.blocking_recv() {
                Some(first) => batch.add(first, &core),
                None => return,
            }
        }
        while batch.len() < GROUP
            && let Ok(command) = commands.try_recv()
        {
            batch.add(command, &core);
        }
        if !core.archiving {
            batch.changes.append(&mut deferred);
        }
        let closing = std::mem::take(&mut batch.closing);
        match core.shared.check() {
            Ok(()) => match one_group(&mut core, batch) {
                Ok(mut later) => deferred.append(&mut later),
                Err(error) => {
                    tracing::error!(%error, "a group was not written; the store takes no more work");
                    core.shared.take_down(error);
                }
            },
            Err(error) => batch.refuse(&error),
        }
        archiver.feed(&mut core);
        if !closing.is_empty() {
            close(&core, &mut commands, deferred, closing);
            return;
        }
    }
}

fn close(
    core: &Core,
    commands: &mut mpsc::Receiver<Command>,
    deferred: Vec<Change>,
    closing: Vec<Reply<()>>,
) {
    let result = core.shared.check().and_then(|()| core.shared.disk.sync());
    core.shared.take_down(StoreError::Closed);
    let mut rest = Batch { changes: deferred, ..Batch::default() };
    while let Ok(command) = commands.try_recv() {
        rest.add(command, core);
    }
    rest.refuse(&StoreError::Closed);
    for reply in closing.into_iter().chain(rest.closing) {
        // Nobody may be waiting any more; the store is closed all the same.
        let _gone = reply.send(result.clone());
    }
}

/// Commands that will be one group.
#[derive(Default)]
struct Batch {
    claims: Vec<(Claim, ClaimReply)>,
    changes: Vec<Change>,
    closing: Vec<Reply<()>>,
}

impl Batch {
    fn len(&self) -> usize {
        self.claims.len() + self.changes.len()
    }

    /// Sorts a command in. Reads are answered at once: the index is as the last group left it.
    fn add(&mut self, command: Command, core: &Core) {
        match command {
            Command::Read(look) => look(&core.index, core.shared.head()),
            Command::Claim(claim, reply) => self.claims.push((claim, reply)),
            Command::Change(change) => self.changes.push(change),
            Command::Close(reply) => self.closing.push(reply),
        }
    }

    fn refuse(&mut self, error: &StoreError) {
        // In every arm: whoever asked may have given up.
        for (_, reply) in self.claims.drain(..) {
            let _gone = reply.send(Err(error.clone()));
        }
        for change in self.changes.drain(..) {
            let error = error.clone();
            match change {
                Change::Enqueue(_, reply) => drop(reply.send(Err(error))),
                Change::Extend(_, _, reply) => drop(reply.send(Err(error))),
                Change::Settle(_, reply) => drop(reply.send(Err(error))),
                Change::Annotate(_, reply) => drop(reply.send(Err(error))),
                Change::Control(_, reply) => drop(reply.send(Err(error))),
                Change::Tick(_, reply) => drop(reply.send(Err(error))),
                Change::Archive(_) => {}
            }
        }
    }
}

/// Applies, writes and answers one group. Answers with the changes that must wait for the archiver.
fn one_group(core: &mut Core, batch: Batch) -> Result<Vec<Change>, StoreError> {
    let now = core.shared.clock.now();
    let mut group = Group::new(core, now);
    // Claims come first: so they only see jobs that earlier groups made durable.
    let claims: Claims =
        batch.claims.into_iter().map(|(claim, reply)| (group.claim(&claim), reply)).collect();
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.changes.len());
    let mut later = Vec::new();
    let mut archived = Vec::new();
    for change in batch.changes {
        let answer = match change {
            Change::Enqueue(jobs, reply) => when_durable(group.enqueue(jobs), reply),
            Change::Settle(all, reply) => {
                when_durable(all.into_iter().map(|one| group.settle(one)).collect(), reply)
            }
            Change::Annotate(notes, reply) => when_durable(group.annotate(notes), reply),
            Change::Extend(leases, ttl, reply) => {
                when_durable(Ok(group.extend(&leases, now.after(ttl))), reply)
            }
            Change::Control(control, reply) => match group.control(control) {
                Ok(Controlled::Done(done)) => when_durable(Ok(done), reply),
                Ok(Controlled::Later(control)) => {
                    later.push(Change::Control(control, reply));
                    continue;
                }
                Err(error) => when_durable(Err(error), reply),
            },
            Change::Tick(so_far, reply) => match group.tick(so_far) {
                Ok(Ticking::Done(ticked)) => when_durable(Ok(ticked), reply),
                Ok(Ticking::Later(so_far)) => {
                    later.push(Change::Tick(so_far, reply));
                    continue;
                }
                Err(error) => when_durable(Err(error), reply),
            },
            Change::Archive(jobs) => {
                archived.push(jobs?);
                continue;
            }
        };
        answers.push(answer);
    }
    // Last, so that nothing of this group looks for a run that is not on the disk yet.
    for jobs in archived {
        group.archive(jobs);
    }
    let written = group.pack().and_then(|packed| write(core, packed, claims));
    for answer in answers {
        answer(written.clone());
    }
    written.map(|()| later)
}

/// Makes a group durable, then tells everybody.
pub(super) fn write(core: &mut Core, packed: Packed, claims: Claims) -> Result<(), StoreError> {
    let Packed { at, ops, chunks, events, woken, archive_changed } = packed;
    let shared = core.shared.clone();
    let empty = ops.bytes == 0;
    if !empty {
        shared.disk.apply(ops)?;
    }
    // A claim is in the kernel's hands now and its job was durable before: the worker may begin.
    for (claimed, reply) in claims {
        let with_event = |one: Claimed| {
            let started = events[one.started].clone();
            (one, started)
        };
        // A worker that no longer waits loses its lease when it runs out.
        let _gone = reply.send(claimed.map(|all| all.into_iter().map(with_event).collect()));
    }
    if !empty {
        shared.disk.sync()?;
    }

    for (first_seq, len) in chunks {
        core.journal.add(first_seq, at, len);
    }
    if archive_changed {
        let archive = core.archive.clone();
        *shared.archive.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }
    shared.head.store(core.next_seq - 1, Ordering::Release);
    for queue in woken {
        core.index.sets.queues[queue as usize].wake.notify_one();
    }
    if !events.is_empty() {
        shared.tell(events.into());
    }
    Ok(())
}

fn when_durable<T: Send + 'static>(value: Result<T, StoreError>, reply: Reply<T>) -> Answer {
    Box::new(move |durable| {
        // Whoever asked may have given up; what was done stays done.
        let _gone = reply.send(durable.and(value));
    })
}
