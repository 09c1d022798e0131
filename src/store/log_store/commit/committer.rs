//! The one thread that changes anything. It takes every waiting command, applies them as one group, makes
//! the group durable, and then answers: a group is what arrived while the last one was synced.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::archiver::Archiver;
use super::command::{Batch, Change, Command, Reply};
use super::core::Core;
use super::group::{Group, Packed};
use super::outage::{self, Patience};
use super::shared::Shared;
use super::tick::Ticking;
use super::verbs::Controlled;
use super::writer::{Answer, Parcel, Waiting, Writer};
use crate::store::StoreError;
use crate::supervise::{Part, pass};

/// Events after which a group takes no more commands: what is beyond waits for the next, which is applied
/// while this one is written.
const GROUP: usize = 2_048;

/// Runs until it is told to close. Owns everything that changes.
pub fn run(
    mut core: Core,
    mut commands: mpsc::Receiver<Command>,
    archiver: &Archiver,
    mut writer: Writer,
) {
    let mut deferred: Vec<Change> = Vec::new();
    let mut patience = Patience::new(core.shared.tuning.pauses);
    loop {
        let mut batch = Batch::default();
        if deferred.is_empty() || core.archiving {
            match commands.blocking_recv() {
                Some(first) => batch.add(first),
                None => return,
            }
        }
        pass(Part::Committer);
        // On a busy machine whoever can run now adds to this group; an idle one loses nothing.
        std::thread::yield_now();
        while batch.weight < GROUP
            && let Ok(command) = commands.try_recv()
        {
            batch.add(command);
        }
        if !core.archiving {
            batch.changes.append(&mut deferred);
        }
        let closing = std::mem::take(&mut batch.closing);
        let written = one_group(&mut core, batch, &mut writer);
        if !closing.is_empty() {
            let result = written.map(|mut later| deferred.append(&mut later));
            let result = result.and_then(|()| rest(&mut core, &mut writer));
            let result = result.and_then(|()| core.shared.log.sync());
            let result = result.and_then(|()| core.shared.log.record_head(core.shared.head()));
            return close(&core.shared, &mut commands, deferred, closing, result);
        }
        let fed = written.and_then(|mut later| {
            deferred.append(&mut later);
            if archiver.is_due(&core) {
                rest(&mut core, &mut writer)?; // it reads what it is given from the disk
                archiver.feed(&mut core);
            }
            Ok(())
        });
        if let Err(error) = fed {
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
        rest.add(command);
    }
    let more = rest.refuse(&StoreError::Closed);
    for reply in closing.into_iter().chain(more) {
        // Nobody may be waiting any more; the store is closed all the same.
        let _gone = reply.send(result.clone());
    }
}

/// Applies one group and writes it: here or, when it is large, beside what is applied next.
/// Answers with the changes that must wait for the archiver.
fn one_group(
    core: &mut Core,
    mut batch: Batch,
    writer: &mut Writer,
) -> Result<Vec<Change>, StoreError> {
    if batch.wants_rest()
        && let Err(error) = rest(core, writer)
    {
        batch.refuse(&error);
        return Err(error);
    }
    if batch.failed
        && let Err(error) = core.shared.log.check_identity()
    {
        core.shared.suspend(error.clone()); // before anybody is told
        batch.refuse(&error);
        return Err(error);
    }
    batch.looks.drain(..).for_each(|look| look(core));
    let (packed, waiting, later) = apply(core, batch);
    // The group before is through with everything first, its failure included.
    let parcel = match rest(core, writer).and(packed) {
        Ok(packed) => Parcel { packed, waiting },
        Err(error) => {
            core.shared.suspend(error.clone()); // before anybody is told
            waiting.refuse(&error);
            Batch::of(later).refuse(&error);
            return Err(error);
        }
    };
    let left = if parcel.may_overlap(core.shared.tuning.pipeline_from) {
        writer.give(parcel)
    } else {
        Some(parcel)
    };
    if let Some(parcel) = left
        && let Err(error) = core.write(parcel)
    {
        Batch::of(later).refuse(&error);
        return Err(error);
    }
    Ok(later)
}

/// Waits until every group before is durable.
fn rest(core: &mut Core, writer: &mut Writer) -> Result<(), StoreError> {
    writer.rest().map_or(Ok(()), |outcome| core.written(outcome))
}

/// Applies a group's commands one after the other.
fn apply(core: &mut Core, batch: Batch) -> (Result<Packed, StoreError>, Waiting, Vec<Change>) {
    let now = core.shared.clock.now();
    let mut group = Group::new(core, now);
    // Claims come first: they only see jobs of earlier groups, durable when they are answered.
    let claims = batch.claims.into_iter().map(|(claim, reply)| (group.claim(&claim), reply));
    let mut waiting = Waiting { claims: claims.collect(), answers: Vec::new() };
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
        waiting.answers.push(answer);
    }
    // Last, so that nothing of this group looks for a run that is not on the disk yet.
    let archived = archived.map(|all| all.into_iter().for_each(|built| group.archive(built)));
    (archived.and_then(|()| group.pack()), waiting, later)
}

fn when_durable<T: Send + 'static>(value: Result<T, StoreError>, reply: Reply<T>) -> Answer {
    Box::new(move |durable| {
        // Whoever asked may have given up; what was done stays done.
        let _gone = reply.send(durable.and(value));
    })
}
