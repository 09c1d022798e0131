//! One group on a log that several nodes share. It is applied to what this node has read, and appended only if that is
//! still the end of the log. Otherwise it is taken back, the node reads on, and the group is applied again.

use std::time::Duration;

use super::apply::apply;
use super::command::{CommandBatch, Mutation};
use super::core::Core;
use super::group::PackedGroup;
use super::writer::{self, FailedGroup, GroupWrite, PendingGroup, Replies};
use crate::job::JobId;
use crate::store::StoreError;

/// The wait after the first lost race is up to this long, and up to twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_micros(200);
/// The longest wait after a lost race.
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

/// Applies the commands of a batch and writes their group. Returns the mutations that must wait for the archiver.
///
/// # Errors
/// When the log cannot be read or written. Then every caller was refused, and nothing has changed in memory.
pub fn run(core: &mut Core, mut batch: CommandBatch) -> Result<Vec<Mutation>, StoreError> {
    // What another node has answered before these requests began has to be visible to them. A tick corrects times in
    // memory after the clock was set, so it has to know all jobs.
    let shows = batch.follows || !batch.inspections.is_empty();
    let reads_on = shows || batch.failed || batch.changes_tables();
    if batch.failed
        && let Err(error) = core.shared.log.check_identity()
    {
        core.shared.suspend(error.clone()); // before any caller is answered
        batch.refuse(&error);
        return Err(error);
    }
    if reads_on {
        batch = catch_up(core, batch)?;
    }
    batch.inspections.drain(..).for_each(|inspect| inspect(core));
    if let Some(heartbeats) = batch.nodes.take() {
        let gone = core.gone_nodes(&heartbeats);
        if !gone.is_empty() {
            batch.mutations.push(Mutation::GiveBack(gone));
        }
    }
    let mut pause = FIRST_PAUSE;
    loop {
        if batch.claims.is_empty() && batch.mutations.is_empty() {
            return Ok(Vec::new());
        }
        batch = match attempt(core, batch)? {
            AppendAttempt::Done(later) => {
                core.refused.clear();
                return Ok(later);
            }
            AppendAttempt::Lost(again) => again,
        };
        // Without this the node that is slowest to decide would lose every time.
        std::thread::sleep(pause.mul_f64(fastrand::f64()));
        pause = (pause * 2).min(LONGEST_PAUSE);
        batch = catch_up(core, batch)?;
    }
}

/// Reads the log to its end, and adds to the batch what takes back a group of this node that is in the log after all,
/// although its callers were refused. When the log cannot be read, every caller of the batch is refused.
fn catch_up(core: &mut Core, mut batch: CommandBatch) -> Result<CommandBatch, StoreError> {
    match core.catch_up() {
        Ok(()) => {
            if !core.refused.is_empty() {
                batch.mutations.push(Mutation::TakeBack(core.refused.clone()));
            }
            Ok(batch)
        }
        Err(error) => {
            core.shared.suspend(error.clone()); // before any caller is answered
            batch.refuse(&error);
            Err(error)
        }
    }
}

/// What became of one attempt to append a group.
enum AppendAttempt {
    /// It is durable. These mutations must wait for the archiver.
    Done(Vec<Mutation>),
    /// Another node was first. These commands have to be applied again.
    Lost(CommandBatch),
}

fn attempt(core: &mut Core, batch: CommandBatch) -> Result<AppendAttempt, StoreError> {
    let has_archived = batch.mutations.iter().any(Mutation::archives);
    let taken: Vec<JobId> = batch.mutations.iter().flat_map(Mutation::taken).collect();
    let undo = core.begin_undo(batch.changes_tables());
    let (packed, replies, later) = apply(core, batch);
    let outcome = match packed {
        Ok(packed) => append(core, packed, replies),
        Err(error) => Err(refuse(core, replies, error)),
    };
    let outcome = match outcome {
        Ok(GroupWrite::Stored(stored)) => {
            core.end_undo();
            // Their rows are gone, so no earlier try to enqueue them can be written later.
            taken.iter().for_each(|id| _ = core.from_inbox.remove(id));
            core.written(Ok(GroupWrite::Stored(stored)))?;
            return Ok(AppendAttempt::Done(later.stored()));
        }
        Ok(GroupWrite::Lost(replies)) => Ok(replies),
        Err(FailedGroup { error, .. }) => Err(error),
    };
    core.roll_back(undo);
    if has_archived {
        core.abandon_run(); // the group has used up the run that was built
    }
    match outcome {
        Ok(replies) => {
            let mut again = replies.into_commands();
            again.mutations.extend(later.lost());
            Ok(AppendAttempt::Lost(again))
        }
        Err(error) => {
            CommandBatch::of(later.lost()).refuse(&error);
            Err(error)
        }
    }
}

/// Appends a group. One that writes nothing only checks that this node has read the log to its end, because its answers
/// say how things are.
fn append(core: &Core, packed: PackedGroup, replies: Replies) -> writer::WriteOutcome {
    if packed.chunks.is_empty() {
        match core.shared.log.wait_for_chunk(packed.first_chunk, Duration::ZERO) {
            Ok(false) => {}
            Ok(true) => return Ok(GroupWrite::Lost(replies)),
            Err(error) => return Err(refuse(core, replies, error)),
        }
    }
    writer::write(&core.shared, PendingGroup { packed, replies })
}

/// Refuses the callers of a group that was not written.
fn refuse(core: &Core, replies: Replies, error: StoreError) -> FailedGroup {
    core.shared.suspend(error.clone()); // before any caller is answered
    replies.refuse(&error);
    FailedGroup { error, unsynced_claims: Vec::new() }
}
