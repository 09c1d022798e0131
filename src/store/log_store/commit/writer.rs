//! Makes a group durable and answers its callers. A large group is written on a thread of its own while the committer
//! applies the next one. Groups are always written in order.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc::WeakSender;

use super::claim::ClaimedJobs;
use super::command::{ClaimReply, Command, CommandBatch, Mutation};
use super::core::Core;
use super::group::PackedGroup;
use super::shared::Shared;
use crate::job::Event;
use crate::store::log::{Applied, Row, another_writer};
use crate::store::log_store::journal::chunks;
use crate::store::{Claim, StoreError};
use crate::supervise::{Part, PartFailures, pass};

/// What became of a group.
pub enum GroupOutcome {
    Durable,
    Failed(StoreError),
    /// Another node has appended first, so the group has to be applied again.
    Lost,
}

/// Answers a caller once the group is durable or has failed. Returns the mutation when the group was lost.
pub type DurableReply = Box<dyn FnOnce(GroupOutcome) -> Option<Mutation> + Send>;

/// The callers that wait for a group.
#[derive(Default)]
pub struct Replies {
    pub claims: Vec<(Claim, Result<ClaimedJobs, StoreError>, ClaimReply)>,
    pub answers: Vec<DurableReply>,
}

/// A group that is about to be written, and the callers that wait for it.
pub struct PendingGroup {
    pub packed: PackedGroup,
    pub replies: Replies,
}

/// The chunks of a group that was stored: the number of the first one, and the stored length of each.
pub struct StoredChunks {
    first_chunk: u64,
    lens: Vec<usize>,
}

/// A group that could not be made durable.
pub struct FailedGroup {
    pub error: StoreError,
    /// The `Started` events of claims that were answered before the group failed.
    pub unsynced_claims: Vec<Event>,
}

/// What became of the write of a group.
pub enum GroupWrite {
    Stored(StoredChunks),
    /// Another node has appended first. These callers are still waiting, and these chunks are the next ones.
    Lost(Replies, Vec<Row>),
}

pub type WriteOutcome = Result<GroupWrite, FailedGroup>;

impl Replies {
    /// Answers every caller that nothing was done.
    pub fn refuse(self, error: &StoreError) {
        for answer in self.answers {
            answer(GroupOutcome::Failed(error.clone()));
        }
        for (_, _, reply) in self.claims {
            // The caller may have stopped waiting.
            let _gone = reply.send(Err(error.clone()));
        }
    }

    /// The commands of a group that was lost, to be applied again.
    pub fn into_commands(self) -> CommandBatch {
        let mutations = self.answers.into_iter().filter_map(|answer| answer(GroupOutcome::Lost));
        let mut batch = CommandBatch::of(mutations.collect());
        batch.claims = self.claims.into_iter().map(|(claim, _, reply)| (claim, reply)).collect();
        batch
    }
}

impl PendingGroup {
    /// A group that no caller waits for.
    pub fn without_callers(packed: PackedGroup) -> PendingGroup {
        PendingGroup { packed, replies: Replies::default() }
    }

    /// Whether it is possible and worthwhile to apply the next group before this one is durable. Archived jobs are
    /// looked up in the log, so nothing is applied while the archive changes.
    pub fn may_overlap(&self, pipeline_from: usize) -> bool {
        self.packed.events.len() >= pipeline_from && self.packed.archive.is_none()
    }
}

/// Makes a group durable, or loses it to another node. When it is durable, wakes the loops that have new work, answers the
/// callers, and publishes the events.
pub fn write(shared: &Shared, pending: PendingGroup) -> WriteOutcome {
    let PendingGroup { packed, replies } = pending;
    let PackedGroup { first_chunk, chunks, mut writes, events, head, .. } = packed;
    let PackedGroup { wakes, archive, access, kinds, .. } = packed;
    let Replies { mut claims, answers } = replies;
    let mut lens = Vec::with_capacity(chunks.len());
    for (number, chunk) in (first_chunk..).zip(&chunks) {
        let bytes = chunk.seal();
        lens.push(bytes.len());
        writes.put(chunks::key(number), bytes);
    }
    let empty = writes.is_empty();
    let mut unsynced_claims = 0;
    let applied = if empty { Ok(Applied::Done) } else { shared.log.apply(writes) };
    let mut written = match applied {
        Ok(Applied::Lost(others)) => {
            return Ok(GroupWrite::Lost(Replies { claims, answers }, others));
        }
        Ok(Applied::Done) => Ok(()),
        Err(error) => Err(error),
    };
    if written.is_ok() {
        // The kernel has the claim now, and its job was durable before: the worker may begin.
        for (_, claimed, reply) in claims.drain(..) {
            unsynced_claims += claimed.as_ref().map_or(0, |claimed| claimed.jobs.len());
            // The caller may have stopped waiting: then its lease expires.
            let _gone = reply.send(claimed.map(|claimed| claimed.with_events(&events)));
        }
        if !empty {
            written = shared.log.sync();
        }
    }
    if let Err(error) = written {
        shared.suspend(error.clone()); // before any caller is answered
        Replies { claims, answers }.refuse(&error);
        // Claims come first in a group, so their events do.
        return Err(FailedGroup {
            error,
            unsynced_claims: events.into_iter().take(unsynced_claims).collect(),
        });
    }
    {
        let mut chunk_index = shared.chunk_index.write().unwrap_or_else(PoisonError::into_inner);
        chunks.iter().zip(&lens).for_each(|(chunk, len)| chunk_index.add(chunk.first_seq, *len));
    }
    if let Some(archive) = archive {
        *shared.archive.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }
    if let Some(access) = access {
        shared.access.send_replace(access);
    }
    if let Some(kinds) = kinds {
        shared.kinds.send_replace(kinds);
    }
    shared.head.store(head, Ordering::Release);
    wakes.iter().for_each(|wake| wake.notify_one());
    let followers = shared.followers();
    for answer in answers {
        answer(GroupOutcome::Durable);
    }
    // This comes after the answers, which have already woken the runtime, so it costs little.
    shared.publish(&followers, events);
    Ok(GroupWrite::Stored(StoredChunks { first_chunk, lens }))
}

impl Core {
    /// Writes a group on this thread.
    pub fn write(&mut self, pending: PendingGroup) -> Result<(), StoreError> {
        let outcome = write(&self.shared, pending);
        self.written(outcome)
    }

    /// Notes the outcome of a group.
    pub fn written(&mut self, outcome: WriteOutcome) -> Result<(), StoreError> {
        match outcome {
            Ok(GroupWrite::Stored(StoredChunks { first_chunk, lens })) => {
                self.journal.stored(first_chunk, &lens);
                Ok(())
            }
            Ok(GroupWrite::Lost(replies, _)) => {
                let error = another_writer(&self.shared.log.name());
                self.shared.suspend(error.clone());
                replies.refuse(&error);
                Err(error)
            }
            Err(FailedGroup { error, unsynced_claims }) => {
                self.unsynced_claims = unsynced_claims;
                Err(error)
            }
        }
    }
}

/// The committer's handle of the thread that writes large groups.
pub struct Writer {
    shared: Arc<Shared>,
    send: Option<SyncSender<PendingGroup>>,
    outcomes: Receiver<WriteOutcome>,
    /// Whether a group is being written.
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, which ends when the handle is dropped. It reports failures through `commands`, which wakes
    /// the committer.
    pub fn start(
        shared: Arc<Shared>,
        commands: WeakSender<Command>,
        failures: &PartFailures,
    ) -> std::io::Result<Writer> {
        let (send, groups) = sync_channel::<PendingGroup>(1);
        let (tell, outcomes) = sync_channel(1);
        let its = shared.clone();
        let thread = failures.thread(Part::GroupWriter, move || {
            for pending in groups {
                pass(Part::GroupWriter);
                let outcome = write(&its, pending);
                let failed = outcome.is_err();
                if tell.send(outcome).is_err() {
                    return;
                }
                if failed && let Some(commands) = commands.upgrade() {
                    // If the channel is full, the committer is awake and will ask for the outcome anyway.
                    let _full = commands.try_send(Command::Failed);
                }
            }
        })?;
        Ok(Writer { shared, send: Some(send), outcomes, busy: false, thread: Some(thread) })
    }

    /// Hands a group to the thread, which has finished the previous one. Returns the group when the thread has ended.
    pub fn send(&mut self, pending: PendingGroup) -> Option<PendingGroup> {
        let Some(send) = &self.send else { return Some(pending) };
        match send.send(pending) {
            Ok(()) => {
                self.busy = true;
                None
            }
            Err(SendError(pending)) => Some(pending),
        }
    }

    /// Waits for the group that is being written, if there is one.
    pub fn finish(&mut self) -> Option<WriteOutcome> {
        if !std::mem::take(&mut self.busy) {
            return None;
        }
        Some(self.outcomes.recv().unwrap_or_else(|_| {
            let error = StoreError::Unavailable("the group writer thread has ended".into());
            self.shared.suspend(error.clone());
            Err(FailedGroup { error, unsynced_claims: Vec::new() })
        }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.send = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the group writer thread panicked");
        }
    }
}
