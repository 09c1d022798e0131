//! When the disk refuses: nothing of the group is acknowledged, and what is in memory counts no more.
//! The committer drops it with sled's handle, refuses every command, and reads the directory again until
//! that works. The attempts that run in this process meanwhile keep their leases.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::command::{Batch, Change, Command, Reply};
use super::core::Core;
use super::group::Group;
use super::index::Leases;
use super::recover;
use super::shared::Shared;
use super::writer::Parcel;
use crate::job::{
    Change as Said, Cursor, Event, Fact, Interruption, JobId, ScheduleChange, State, Step,
};
use crate::store::log_store::read::records;
use crate::store::{Control, StoreError};

/// An outage so soon after another goes on with its waits: the directory is only read again and again
/// when that helps.
const SOON: Duration = Duration::from_secs(30);
/// How often waiting commands are refused.
const POLL: Duration = Duration::from_millis(10);
/// The lease of an attempt whose end was in the group that failed, in case nobody extends it.
const UNKNOWN_LEASE: Duration = Duration::from_secs(30);

/// How long to wait, over all outages of a store.
pub struct Patience {
    /// The wait before the first try, and the longest one.
    bounds: (Duration, Duration),
    pause: Duration,
    ended: Option<Instant>,
}

impl Patience {
    pub fn new(bounds: (Duration, Duration)) -> Self {
        Patience { bounds, pause: bounds.0, ended: None }
    }

    fn begin(&mut self) {
        if self.ended.is_none_or(|ended| ended.elapsed() > SOON) {
            self.pause = self.bounds.0;
        }
    }

    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.bounds.1);
        pause
    }
}

/// Waits until the store works again. When it is closed (or dropped) before that, answers with who
/// waits for the close. What is damaged does not mend: then it waits for the close only.
pub fn sit_out(
    core: Core,
    commands: &mut mpsc::Receiver<Command>,
    deferred: Vec<Change>,
    error: StoreError,
    patience: &mut Patience,
) -> Result<Core, Vec<Reply<()>>> {
    let begun = Instant::now();
    let shared = core.shared.clone();
    shared.outages.fetch_add(1, Ordering::AcqRel);
    let before = Before { told: shared.head(), held: core.index.leases, unsure: core.unsure };
    shared.log.shut();
    tracing::error!(%error, "a group was not written: nothing is accepted until the directory is read again");

    let (mut reason, mut refused) = (error, deferred);
    patience.begin();
    let mut next = Instant::now() + patience.next();
    loop {
        let changes = std::mem::take(&mut refused);
        refuse(commands, changes, &reason)?;
        if is_permanent(&reason) {
            match commands.blocking_recv() {
                Some(command) => refuse_first(command, &reason)?,
                None => return Err(Vec::new()),
            }
            continue;
        }
        if Instant::now() < next {
            std::thread::sleep(POLL.min(next.saturating_duration_since(Instant::now())));
            continue;
        }
        match come_back(&shared, &before) {
            Ok(core) => {
                patience.ended = Some(Instant::now());
                let duration_ms = begun.elapsed().as_millis() as u64;
                tracing::info!(duration_ms, "the store works again");
                shared.resume();
                return Ok(core);
            }
            Err(error) if is_permanent(&error) => {
                tracing::error!(%error, "the store was damaged and stays closed");
                shared.suspend(error.clone());
                shared.log.shut();
                reason = error;
            }
            Err(error) => {
                let wait = patience.next();
                tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "the store still fails");
                shared.suspend(error.clone());
                reason = error;
                next = Instant::now() + wait;
            }
        }
    }
}

/// Whether waiting does not help.
fn is_permanent(error: &StoreError) -> bool {
    match error {
        StoreError::Corrupt(_) | StoreError::Newer { .. } => true,
        StoreError::Unavailable(_)
        | StoreError::Closed
        | StoreError::Full { .. }
        | StoreError::TooManyQueues { .. } => false,
    }
}

/// Refuses everything that waits.
fn refuse(
    commands: &mut mpsc::Receiver<Command>,
    changes: Vec<Change>,
    reason: &StoreError,
) -> Result<(), Vec<Reply<()>>> {
    let mut batch = Batch::of(changes);
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
    let mut batch = Batch::default();
    batch.add(command);
    let closing = batch.refuse(reason);
    if closing.is_empty() { Ok(()) } else { Err(closing) }
}

/// What was so when the disk refused.
struct Before {
    /// The newest event that anybody was told of.
    told: Cursor,
    held: Leases,
    /// Claims of the group that failed, answered before it did.
    unsure: Vec<Event>,
}

/// One try.
fn come_back(shared: &Arc<Shared>, before: &Before) -> Result<Core, StoreError> {
    shared.log.reopen()?;
    let mut core = recover::again(shared)?;
    let kept = records::all_events(shared, before.told)?; // if they are gone, nobody can ask for them either
    let now = shared.clock.now();
    let mut group = Group::new(&mut core, now);
    if kept.is_empty() {
        claim_again(&mut group, before)?;
    }
    lease_again(&mut group, before)?;
    take_back(&mut group, &kept)?;
    if !kept.is_empty() {
        shared.tell(&shared.followers(), kept);
    }
    let packed = group.pack()?;
    core.write(Parcel::of_nobody(packed))?;
    Ok(core)
}

/// Claims that were answered and did not reach the disk are written again. They were the first events
/// after those that everybody was told of and are so again, so their tokens stay good.
fn claim_again(group: &mut Group<'_>, before: &Before) -> Result<(), StoreError> {
    for event in &before.unsure {
        let Fact::Job { id, change, .. } = &event.fact else { continue };
        let status = group.core.index.entries.get(id).map(|entry| entry.status);
        let Some(Ok(status)) = status.map(|status| status.step(Step::Claim)) else { continue };
        let token = group.change(*id, status, change.clone())?;
        let expires = before.held.get(id).map(|held| held.expires);
        group.core.index.lease(*id, token, expires.unwrap_or(group.now.after(UNKNOWN_LEASE)));
        if token != event.seq {
            group.rescue(*id, Interruption::LeaseExpired)?;
        }
    }
    Ok(())
}

/// Every job that runs was claimed by this process, for leases of processes before were given back at
/// its start: they go on with the token that their `started` event has. A claim that reached the disk
/// but was refused is nobody's: it is taken back.
fn lease_again(group: &mut Group<'_>, before: &Before) -> Result<(), StoreError> {
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
        let answered = before.unsure.iter().any(|event| event.seq == token);
        if token > before.told.seq && !answered {
            group.unclaim(id)?;
            continue;
        }
        let known =
            before.held.get(&id).filter(|held| held.token == token).map(|held| held.expires);
        let expires = known.unwrap_or_else(|| group.now.after(UNKNOWN_LEASE));
        group.core.index.lease(id, token, expires);
        group.core.expect(expires);
    }
    Ok(())
}

/// Jobs whose submission was refused although it reached the disk are removed.
fn take_back(group: &mut Group<'_>, kept: &[Event]) -> Result<(), StoreError> {
    let enqueued = kept.iter().filter_map(|event| match &event.fact {
        Fact::Job { id, change: Said::Enqueued { .. }, .. } => Some(*id),
        Fact::Job { .. } | Fact::Queue { .. } | Fact::Schedule { .. } => None,
    });
    // Of its own jobs a schedule knows that they are there; nobody would make them again.
    let of_schedules = kept.iter().filter_map(|event| match &event.fact {
        Fact::Schedule { change: ScheduleChange::Fired { job, .. }, .. } => Some(*job),
        Fact::Job { .. } | Fact::Queue { .. } | Fact::Schedule { .. } => None,
    });
    let fired: BTreeSet<JobId> = of_schedules.collect();
    let refused: Vec<JobId> = enqueued.filter(|id| !fired.contains(id)).collect();
    if !refused.is_empty() {
        tracing::warn!(
            jobs = refused.len(),
            "refused submissions that reached the disk are removed"
        );
        group.control(Control::Delete(refused))?;
    }
    Ok(())
}
