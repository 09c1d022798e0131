//! The only thread that changes anything. It takes all waiting commands, applies them as one group, makes the group
//! durable, and then answers: a group is what arrived while the previous one was synced.

use tokio::sync::mpsc;

use super::archiver::Archiver;
use super::command::{Command, CommandBatch, Mutation, Reply};
use super::core::Core;
use super::group::{CommitGroup, PackedGroup};
use super::outage::{self, ReopenDelays};
use super::shared::Shared;
use super::shared_group;
use super::tick::TickOutcome;
use super::verbs::ControlOutcome;
use super::writer::{DurableReply, GroupOutcome, PendingGroup, Replies, Writer};
use crate::store::StoreError;
use crate::supervise::{Part, pass};

/// The number of events after which a group takes no more commands. The others wait for the next group, which is
/// applied while this one is written.
const MAX_GROUP_EVENTS: usize = 2_048;

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
        while batch.weight < MAX_GROUP_EVENTS
            && let Ok(command) = commands.try_recv()
        {
            batch.add(command);
        }
        if !core.archiving {
            batch.mutations.append(&mut deferred);
        }
        let closing = std::mem::take(&mut batch.closing);
        let written = match core.node {
            Some(_) => shared_group::run(&mut core, batch),
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
            if archiver.is_due(&core) {
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
            CommandBatch::of(later).refuse(&error);
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
        CommandBatch::of(later).refuse(&error);
        return Err(error);
    }
    Ok(later)
}

/// Waits until every earlier group is durable.
fn wait_for_writer(core: &mut Core, writer: &mut Writer) -> Result<(), StoreError> {
    writer.finish().map_or(Ok(()), |outcome| core.written(outcome))
}

/// Applies the commands of a group in order.
pub fn apply(
    core: &mut Core,
    batch: CommandBatch,
) -> (Result<PackedGroup, StoreError>, Replies, Vec<Mutation>) {
    let now = core.shared.clock.now();
    let mut group = CommitGroup::new(core, now);
    // Claims come first, so that they see only jobs of earlier groups, which are durable when the claim is answered.
    let claims = batch.claims.into_iter().map(|(claim, reply)| {
        let claimed = group.claim(&claim);
        (claim, claimed, reply)
    });
    let mut replies = Replies { claims: claims.collect(), answers: Vec::new() };
    let mut later = Vec::new();
    let mut archived = Ok(Vec::new());
    // Only a group on a shared log can be lost, so only there the commands are kept.
    let keep = group.core.node.is_some();
    for mutation in batch.mutations {
        let answer = match mutation {
            Mutation::Enqueue(batch, reply) => {
                let again = keep.then(|| batch.clone());
                when_durable(group.enqueue(batch), reply, again, Mutation::Enqueue)
            }
            Mutation::Settle(all, reply) => {
                let again = keep.then(|| all.clone());
                when_durable(group.settle(all), reply, again, Mutation::Settle)
            }
            Mutation::Annotate(notes, reply) => {
                let again = keep.then(|| notes.clone());
                when_durable(group.annotate(notes), reply, again, Mutation::Annotate)
            }
            Mutation::Extend(leases, ttl, reply) => {
                let answer = group.extend(&leases, ttl);
                let again = keep.then_some((leases, ttl));
                let mutation = |(leases, ttl), reply| Mutation::Extend(leases, ttl, reply);
                when_durable(answer, reply, again, mutation)
            }
            Mutation::Control(control, by, reply) => {
                let again = keep.then(|| (control.clone(), by.clone()));
                let mutation = |(control, by), reply| Mutation::Control(control, by, reply);
                match group.in_the_name_of(by.clone(), |group| group.control(control)) {
                    Ok(ControlOutcome::Done(done)) => {
                        when_durable(Ok(done), reply, again, mutation)
                    }
                    Ok(ControlOutcome::Deferred(control)) => {
                        later.push(Mutation::Control(control, by, reply));
                        continue;
                    }
                    Err(error) => when_durable(Err(error), reply, again, mutation),
                }
            }
            Mutation::Schedule(command, by, reply) => {
                let again = keep.then(|| (command.clone(), by.clone()));
                let mutation = |(command, by), reply| Mutation::Schedule(command, by, reply);
                when_durable(group.schedule(command, by), reply, again, mutation)
            }
            Mutation::Report(notices, reply) => {
                let again = keep.then(|| notices.clone());
                when_durable(group.report(notices), reply, again, Mutation::Report)
            }
            Mutation::Kind(command, by, reply) => {
                let again = keep.then(|| (command.clone(), by.clone()));
                let mutation = |(command, by), reply| Mutation::Kind(command, by, reply);
                when_durable(group.kind(command, by), reply, again, mutation)
            }
            Mutation::Access(command, by, reply) => {
                let again = keep.then(|| (command.clone(), by.clone()));
                let mutation = |(command, by), reply| Mutation::Access(command, by, reply);
                when_durable(group.access(command, by), reply, again, mutation)
            }
            Mutation::Tick(so_far, reply) => {
                let again = keep.then(|| so_far.clone());
                match group.tick(so_far) {
                    Ok(TickOutcome::Done(ticked)) => {
                        when_durable(Ok(ticked), reply, again, Mutation::Tick)
                    }
                    Ok(TickOutcome::Deferred(so_far)) => {
                        later.push(Mutation::Tick(so_far, reply));
                        continue;
                    }
                    Err(error) => when_durable(Err(error), reply, again, Mutation::Tick),
                }
            }
            Mutation::RecordStart => {
                group.record_start();
                unanswered(Ok(()), || Mutation::RecordStart)
            }
            // When it fails, the nodes are still silent at the next beat.
            Mutation::GiveBack(nodes) => {
                unanswered(group.give_back(&nodes), || Mutation::GiveBack(nodes))
            }
            Mutation::TakeBack(refused) => {
                unanswered(group.take_back(&refused), || Mutation::TakeBack(refused))
            }
            Mutation::Archive(version, built) => {
                // A run that was requested before an outage, or before another node has changed the archive, may hold
                // jobs that have moved since.
                if version == group.core.archive_version() {
                    archived = archived.and_then(|mut all: Vec<_>| {
                        all.push(built?);
                        Ok(all)
                    });
                }
                continue;
            }
        };
        replies.answers.push(answer);
    }
    // Last, so that no command of this group looks for a run that is not stored yet.
    let archived = archived.map(|all| all.into_iter().for_each(|built| group.archive(built)));
    (archived.and_then(|()| group.pack()), replies, later)
}

/// Nobody waits for this mutation. `again` makes it once more, in case the group is lost.
fn unanswered(
    outcome: Result<(), StoreError>,
    again: impl FnOnce() -> Mutation + Send + 'static,
) -> DurableReply {
    if let Err(error) = outcome {
        tracing::error!(%error, "jobs were not given back");
    }
    Box::new(|outcome| matches!(outcome, GroupOutcome::Lost).then(again))
}

/// Answers a mutation with `value` when its group is durable. `again` and `mutation` make the same mutation once more,
/// in case the group is lost.
fn when_durable<T, E, A>(
    value: Result<T, E>,
    reply: Reply<T, E>,
    again: Option<A>,
    mutation: impl FnOnce(A, Reply<T, E>) -> Mutation + Send + 'static,
) -> DurableReply
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    A: Send + 'static,
{
    Box::new(move |outcome| {
        let answer = match outcome {
            GroupOutcome::Durable => value,
            GroupOutcome::Failed(error) => Err(error.into()),
            GroupOutcome::Lost => return again.map(|again| mutation(again, reply)),
        };
        // The caller may have stopped waiting; the change stays.
        let _gone = reply.send(answer);
        None
    })
}
