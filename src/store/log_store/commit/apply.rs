//! Applies the commands of a group in order, and keeps what each caller is to be answered once the group is durable.

use super::command::{CommandBatch, Mutation, Reply, TakeReply};
use super::core::Core;
use super::group::{CommitGroup, PackedGroup};
use super::inbox::TakenJob;
use super::tick::TickOutcome;
use super::verbs::ControlOutcome;
use super::writer::{DurableReply, GroupOutcome, Replies};
use crate::store::{StoreError, Ticked};

/// The mutations of a group that must wait for the archiver.
#[derive(Default)]
pub struct DeferredMutations(Vec<(Mutation, Option<Ticked>)>);

impl DeferredMutations {
    /// Defers a mutation as it is.
    fn add(&mut self, mutation: Mutation) {
        self.0.push((mutation, None));
    }

    /// Defers a tick. The group has done a part of it already.
    fn add_tick(&mut self, before: Ticked, so_far: Ticked, reply: Reply<Ticked>) {
        self.0.push((Mutation::Tick(before, reply), Some(so_far)));
    }

    /// The mutations after the group was stored.
    pub fn stored(self) -> Vec<Mutation> {
        let mutation = |deferred| match deferred {
            (Mutation::Tick(_, reply), Some(so_far)) => Mutation::Tick(so_far, reply),
            (mutation, _) => mutation,
        };
        self.0.into_iter().map(mutation).collect()
    }

    /// The mutations after nothing of the group was stored.
    pub fn lost(self) -> Vec<Mutation> {
        self.0.into_iter().map(|(mutation, _)| mutation).collect()
    }
}

/// Applies the commands of a group in order.
pub fn apply(
    core: &mut Core,
    batch: CommandBatch,
) -> (Result<PackedGroup, StoreError>, Replies, DeferredMutations) {
    let now = core.shared.clock.now();
    let mut group = CommitGroup::new(core, now);
    let mut room = batch.claim_room.unwrap_or(usize::MAX);
    // Claims come first, so that they see only jobs of earlier groups, which are durable when the claim is answered.
    let claims = batch.claims.into_iter().map(|(claim, reply)| {
        let claimed = group.claim(&claim, room);
        room -= claimed.as_ref().map_or(0, |claimed| claimed.jobs.len());
        (claim, claimed, reply)
    });
    let mut replies = Replies { claims: claims.collect(), answers: Vec::new() };
    let mut later = DeferredMutations::default();
    let mut archived = Ok(Vec::new());
    // Only a group on a shared log can be lost, so only there the commands are kept.
    let keep = group.core.shared.node.is_some();
    for mutation in batch.mutations {
        let answer = match mutation {
            Mutation::Enqueue(batch, reply) => {
                let again = keep.then(|| batch.clone());
                when_durable(group.enqueue(batch), reply, again, Mutation::Enqueue)
            }
            Mutation::TakeInbox(jobs, reply) => taken_when_durable(group.take_inbox(jobs), reply),
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
                        later.add(Mutation::Control(control, by, reply));
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
            Mutation::PutHistory(rows, reply) => {
                let again = keep.then(|| rows.clone());
                when_durable(group.put_history(rows), reply, again, Mutation::PutHistory)
            }
            Mutation::Tick(so_far, reply) => {
                let before = so_far.clone();
                let again = keep.then(|| so_far.clone());
                match group.tick(so_far) {
                    Ok(TickOutcome::Done(ticked)) => {
                        when_durable(Ok(ticked), reply, again, Mutation::Tick)
                    }
                    Ok(TickOutcome::Deferred(so_far)) => {
                        later.add_tick(before, so_far, reply);
                        continue;
                    }
                    Err(error) => when_durable(Err(error), reply, again, Mutation::Tick),
                }
            }
            Mutation::RecordStart => unanswered(group.record_start(), || Mutation::RecordStart),
            // When it fails, the nodes are still silent at the next heartbeat.
            Mutation::GiveBack(nodes) => {
                unanswered(group.give_back(&nodes), || Mutation::GiveBack(nodes))
            }
            Mutation::TakeBack(refused) => {
                unanswered(group.take_back(&refused), || Mutation::TakeBack(refused))
            }
            Mutation::Archive(version, built) => {
                // A run that was requested before an outage, or before another node has changed the archive, may hold
                // jobs that have moved since.
                if version != group.core.archive_version() {
                    continue;
                }
                match built {
                    Err(error) if keep => {
                        // Another node may have removed a job, and its chunks, while they were read.
                        tracing::warn!(%error, "finished jobs could not be read for the archive; trying again");
                        group.core.abandon_run();
                    }
                    built => {
                        archived = archived.and_then(|mut all: Vec<_>| {
                            all.push(built?);
                            Ok(all)
                        });
                    }
                }
                continue;
            }
        };
        replies.answers.push(answer);
    }
    // Last, so that no command of this group looks for a run that is not stored yet.
    let archived = archived.map(|all| {
        for built in all {
            if built.is_current(group.core) {
                group.archive(built);
            } else {
                group.core.abandon_run();
            }
        }
    });
    (archived.and_then(|()| group.pack()), replies, later)
}

/// Nobody waits for this mutation. `again` makes it once more, in case the group is lost.
fn unanswered(
    outcome: Result<(), StoreError>,
    again: impl FnOnce() -> Mutation + Send + 'static,
) -> DurableReply {
    if let Err(error) = outcome {
        tracing::error!(%error, "a change of the store itself was not made");
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

/// Answers when the group is durable. If it is lost, the jobs are not enqueued again: another node may have taken them, so
/// the inbox has to be read again.
fn taken_when_durable(taken: Result<Vec<TakenJob>, StoreError>, reply: TakeReply) -> DurableReply {
    Box::new(move |outcome| {
        let answer = match outcome {
            GroupOutcome::Durable => taken.map(Some),
            GroupOutcome::Lost => Ok(None),
            GroupOutcome::Failed(error) => Err(error),
        };
        // The caller may have stopped waiting; what was enqueued stays.
        let _gone = reply.send(answer);
        None
    })
}
