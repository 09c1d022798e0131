//! A group's way to the disk and to those who wait for it. A large group goes it on a thread of its own,
//! while the committer applies the next one; groups are written one after the other all the same.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc::WeakSender;

use super::command::{ClaimReply, Command};
use super::core::Core;
use super::group::Packed;
use super::shared::Shared;
use super::verbs::Claimed;
use crate::job::Event;
use crate::store::StoreError;
use crate::store::log_store::journal::chunks;
use crate::supervise::{Failures, Part, pass};

/// An answer to give when the group is durable, or has failed.
pub type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Who waits for a group.
#[derive(Default)]
pub struct Waiting {
    pub claims: Vec<(Result<Vec<Claimed>, StoreError>, ClaimReply)>,
    pub answers: Vec<Answer>,
}

/// A group and who waits for it.
pub struct Parcel {
    pub packed: Packed,
    pub waiting: Waiting,
}

/// Where a group's chunks are: the number of the first, the stored length of each.
pub struct Stored {
    first_chunk: u64,
    lens: Vec<usize>,
}

/// A group that is not durable.
pub struct Failed {
    error: StoreError,
    /// `Started` events of the claims that were answered before it failed.
    unsure: Vec<Event>,
}

pub type Outcome = Result<Stored, Failed>;

impl Waiting {
    /// Tells everybody that nothing was done.
    pub fn refuse(self, error: &StoreError) {
        for answer in self.answers {
            answer(Err(error.clone()));
        }
        for (_, reply) in self.claims {
            // Whoever asked may have given up.
            let _gone = reply.send(Err(error.clone()));
        }
    }
}

impl Parcel {
    /// A group that nobody waits for.
    pub fn of_nobody(packed: Packed) -> Parcel {
        Parcel { packed, waiting: Waiting::default() }
    }

    /// Whether the next group can be applied before this one is durable, and that pays. What is in the
    /// archive is looked up on the disk, so nothing is applied while it changes.
    pub fn may_overlap(&self, pipeline_from: usize) -> bool {
        self.packed.events.len() >= pipeline_from && self.packed.archive.is_none()
    }
}

/// Makes a group durable, wakes whom it gives work, answers, and tells those who follow.
fn write(shared: &Shared, parcel: Parcel) -> Outcome {
    let Parcel { packed, waiting } = parcel;
    let Packed { first_chunk, chunks, mut writes, events, head, wakes, archive } = packed;
    let Waiting { mut claims, answers } = waiting;
    let mut lens = Vec::with_capacity(chunks.len());
    for (number, chunk) in (first_chunk..).zip(&chunks) {
        let bytes = chunk.seal();
        lens.push(bytes.len());
        writes.put(chunks::key(number), bytes);
    }
    let empty = writes.is_empty();
    let mut unsure = 0;
    let mut written = if empty { Ok(()) } else { shared.log.apply(writes) };
    if written.is_ok() {
        // A claim is in the kernel's hands now and its job was durable before: the worker may begin.
        for (claimed, reply) in claims.drain(..) {
            unsure += claimed.as_ref().map_or(0, Vec::len);
            let with_event = |one: Claimed| {
                let started = events[one.started].clone();
                (one, started)
            };
            // A worker that no longer waits loses its lease when it runs out.
            let _gone = reply.send(claimed.map(|all| all.into_iter().map(with_event).collect()));
        }
        if !empty {
            written = shared.log.sync();
        }
    }
    if let Err(error) = written {
        shared.suspend(error.clone()); // before anybody is told
        Waiting { claims, answers }.refuse(&error);
        // Claims come first in a group, so their events do.
        return Err(Failed { error, unsure: events.into_iter().take(unsure).collect() });
    }
    {
        let mut directory = shared.directory.write().unwrap_or_else(PoisonError::into_inner);
        chunks.iter().zip(&lens).for_each(|(chunk, len)| directory.add(chunk.first_seq, *len));
    }
    if let Some(archive) = archive {
        *shared.archive.write().unwrap_or_else(PoisonError::into_inner) = archive;
    }
    shared.head.store(head, Ordering::Release);
    wakes.iter().for_each(|wake| wake.notify_one());
    let followers = shared.followers();
    for answer in answers {
        answer(Ok(()));
    }
    // After the answers: they have woken the runtime already, so this costs hardly anything.
    shared.tell(&followers, events);
    Ok(Stored { first_chunk, lens })
}

impl Core {
    /// Writes a group here and now.
    pub fn write(&mut self, parcel: Parcel) -> Result<(), StoreError> {
        let outcome = write(&self.shared, parcel);
        self.written(outcome)
    }

    /// Takes note of what became of a group.
    pub fn written(&mut self, outcome: Outcome) -> Result<(), StoreError> {
        match outcome {
            Ok(Stored { first_chunk, lens }) => {
                self.journal.stored(first_chunk, &lens);
                Ok(())
            }
            Err(Failed { error, unsure }) => {
                self.unsure = unsure;
                Err(error)
            }
        }
    }
}

/// The committer's end of the thread that writes beside it.
pub struct Writer {
    shared: Arc<Shared>,
    give: Option<SyncSender<Parcel>>,
    outcomes: Receiver<Outcome>,
    /// A group is on its way.
    busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread; it ends when this is dropped. `commands` wakes the committer for a failure.
    pub fn start(
        shared: Arc<Shared>,
        commands: WeakSender<Command>,
        failures: &Failures,
    ) -> std::io::Result<Writer> {
        let (give, parcels) = sync_channel::<Parcel>(1);
        let (tell, outcomes) = sync_channel(1);
        let its = shared.clone();
        let thread = failures.thread(Part::GroupWriter, move || {
            for parcel in parcels {
                pass(Part::GroupWriter);
                let outcome = write(&its, parcel);
                let failed = outcome.is_err();
                if tell.send(outcome).is_err() {
                    return;
                }
                if failed && let Some(commands) = commands.upgrade() {
                    // Full: then the committer does not sleep and comes to ask by itself.
                    let _full = commands.try_send(Command::Failed);
                }
            }
        })?;
        Ok(Writer { shared, give: Some(give), outcomes, busy: false, thread: Some(thread) })
    }

    /// Sends a group on its way; the one before has been waited for. Gives it back when the thread has
    /// ended.
    pub fn give(&mut self, parcel: Parcel) -> Option<Parcel> {
        let Some(give) = &self.give else { return Some(parcel) };
        match give.send(parcel) {
            Ok(()) => {
                self.busy = true;
                None
            }
            Err(SendError(parcel)) => Some(parcel),
        }
    }

    /// Waits for the group that is on its way, if one is.
    pub fn rest(&mut self) -> Option<Outcome> {
        if !std::mem::take(&mut self.busy) {
            return None;
        }
        Some(self.outcomes.recv().unwrap_or_else(|_| {
            let error = StoreError::Unavailable("the thread that writes has ended".into());
            self.shared.suspend(error.clone());
            Err(Failed { error, unsure: Vec::new() })
        }))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.give = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes panicked");
        }
    }
}
