//! What happens when a group cannot be written: none of its changes is acknowledged, and the state in memory is no
//! longer valid. The committer drops it, refuses every command, and tries to open and read the log again until that
//! succeeds. Attempts that are running in this process keep their leases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::command::{Command, CommandBatch, Mutation, Reply};
use super::core::Core;
use super::entry::{HeldLease, LeasesByJob};
use super::group::CommitGroup;
use super::recover;
use super::shared::Shared;
use super::shared_group;
use super::writer::PendingGroup;
use crate::job::{
    Change as JobChange, Cursor, Event, Fact, Interruption, JobId, ScheduleChange, State, Step,
};
use crate::store::StoreError;
use crate::store::log_store::read::records;

/// An outage that begins within this time after the previous one continues its backoff, so that a log which fails
/// again at once is not read over and over.
const BACKOFF_RESET: Duration = Duration::from_secs(30);
/// How often the commands that have arrived are refused.
const REFUSAL_INTERVAL: Duration = Duration::from_millis(10);

/// The waits between two tries, over all outages of a store.
pub struct ReopenDelays {
    /// The first wait, and the longest one.
    bounds: (Duration, Duration),
    pause: Duration,
    ended: Option<Instant>,
}

impl ReopenDelays {
    pub fn new(bounds: (Duration, Duration)) -> Self {
        ReopenDelays { bounds, pause: bounds.0, ended: None }
    }

    fn begin(&mut self) {
        if self.ended.is_none_or(|ended| ended.elapsed() > BACKOFF_RESET) {
            self.pause = self.bounds.0;
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.bounds.1);
        pause
    }
}

/// Refuses commands until the store has been opened again, and returns its new state. When it is closed or dropped
/// before that, returns the callers that wait for the close. A damaged store is not opened again: it only waits for
/// the close.
pub fn wait_for_recovery(
    core: Core,
    commands: &mut mpsc::Receiver<Command>,
    deferred: Vec<Mutation>,
    error: StoreError,
    backoff: &mut ReopenDelays,
) -> Result<Core, Vec<Reply<()>>> {
    let begun = Instant::now();
    let shared = core.shared.clone();
    shared.outages.fetch_add(1, Ordering::AcqRel);
    let mut recovery = Recovery::of(core);
    shared.log.shut();
    tracing::error!(%error, "store write failed; refusing commands until the store has been reopened");

    let (mut reason, mut refused) = (error, deferred);
    backoff.begin();
    let mut next = Instant::now() + backoff.next();
    loop {
        let mutations = std::mem::take(&mut refused);
        refuse(commands, mutations, &reason)?;
        if is_permanent(&reason) {
            match commands.blocking_recv() {
                Some(command) => refuse_first(command, &reason)?,
                None => return Err(Vec::new()),
            }
            continue;
        }
        if Instant::now() < next {
            std::thread::sleep(
                REFUSAL_INTERVAL.min(next.saturating_duration_since(Instant::now())),
            );
            continue;
        }
        match recovery.attempt(&shared) {
            Ok(core) => {
                backoff.ended = Some(Instant::now());
                let duration_ms = begun.elapsed().as_millis() as u64;
                tracing::info!(duration_ms, "store reopened, accepting commands again");
                shared.resume();
                return Ok(core);
            }
            Err((unchanged, error)) if is_permanent(&error) => {
                tracing::error!(%error, "the store stays closed");
                shared.suspend(error.clone());
                shared.log.shut();
                (recovery, reason) = (unchanged, error);
            }
            Err((unchanged, error)) => {
                recovery = unchanged;
                let wait = backoff.next();
                tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "the store still fails, retrying");
                shared.suspend(error.clone());
                reason = error;
                next = Instant::now() + wait;
            }
        }
    }
}

/// Whether trying again cannot help.
fn is_permanent(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) | StoreError::Newer { .. } | StoreError::Replaced(_) => true,
        StoreError::Unavailable(_) | StoreError::Closed => false,
    }
}

/// Refuses the commands that have arrived, and these mutations.
fn refuse(
    commands: &mut mpsc::Receiver<Command>,
    mutations: Vec<Mutation>,
    reason: &StoreError,
) -> Result<(), Vec<Reply<()>>> {
    let mut batch = CommandBatch::of(mutations);
    let over = loop {
        match commands.try_recv() {
            Ok(command) => batch.add(command),
            Err(TryRecvError::Empty) => break false,
            Err(TryRecvError::Disconnected) => break true,
        }
    };
    let closing = batch.refuse(reason);
    if over || !closing.is_empty() { Err(closing) } else { Ok(()) }
}

fn refuse_first(command: Command, reason: &StoreError) -> Result<(), Vec<Reply<()>>> {
    let mut batch = CommandBatch::default();
    batch.add(command);
    let closing = batch.refuse(reason);
    if closing.is_empty() { Ok(()) } else { Err(closing) }
}

/// How the state in memory becomes valid again.
enum Recovery {
    /// The log is read from its beginning, because the failed group has changed the state.
    Rebuild(BeforeOutage),
    /// The failed group was taken back, so the node only reads on.
    ReadOn(Box<Core>),
}

impl Recovery {
    fn of(core: Core) -> Recovery {
        match core.shared.node {
            Some(_) => Recovery::ReadOn(Box::new(core)),
            None => Recovery::Rebuild(BeforeOutage {
                head: core.shared.head(),
                leases: core.index.leases,
                unsynced_claims: core.unsynced_claims,
            }),
        }
    }

    /// Tries once. Returns the valid state, or what the next attempt needs.
    fn attempt(self, shared: &Arc<Shared>) -> Result<Core, (Recovery, StoreError)> {
        match self {
            Recovery::Rebuild(before) => match try_reopen(shared, &before) {
                Ok(core) => Ok(core),
                Err(error) => Err((Recovery::Rebuild(before), error)),
            },
            Recovery::ReadOn(mut core) => match try_read_on(&mut core) {
                Ok(()) => Ok(*core),
                Err(error) => Err((Recovery::ReadOn(core), error)),
            },
        }
    }
}

/// Tries once to reach a shared log again. A group whose answer was lost may be in it although its callers were refused.
fn try_read_on(core: &mut Core) -> Result<(), StoreError> {
    core.shared.log.reopen()?;
    core.catch_up()?;
    let Some(own) = core.shared.node else { return Ok(()) };
    shared_group::run(core, own, CommandBatch::default(), false).map(drop)
}

/// What the committer knew when the outage began.
struct BeforeOutage {
    /// The newest event that was published.
    head: Cursor,
    leases: LeasesByJob,
    /// The `Started` events of claims that were answered before their group failed.
    unsynced_claims: Vec<Event>,
}

/// Tries once to open the store again.
fn try_reopen(shared: &Arc<Shared>, before: &BeforeOutage) -> Result<Core, StoreError> {
    shared.log.reopen()?;
    let mut core = recover::rebuild(shared)?;
    // There are none when they were trimmed: then no reader can ask for them either.
    let kept = records::all_events(shared, before.head)?;
    let now = shared.clock.now();
    let mut group = CommitGroup::new(&mut core, now);
    if kept.is_empty() {
        restore_claims(&mut group, before)?;
    }
    restore_leases(&mut group, before)?;
    delete_refused(&mut group, &kept)?;
    if !kept.is_empty() {
        shared.publish(&shared.followers(), kept);
    }
    let packed = group.pack()?;
    core.write(PendingGroup::without_callers(packed))?;
    Ok(core)
}

/// Writes claims again that were answered but are not in the log. They were the first events after the published ones
/// and are so again, so their tokens stay valid.
fn restore_claims(group: &mut CommitGroup<'_>, before: &BeforeOutage) -> Result<(), StoreError> {
    for event in &before.unsynced_claims {
        let Fact::Job { id, change, .. } = &event.fact else { continue };
        let status = group.core.index.entries.get(id).map(|entry| entry.status);
        let Some(Ok(status)) = status.map(|status| status.step(Step::Claim)) else { continue };
        let token = group.change(*id, status, change.clone())?;
        let expires = before.leases.get(id).and_then(HeldLease::expires);
        group.core.index.lease(
            *id,
            token,
            expires.unwrap_or(group.steady.after(recover::UNKNOWN_LEASE)),
        );
        if token != event.seq {
            group.rescue(*id, Interruption::LeaseExpired)?;
        }
    }
    Ok(())
}

/// Restores the leases of running jobs. This process has claimed all of them or has kept their leases at its start, and
/// their tokens are the numbers of their `Started` events. A claim that is in the log
/// although its caller was refused is undone.
fn restore_leases(group: &mut CommitGroup<'_>, before: &BeforeOutage) -> Result<(), StoreError> {
    let (entries, leases) = (&group.core.index.entries, &group.core.index.leases);
    let running: Vec<(JobId, Vec<u64>)> = entries
        .iter()
        .filter(|(id, entry)| entry.status.state == State::Running && !leases.contains_key(id))
        .map(|(id, entry)| (*id, entry.trail.iter().collect()))
        .collect();
    for (id, trail) in running {
        let job = records::fold(&group.core.shared, id, &trail)?;
        let Some(token) = job.as_ref().and_then(records::token) else {
            group.rescue(id, Interruption::LeaseExpired)?;
            continue;
        };
        let answered = before.unsynced_claims.iter().any(|event| event.seq == token);
        if token > before.head.seq && !answered {
            group.unclaim(id)?;
            continue;
        }
        let known = before.leases.get(&id).filter(|held| held.token == token);
        let expires = known.and_then(HeldLease::expires);
        let expires = expires.unwrap_or_else(|| group.steady.after(recover::UNKNOWN_LEASE));
        group.core.index.lease(id, token, expires);
        let ends = group.now.after(expires.since(group.steady));
        group.core.expect_tick(ends);
    }
    Ok(())
}

impl CommitGroup<'_> {
    /// Takes back what a group did whose callers were refused although it is in the log.
    pub fn take_back(&mut self, refused: &[Event]) -> Result<(), StoreError> {
        for event in refused {
            let Fact::Job { id, change: JobChange::Started { .. }, .. } = &event.fact else {
                continue;
            };
            let held = self.core.index.leases.get(id);
            if held.is_some_and(|held| held.token == event.seq) {
                self.unclaim(*id)?;
            }
        }
        let unknown = refused.iter().filter(|event| !self.others_may_rely_on(event));
        let unknown: Vec<Event> = unknown.cloned().collect();
        delete_refused(self, &unknown)
    }

    /// Whether an event is of a job on which others may rely although its submission was refused: another node has answered
    /// a repetition with it, which it finds by its key, or has run it.
    fn others_may_rely_on(&self, event: &Event) -> bool {
        let Fact::Job { id, change: JobChange::Enqueued { spec, .. }, .. } = &event.fact else {
            return false;
        };
        let status = self.core.index.entries.get(id).map(|entry| entry.status);
        let has_run = status.is_none_or(|status| status.attempt > 0);
        spec.idempotency_key.is_some() || has_run
    }
}

/// Deletes jobs that are in the log although their submission was refused.
fn delete_refused(group: &mut CommitGroup<'_>, kept: &[Event]) -> Result<(), StoreError> {
    let enqueued = kept.iter().filter_map(|event| match &event.fact {
        Fact::Job { id, change: JobChange::Enqueued { .. }, .. } => Some(*id),
        Fact::Job { .. }
        | Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => None,
    });
    // Jobs that a schedule has made stay: the schedule counts them as made, and nobody would submit them again.
    let of_schedules = kept.iter().filter_map(|event| match &event.fact {
        Fact::Schedule { change: ScheduleChange::Fired { job, .. }, .. } => Some(*job),
        Fact::Job { .. }
        | Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => None,
    });
    let fired: BTreeSet<JobId> = of_schedules.collect();
    let refused: Vec<JobId> = enqueued.filter(|id| !fired.contains(id)).collect();
    if !refused.is_empty() {
        tracing::warn!(
            jobs = refused.len(),
            "deleting jobs that were stored although their submission was refused"
        );
        group.delete_jobs(&refused)?;
    }
    Ok(())
}
