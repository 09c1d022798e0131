//! The one thread that writes. It takes every waiting command, applies them as one group, makes the
//! group durable, and then answers: a group is what arrived while the last one was synced.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::archiver::{Archiver, Built};
use super::cut::Cut;
use super::group::{Core, Group, Packed};
use super::index::Index;
use super::outage::{self, Patience};
use super::shared::Shared;
use super::time::Ticking;
use super::verbs::{Claimed, Controlled, Taken};
use crate::job::{Cursor, Event, JobId, NewJob, Schedule, Status};
use crate::store::{
    Claim, Control, ControlError, Extension, LeaseRef, Note, ScheduleCommand, ScheduleError,
    SettleError, Settlement, StoreError, Ticked,
};

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;
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
    /// Begins a snapshot of what is durable now.
    Cut(Reply<Cut>),
    /// The cron entries, and the durable place they are of.
    Schedules(Reply<(Vec<Schedule>, Cursor)>),
    Close(Reply<()>),
}

/// A command that is answered when its group is durable.
pub(super) enum Change {
    Enqueue(Vec<NewJob>, Reply<Vec<Taken>>),
    Extend(Vec<LeaseRef>, Duration, Reply<Vec<Extension>>),
    Settle(Vec<Settlement>, Reply<Vec<Result<Status, SettleError>>>),
    Annotate(Vec<Note>, Reply<()>),
    Control(Control, Reply<Controls>),
    Schedule(ScheduleCommand, Reply<Result<Schedule, ScheduleError>>),
    /// With what an earlier part of the same tick did, before it met the archiver.
    Tick(Ticked, Reply<Ticked>),
    /// The archiver has built the run it was asked for, after that many outages.
    Archive(u64, Result<Built, StoreError>),
}

/// Commands in one group at most; what is beyond waits for the next.
const GROUP: usize = 16_384;

/// An answer to give when the group is durable, or has failed.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
pub(super) type Claims = Vec<(Result<Vec<Claimed>, StoreError>, ClaimReply)>;

/// Runs until it is told to close. Owns everything that changes.
pub(super) fn run(mut core: Core, mut commands: mpsc::Receiver<Command>, archiver: &Archiver) {
    let mut deferred: Vec<Change> = Vec::new();
    let mut patience = Patience::new(core.shared.tuning.pauses);
    loop {
        let mut batch = Batch::default();
        if deferred.is_empty() || core.archiving {
            match commands.blocking_recv() {
                Some(first) => batch.add(first, Some(&core)),
                None => return,
            }
        }
        // On a busy machine whoever can run now adds to this group; an idle one loses nothing.
        std::thread::yield_now();
        while batch.len() < GROUP
            && let Ok(command) = commands.try_recv()
        {
            batch.add(command, Some(&core));
        }
        if !core.archiving {
            batch.changes.append(&mut deferred);
        }
        let closing = std::mem::take(&mut batch.closing);
        let written = one_group(&mut core, batch);
        if !closing.is_empty() {
            let result = written.map(|mut later| deferred.append(&mut later));
            let result = result.and_then(|()| core.shared.disk.sync());
            let result = result.and_then(|()| core.shared.watermark.write(core.shared.head()));
            return close(&core.shared, &mut commands, deferred, closing, result);
        }
        match written {
            Ok(mut later) => {
                deferred.append(&mut later);
                archiver.feed(&mut core);
            }
            Err(error) => {
                let (shared, waiting) = (core.shared.clone(), std::mem::take(&mut deferred));
                match outage::sit_out(core, &mut commands, waiting, error, &mut patience) {
                    Ok(again) => core = again,
                    Err(closing) => {
                        let result = shared.check();
                        return close(&shared, &mut commands, deferred, closing, result);
                    }
                }
            }
        }
    }
}

fn close(
    shared: &Shared,
    commands: &mut mpsc::Receiver<Command>,
    deferred: Vec<Change>,
    closing: Vec<Reply<()>>,
    result: Result<(), StoreError>,
) {
    shared.suspend(StoreError::Closed);
    shared.take_down(StoreError::Closed);
    let mut rest = Batch::of(deferred);
    while let Ok(command) = commands.try_recv() {
        rest.add(command, None);
    }
    let more = rest.refuse(&StoreError::Closed);
    for reply in closing.into_iter().chain(more) {
        // Nobody may be waiting any more; the store is closed all the same.
        let _gone = reply.send(result.clone());
    }
}

/// Commands that will be one group.
#[derive(Default)]
pub(super) struct Batch {
    claims: Vec<(Claim, ClaimReply)>,
    changes: Vec<Change>,
    closing: Vec<Reply<()>>,
}

impl Batch {
    /// Changes that waited.
    pub fn of(changes: Vec<Change>) -> Batch {
        Batch { changes, ..Batch::default() }
    }

    fn len(&self) -> usize {
        self.claims.len() + self.changes.len()
    }

    /// Sorts a command in. Reads are answered at once: the index is as the last group left it. Without
    /// an index whoever reads is told why by the store's state.
    pub fn add(&mut self, command: Command, core: Option<&Core>) {
        match (command, core) {
            (Command::Read(look), Some(core)) => look(&core.index, core.shared.head()),
            // A reader that gave up holds nothing: its pin went with the answer.
            (Command::Cut(reply), Some(core)) => drop(reply.send(Ok(Cut::of(core)))),
            (Command::Schedules(reply), Some(core)) => {
                let all = core.schedules.0.values().cloned().collect();
                // A reader that gave up misses nothing.
                drop(reply.send(Ok((all, core.shared.head()))));
            }
            (Command::Read(_) | Command::Cut(_) | Command::Schedules(_), None) => {}
            (Command::Claim(claim, reply), _) => self.claims.push((claim, reply)),
            (Command::Change(change), _) => self.changes.push(change),
            (Command::Close(reply), _) => self.closing.push(reply),
        }
    }

    /// Refuses all but who waits for the close.
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

/// Applies, writes and answers one group. Answers with the changes that must wait for the archiver.
fn one_group(core: &mut Core, batch: Batch) -> Result<Vec<Change>, StoreError> {
    let now = core.shared.clock.now();
    let mut group = Group::new(core, now);
    // Claims come first: so they only see jobs that earlier groups made durable.
    let mut claims: Claims =
        batch.claims.into_iter().map(|(claim, reply)| (group.claim(&claim), reply)).collect();
    let mut answers: Vec<Answer> = Vec::with_capacity(batch.changes.len());
    let mut later = Vec::new();
    let mut archived = Ok(Vec::new());
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
            Change::Schedule(command, reply) => when_durable(group.schedule(command), reply),
            Change::Tick(so_far, reply) => match group.tick(so_far) {
                Ok(Ticking::Done(ticked)) => when_durable(Ok(ticked), reply),
                Ok(Ticking::Later(so_far)) => {
                    later.push(Change::Tick(so_far, reply));
                    continue;
                }
                Err(error) => when_durable(Err(error), reply),
            },
            Change::Archive(outages, built) => {
                // What was chosen before an outage may be elsewhere by now.
                if outages == group.core.shared.outages.load(Ordering::Acquire) {
                    archived = archived.and_then(|mut all: Vec<_>| {
                        all.push(built?);
                        Ok(all)
                    });
                }
                continue;
            }
        };
        answers.push(answer);
    }
    // Last, so that nothing of this group looks for a run that is not on the disk yet.
    let archived = archived.map(|all| all.into_iter().for_each(|built| group.archive(built)));
    let written = archived.and_then(|()| group.pack());
    let written = written.and_then(|packed| write(core, packed, &mut claims));
    if let Err(error) = &written {
        core.shared.suspend(error.clone()); // before anybody is told
    }
    let outcome = written.as_ref().map(drop).map_err(StoreError::clone);
    let followers = core.shared.followers();
    for answer in answers {
        answer(outcome.clone());
    }
    match written {
        Ok(events) => {
            // After the answers: they have woken the runtime already, so this costs hardly anything.
            core.shared.tell(&followers, events);
            Ok(later)
        }
        Err(error) => {
            for (_, reply) in claims {
                // Whoever asked may have given up.
                let _gone = reply.send(Err(error.clone()));
            }
            Err(error)
        }
    }
}

/// Makes a group durable and wakes whom it gives work. Answers with the events that followers are to be told.
pub(super) fn write(
    core: &mut Core,
    packed: Packed,
    claims: &mut Claims,
) -> Result<Vec<Event>, StoreError> {
    let Packed { at, ops, chunks, events, woken, archive_changed } = packed;
    let shared = core.shared.clone();
    let empty = ops.bytes == 0;
    if !empty {
        shared.disk.apply(ops)?;
    }
    // A claim is in the kernel's hands now and its job was durable before: the worker may begin.
    let mut answered = 0;
    for (claimed, reply) in claims.drain(..) {
        answered += claimed.as_ref().map_or(0, Vec::len);
        let with_event = |one: Claimed| {
            let started = events[one.started].clone();
            (one, started)
        };
        // A worker that no longer waits loses its lease when it runs out.
        let _gone = reply.send(claimed.map(|all| all.into_iter().map(with_event).collect()));
    }
    if !empty && let Err(error) = shared.disk.sync() {
        // Claims come first in a group, so their events do.
        core.unsure = events.into_iter().take(answered).collect();
        return Err(error);
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
    Ok(events)
}

fn when_durable<T: Send + 'static>(value: Result<T, StoreError>, reply: Reply<T>) -> Answer {
    Box::new(move |durable| {
        // Whoever asked may have given up; what was done stays done.
        let _gone = reply.send(durable.and(value));
    })
}
