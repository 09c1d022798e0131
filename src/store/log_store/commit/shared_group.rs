//! One group on a log that several nodes share. It is applied to what this node has read, and appended only if that is
//! still the end of the log. Otherwise it is taken back, the node reads on, and the group is applied again.

use std::time::{Duration, Instant};

use super::apply::apply;
use super::command::{CommandBatch, Mutation};
use super::core::Core;
use super::group::PackedGroup;
use super::writer::{self, FailedGroup, GroupWrite, PendingGroup, Replies};
use crate::job::JobId;
use crate::store::StoreError;
use crate::store::log::{AnnouncedChunk, NodeHeartbeat, Row, TurnRequest};
use crate::store::log_store::journal::nodes::NodeId;

/// How many jobs the claims of a group may take while nodes compete. The longer a group takes to decide, the more often another
/// node is first, and the longer the others wait for their turns.
pub const MAX_CONTENDED_CLAIMS: usize = 512;

/// How often that is halved while appends are lost.
const MAX_CLAIM_HALVINGS: u32 = 5;

/// Lets the nodes go first whose turn it is to append. What they append is only heard of meanwhile: all nodes that wait
/// would read it, at the cost of the one whose turn is next.
pub fn wait_for_turn(core: &mut Core, own: NodeId) {
    for request in core.shared.log.turn_requests() {
        // Whoever may connect to a database can send notifications, so others than nodes must not make them wait.
        if core.nodes_at_work.contains(&NodeId(request.node)) {
            core.turns.asked(request, Instant::now());
        }
    }
    loop {
        let wait = core.turns.wait(own, Instant::now());
        if wait.is_zero() {
            return;
        }
        let unknown = core.turns.next_unknown(core.journal.next_chunk());
        // If the log cannot be reached, the append fails as well.
        match core.shared.log.wait_for_announcement(unknown, wait) {
            Ok(Some(AnnouncedChunk { number, writer: Some(writer) })) => {
                core.turns.appended(number, NodeId(writer), own, Instant::now());
            }
            Ok(Some(AnnouncedChunk { writer: None, .. })) if core.catch_up().is_ok() => {}
            Ok(None) => core.turns.passed(own),
            Ok(Some(_)) | Err(_) => return,
        }
    }
}

/// Applies the commands of a batch and writes their group. `is_followed` says that more commands are waiting. Returns the
/// mutations that must wait for the archiver.
///
/// # Errors
/// When the log cannot be read or written. Then every caller was refused, and nothing has changed in memory.
pub fn run(
    core: &mut Core,
    own: NodeId,
    mut batch: CommandBatch,
    is_followed: bool,
) -> Result<Vec<Mutation>, StoreError> {
    // What another node has answered before these requests began has to be visible to them. A tick corrects times in
    // memory after the clock was set, so it has to know all jobs.
    let mut reads_on = batch.failed || !batch.inspections.is_empty() || batch.changes_tables();
    if !reads_on {
        let outcome = core.read_announced();
        batch = unless_failed(core, batch, outcome)?;
        reads_on = batch.follows.is_some_and(|number| number >= core.journal.next_chunk());
    }
    if !reads_on && batch.may_append() {
        // What another node is known to have appended would only make the append fail.
        let next = core.journal.next_chunk();
        reads_on = core.shared.log.wait_for_chunk(next, Duration::ZERO).unwrap_or(true);
    }
    if batch.failed
        && let Err(error) = core.shared.log.check_identity()
    {
        core.shared.suspend(error.clone()); // before any caller is answered
        batch.refuse(&error);
        return Err(error);
    }
    if reads_on {
        let outcome = core.catch_up();
        batch = unless_failed(core, batch, outcome)?;
    }
    batch.inspections.drain(..).for_each(|inspect| inspect(core));
    if let Some(heartbeats) = batch.nodes.take() {
        let silence = core.shared.tuning.node_silence;
        let at_work = |node: &&NodeHeartbeat| node.node != own.0 && node.silent_for < silence;
        core.nodes_at_work =
            heartbeats.iter().filter(at_work).map(|node| NodeId(node.node)).collect();
        let gone = core.gone_nodes(&heartbeats);
        if !gone.is_empty() {
            batch.mutations.push(Mutation::GiveBack(gone));
        }
    }
    let is_followed = is_followed && !core.turns.are_taken(Instant::now());
    let mut losses = 0;
    loop {
        batch = with_refused(core, batch);
        if !batch.may_append() {
            return Ok(Vec::new());
        }
        let begun = Instant::now();
        batch = match attempt(core, batch, is_followed, losses)? {
            AppendAttempt::Done(later) => {
                core.turns.took(begun.elapsed());
                let newest = core.journal.next_chunk().saturating_sub(1);
                core.turns.appended(newest, own, own, Instant::now());
                core.refused.clear();
                return Ok(later);
            }
            AppendAttempt::Lost(again, others) => {
                losses = losses.saturating_add(1);
                let needs = begun.elapsed() * 2;
                core.shared.log.ask_for_turn(TurnRequest { node: own.0, needs });
                let outcome =
                    if others.is_empty() { core.catch_up() } else { core.read_found(others) };
                unless_failed(core, again, outcome)?
            }
        };
        wait_for_turn(core, own);
    }
}

/// The batch if the log could be read. Otherwise its callers are refused.
fn unless_failed(
    core: &Core,
    batch: CommandBatch,
    outcome: Result<(), StoreError>,
) -> Result<CommandBatch, StoreError> {
    if let Err(error) = outcome {
        core.shared.suspend(error.clone()); // before any caller is answered
        batch.refuse(&error);
        return Err(error);
    }
    Ok(batch)
}

/// Adds to the batch what takes back a group of this node that is in the log after all, although its callers were refused.
fn with_refused(core: &Core, mut batch: CommandBatch) -> CommandBatch {
    batch.mutations.retain(|mutation| !matches!(mutation, Mutation::TakeBack(_)));
    if !core.refused.is_empty() {
        batch.mutations.push(Mutation::TakeBack(core.refused.clone()));
    }
    batch
}

/// What became of one attempt to append a group.
enum AppendAttempt {
    /// It is durable. These mutations must wait for the archiver.
    Done(Vec<Mutation>),
    /// Another node was first, with these chunks. The commands have to be applied again.
    Lost(CommandBatch, Vec<Row>),
}

fn attempt(
    core: &mut Core,
    mut batch: CommandBatch,
    is_followed: bool,
    losses: u32,
) -> Result<AppendAttempt, StoreError> {
    // Where requests for turns are not heard, as behind some poolers, only a short group has a chance against shorter ones.
    let room = MAX_CONTENDED_CLAIMS >> losses.min(MAX_CLAIM_HALVINGS);
    batch.claim_room = core.turns.are_taken(Instant::now()).then_some(room);
    let has_archived = batch.mutations.iter().any(Mutation::archives);
    let taken: Vec<JobId> = batch.mutations.iter().flat_map(Mutation::taken).collect();
    let undo = core.begin_undo(batch.changes_tables());
    let (packed, replies, later) = apply(core, batch);
    let outcome = match packed {
        Ok(packed) => append(core, packed, replies, is_followed),
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
        Ok(GroupWrite::Lost(replies, others)) => Ok((replies, others)),
        Err(FailedGroup { error, .. }) => Err(error),
    };
    core.roll_back(undo);
    if has_archived {
        core.abandon_run(); // the group has used up the run that was built
    }
    match outcome {
        Ok((replies, others)) => {
            let mut again = replies.into_commands();
            again.mutations.extend(later.lost());
            Ok(AppendAttempt::Lost(again, others))
        }
        Err(error) => {
            CommandBatch::of(later.lost()).refuse(&error);
            Err(error)
        }
    }
}

/// Appends a group. One that writes nothing only checks that this node has read the log to its end, because its answers
/// say how things are.
fn append(
    core: &Core,
    mut packed: PackedGroup,
    replies: Replies,
    is_followed: bool,
) -> writer::WriteOutcome {
    packed.writes.is_followed = is_followed;
    packed.writes.writer = core.shared.node.map(|node| node.0);
    if packed.chunks.is_empty() {
        match core.shared.log.has_chunk(packed.first_chunk) {
            Ok(false) => {}
            Ok(true) => return Ok(GroupWrite::Lost(replies, Vec::new())),
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
