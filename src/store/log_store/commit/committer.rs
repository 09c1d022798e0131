//! The only thread that changes anything. It takes all waiting commands, applies them as one group, makes the group
//! durable, and then answers: a group is what arrived while the previous one was synced.

use std::time::Duration;

use tokio::sync::mpsc;

use super::apply::apply;
use super::archiver::Archiver;
use super::command::{Command, CommandBatch, Mutation, Reply};
use super::core::Core;
use super::outage::{self, ReopenDelays};
use super::shared::Shared;
use super::shared_group;
use super::writer::{PendingGroup, Writer};
use crate::store::StoreError;
use crate::supervise::{Part, pass};

/// The number of events after which a group takes no more commands. The others wait for the next group, which is
/// applied while this one is written.
const MAX_GROUP_EVENTS: usize = 2_048;

/// How long the end of an attempt waits for the claim that follows it, on a shared log. Without that, the claim would have to
/// wait for another append, and for the turns of all other nodes before it.
const CLAIM_WAIT: Duration = Duration::from_micros(50);

/// Runs until the store is closed or its handle is dropped. Owns all state that changes.
pub fn run(
    mut core: Core,
    mut commands: mpsc::Receiver<Command>,
    archiver: &Archiver,
    mut writer: Writer,
) {
    let mut deferred: Vec<Mutation> = Vec::new();
    let mut backoff = ReopenDelays::new(core.shared.tuning.pauses);
    loop {
        let mut batch = CommandBatch::default();
        if deferred.is_empty() || core.archiving {
            match commands.blocking_recv() {
                Some(first) => batch.add(first),
                None => return,
            }
        }
        pass(Part::Committer);
        // On a busy machine this lets other threads add their commands to the group; on an idle one it costs nothing.
        std::thread::yield_now();
        add_waiting(&mut batch, &mut commands);
        if let Some(own) = core.shared.node
            && batch.may_append()
        {
            if batch.precedes_claim() {
                std::thread::sleep(CLAIM_WAIT);
                add_waiting(&mut batch, &mut commands);
            }
            shared_group::wait_for_turn(&mut core, own);
            add_waiting(&mut batch, &mut commands);
        }
        if !core.archiving {
            batch.mutations.append(&mut deferred);
        }
        let closing = std::mem::take(&mut batch.closing);
        let written = match core.shared.node {
            Some(own) => shared_group::run(&mut core, own, batch, !commands.is_empty()),
            None => run_group(&mut core, batch, &mut writer),
        };
        if !closing.is_empty() {
            let result = written.map(|mut later| deferred.append(&mut later));
            let result = result.and_then(|()| wait_for_writer(&mut core, &mut writer));
            let result = result.and_then(|()| core.shared.log.sync());
            let result = result.and_then(|()| core.shared.log.record_head(core.shared.head()));
            let result = result.and_then(|()| core.sign_off());
            return close(&core.shared, &mut commands, deferred, closing, result);
        }
        let fed = written.and_then(|mut later| {
            deferred.append(&mut later);
            if archiver.is_due(&mut core) {
                wait_for_writer(&mut core, &mut writer)?; // the archiver reads these jobs from the log
                archiver.request_run(&mut core);
            }
            Ok(())
        });
        if let Err(error) = fed {
            let (shared, waiting) = (core.shared.clone(), std::mem::take(&mut deferred));
            match outage::wait_for_recovery(core, &mut commands, waiting, error, &mut backoff) {
                Ok(again) => core = again,
                Err(closing) => {
                    let result = shared.check();
                    return close(&shared, &mut commands, deferred, closing, result);
                }
            }
        }
    }
}

/// Adds the commands that are waiting, up to the size of a group.
fn add_waiting(batch: &mut CommandBatch, commands: &mut mpsc::Receiver<Command>) {
    while batch.weight < MAX_GROUP_EVENTS
        && let Ok(command) = commands.try_recv()
    {
        batch.add(command);
    }
}

fn close(
    shared: &Shared,
    commands: &mut mpsc::Receiver<Command>,
    deferred: Vec<Mutation>,
    closing: Vec<Reply<()>>,
    result: Result<(), StoreError>,
) {
    shared.suspend(StoreError::Closed);
    shared.close_with(StoreError::Closed);
    let mut remaining = CommandBatch::of(deferred);
    while let Ok(command) = commands.try_recv() {
        remaining.add(command);
    }
    let more = remaining.refuse(&StoreError::Closed);
    for reply in closing.into_iter().chain(more) {
        // The caller may have stopped waiting; the store is closed anyway.
        let _gone = reply.send(result.clone());
    }
}

/// Applies one group and writes it: on this thread or, when it is large, on the writer's thread while the next group is
/// applied. Returns the mutations that must wait for the archiver.
fn run_group(
    core: &mut Core,
    mut batch: CommandBatch,
    writer: &mut Writer,
) -> Result<Vec<Mutation>, StoreError> {
    if batch.needs_durable_state()
        && let Err(error) = wait_for_writer(core, writer)
    {
        batch.refuse(&error);
        return Err(error);
    }
    if batch.failed
        && let Err(error) = core.shared.log.check_identity()
    {
        core.shared.suspend(error.clone()); // before any caller is answered
        batch.refuse(&error);
        return Err(error);
    }
    batch.inspections.drain(..).for_each(|inspect| inspect(core));
    let (packed, replies, later) = apply(core, batch);
    // The previous group is finished first, even if it failed.
    let pending = match wait_for_writer(core, writer).and(packed) {
        Ok(packed) => PendingGroup { packed, replies },
        Err(error) => {
            core.shared.suspend(error.clone()); // before any caller is answered
            replies.refuse(&error);
            CommandBatch::of(later.lost()).refuse(&error);
            return Err(error);
        }
    };
    let left = if pending.may_overlap(core.shared.tuning.pipeline_from) {
        writer.send(pending)
    } else {
        Some(pending)
    };
    if let Some(pending) = left
        && let Err(error) = core.write(pending)
    {
        CommandBatch::of(later.lost()).refuse(&error);
        return Err(error);
    }
    Ok(later.stored())
}

/// Waits until every earlier group is durable.
fn wait_for_writer(core: &mut Core, writer: &mut Writer) -> Result<(), StoreError> {
    writer.finish().map_or(Ok(()), |outcome| core.written(outcome))
}
