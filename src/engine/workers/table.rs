//! The table of remote workers: who is connected, which jobs each of them can run and holds, and its command.

mod by_kind;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::announcements::Announcements;
use super::entry::{WorkerEntry, notice};
use super::limits::{ActorCounts, RegistrationRefused, WorkerLimits};
use super::push_queue::{Push, PushQueue};
use super::registration::{WorkerCommand, WorkerRegistration};
use super::remote_leases::{ClockReadings, RemoteLease, RemoteLeases};
use super::waiting_claims::{Interest, Signal};
use crate::job::{Actor, JobId, Kind, Time, WorkerChange, WorkerLeft, WorkerName};
use crate::store::{LeaseRef, WorkerNotice};

/// How long a worker that is silent and holds nothing is still listed.
const LISTED: Duration = Duration::from_secs(600);
/// The most kinds of which the table remembers when their last worker left.
const MAX_KINDS: usize = 10_000;

/// All remote workers.
#[derive(Debug, Default)]
pub struct WorkerTable {
    /// Their entries are boxed, because most nodes of the map are only half full.
    workers: BTreeMap<WorkerName, Box<WorkerEntry>>,
    /// How many of them each token or user has connected.
    counts: ActorCounts,
    pub leases: RemoteLeases,
    /// When the last worker of a kind left.
    last_left: HashMap<Kind, Time>,
    /// Events about workers that were not taken yet.
    pending_events: Vec<WorkerNotice>,
    announcements: Announcements,
}

impl WorkerTable {
    /// Registers a worker, or updates what it says about itself. The worker is connected from then on.
    pub fn register(
        &mut self,
        name: &WorkerName,
        registration: WorkerRegistration,
        limits: WorkerLimits,
        when: ClockReadings,
    ) -> Result<(), RegistrationRefused> {
        if !self.may_use(name, &registration.caller) {
            return Err(RegistrationRefused::OfAnother);
        }
        self.check_limits(name, registration.caller.actor.as_ref(), limits)?;
        if let Some(worker) = self.workers.get_mut(name) {
            let is_new_process = worker.is_new_process(registration.about.as_ref());
            if is_new_process {
                if worker.command.is_some() {
                    // A connection that was told the command learns that it is not in force any more.
                    worker.push(Push::Command(WorkerCommand::Resume));
                }
                (worker.command, worker.is_command_answered) = (None, false);
                (worker.process, worker.own) = (worker.process + 1, 0);
            }
            if let Some(about) = registration.about {
                worker.about = about;
            }
            (worker.interest, worker.lease) = (registration.interest, registration.lease);
            self.counts.remove(worker.by.as_ref());
            (worker.transport, worker.by) = (registration.transport, registration.caller.actor);
            self.counts.add(worker.by.as_ref());
            worker.is_restored = false;
            let was_silent = worker.is_silent;
            worker.see(name, when, &mut self.pending_events);
            // A new WebSocket replaces an open one, which makes an event of its own.
            if is_new_process && !was_silent && worker.session.is_none() {
                worker.connected_at = when.at;
                worker.announce(name, when, &mut self.announcements, &mut self.pending_events);
            }
            return Ok(());
        }
        let held = self.leases.of_worker(name).count();
        let mut worker = WorkerEntry::new(registration, held, when);
        worker.announce(name, when, &mut self.announcements, &mut self.pending_events);
        self.counts.add(worker.by.as_ref());
        self.workers.insert(name.clone(), Box::new(worker));
        Ok(())
    }

    /// Refuses a worker for which there is no room, even after silent ones that hold nothing are forgotten.
    fn check_limits(
        &mut self,
        name: &WorkerName,
        actor: Option<&Actor>,
        limits: WorkerLimits,
    ) -> Result<(), RegistrationRefused> {
        let known = self.workers.get(name);
        let (is_known, is_own) =
            (known.is_some(), known.is_some_and(|one| one.by.as_ref() == actor));
        let is_full = |table: &WorkerTable| !is_known && table.workers.len() >= limits.total;
        let has_enough = |table: &WorkerTable| {
            !is_own && actor.is_some_and(|actor| table.counts.of(actor) >= limits.per_token)
        };
        if is_full(self) || has_enough(self) {
            self.forget_silent(name);
        }
        if has_enough(self) {
            return Err(RegistrationRefused::TooManyOfToken);
        }
        if is_full(self) { Err(RegistrationRefused::TooMany) } else { Ok(()) }
    }

    /// Forgets the workers that are silent and hold nothing, apart from one.
    fn forget_silent(&mut self, except: &WorkerName) {
        self.workers.retain(|name, worker| {
            let is_kept = name == except || !worker.is_silent || worker.held > 0;
            if !is_kept {
                self.counts.remove(worker.by.as_ref());
            }
            is_kept
        });
    }

    /// A worker by its name.
    pub fn get(&self, name: &WorkerName) -> Option<&WorkerEntry> {
        self.workers.get(name).map(Box::as_ref)
    }

    /// The workers whose names come after a name, in the order of their names.
    pub fn after(
        &self,
        name: Option<&WorkerName>,
    ) -> impl Iterator<Item = (&WorkerName, &WorkerEntry)> {
        let from = name.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        self.workers.range::<WorkerName, _>(range).map(|(name, one)| (name, &**one))
    }

    /// Notes that a claim of a worker waits.
    pub fn begin_poll(&mut self, name: &WorkerName, signal: Arc<Signal>) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.polls.push(signal);
        }
    }

    /// Whether a claim is still one of a worker: a worker that was signed off has none.
    pub fn has_poll(&self, name: &WorkerName, signal: &Arc<Signal>) -> bool {
        let worker = self.workers.get(name);
        worker.is_some_and(|worker| worker.polls.iter().any(|poll| Arc::ptr_eq(poll, signal)))
    }

    /// Whether a WebSocket is still the connection of a worker: another one may have replaced it, or the worker was signed off.
    pub fn has_session(&self, name: &WorkerName, session: &Arc<PushQueue>) -> bool {
        let current = self.workers.get(name).and_then(|worker| worker.session.as_ref());
        current.is_some_and(|current| Arc::ptr_eq(current, session))
    }

    /// Whether a worker can be given jobs: it has no command, and is not being signed off.
    pub fn can_claim(&self, name: &WorkerName) -> bool {
        let worker = self.workers.get(name);
        worker.is_some_and(|worker| worker.command.is_none() && !worker.is_signing_off)
    }

    /// Notes that a claim of a worker no longer waits.
    pub fn end_poll(&mut self, name: &WorkerName, signal: &Arc<Signal>, when: ClockReadings) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.polls.retain(|poll| !Arc::ptr_eq(poll, signal));
            worker.blocked.retain(|poll| !Arc::ptr_eq(poll, signal));
            worker.see(name, when, &mut self.pending_events);
        }
    }

    /// Reserves room for a claim of at most `max` jobs: a worker that says how many it runs at once gets no more than that.
    /// Jobs that an earlier process with its name has got do not count. Returns the room; when there is none, the signal is
    /// notified once there may be some.
    pub fn reserve(&mut self, name: &WorkerName, max: usize, signal: &Arc<Signal>) -> usize {
        let Some(worker) = self.workers.get_mut(name) else { return max };
        let most = worker.about.concurrency.map(|most| most as usize);
        let taken = worker.own + worker.reserved;
        let room = most.map_or(max, |most| most.saturating_sub(taken).min(max));
        let room = if worker.is_signing_off { 0 } else { room };
        if room == 0 && !worker.blocked.iter().any(|blocked| Arc::ptr_eq(blocked, signal)) {
            worker.blocked.push(signal.clone());
        }
        worker.reserved += room;
        room
    }

    /// Ends a reservation. Its jobs count among the leases now.
    pub fn release(&mut self, name: &WorkerName, room: usize) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.reserved = worker.reserved.saturating_sub(room);
            worker.has_room();
        }
    }

    /// How many jobs a claim of at most `max` asks for, so that they probably have no more than these bytes.
    pub fn claim_size(&self, name: &WorkerName, max: usize, bytes: usize) -> usize {
        let fit = self.workers.get(name).and_then(|worker| bytes.checked_div(worker.job_bytes));
        fit.map_or(max, |fit| max.min(fit.max(1)))
    }

    /// Notes how many bytes a claim has brought with so many jobs.
    pub fn note_claimed(&mut self, name: &WorkerName, bytes: usize, jobs: usize) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.job_bytes = bytes.checked_div(jobs).unwrap_or(worker.job_bytes);
        }
    }

    /// Makes a WebSocket the connection of a worker, instead of an earlier one.
    pub fn begin_session(
        &mut self,
        name: &WorkerName,
        session: Arc<PushQueue>,
        when: ClockReadings,
    ) {
        let Some(worker) = self.workers.get_mut(name) else { return };
        if let Some(earlier) = worker.session.replace(session) {
            earlier.put(Push::Replaced);
            let change = WorkerChange::Left { why: WorkerLeft::Replaced };
            let left = self.pending_events.len();
            worker.announce(name, when, &mut self.announcements, &mut self.pending_events);
            if !worker.is_announcement_due {
                self.pending_events.insert(left, notice(name, change, worker.by.clone()));
            }
        }
    }

    /// Notes that a WebSocket of a worker has ended.
    pub fn end_session(
        &mut self,
        name: &WorkerName,
        session: &Arc<PushQueue>,
        when: ClockReadings,
    ) {
        if let Some(worker) = self.workers.get_mut(name)
            && worker.session.as_ref().is_some_and(|current| Arc::ptr_eq(current, session))
        {
            worker.session = None;
            worker.see(name, when, &mut self.pending_events);
        }
    }

    /// Whether the worker has a command with which no claim over HTTP has been answered yet.
    pub fn is_command_new(&self, name: &WorkerName) -> bool {
        self.workers
            .get(name)
            .is_some_and(|worker| worker.command.is_some() && !worker.is_command_answered)
    }

    /// The command of a worker, for the answer to a claim over HTTP.
    pub fn answer_command(&mut self, name: &WorkerName) -> Option<WorkerCommand> {
        let worker = self.workers.get_mut(name)?;
        worker.is_command_answered = worker.command.is_some();
        worker.command
    }

    /// Gives a worker a command. Returns whether there is such a worker.
    pub fn tell(&mut self, name: &WorkerName, command: WorkerCommand, by: Option<Actor>) -> bool {
        let Some(worker) = self.workers.get_mut(name) else { return false };
        let kept = match command {
            WorkerCommand::Quiet | WorkerCommand::Stop => Some(command),
            WorkerCommand::Resume => None,
        };
        if worker.command == kept {
            return true;
        }
        (worker.command, worker.is_command_answered) = (kept, false);
        worker.push(Push::Command(command));
        worker.polls.iter().for_each(|poll| poll.notify());
        self.pending_events.push(notice(name, command.into(), by));
        true
    }

    /// Adds a lease to those of its worker, unless it is among them.
    pub fn take(&mut self, mut lease: RemoteLease) {
        if self.leases.get(lease.lease).is_some() {
            return;
        }
        if let Some(worker) = self.workers.get_mut(&lease.worker) {
            (worker.held, worker.own) = (worker.held + 1, worker.own + 1);
            lease.process = worker.process;
        }
        if let Some(older) = self.leases.insert(lease) {
            self.count_end(&older);
            self.push_to(&older.worker, Push::Lost(older.lease));
        }
    }

    /// Adds a lease that was read from the store at the start. Its worker is listed, as silent until it speaks.
    pub fn restore(&mut self, lease: RemoteLease, ttl: Duration, when: ClockReadings) {
        if self.leases.has_ended(lease.lease) || self.leases.of_job(lease.lease.job).is_some() {
            return;
        }
        let restored = || Box::new(WorkerEntry::restored(ttl, when));
        self.workers
            .entry(lease.worker.clone())
            .or_insert_with(restored)
            .add_interest(&lease.labels);
        self.take(lease);
    }

    /// Removes a lease that has ended.
    pub fn end(&mut self, lease: LeaseRef) -> Option<RemoteLease> {
        let ended = self.leases.end(lease)?;
        self.count_end(&ended);
        Some(ended)
    }

    /// Removes a lease that was lost, and tells its worker.
    pub fn lose(&mut self, lease: LeaseRef) {
        if let Some(lost) = self.end(lease) {
            self.push_to(&lost.worker, Push::Lost(lease));
        }
    }

    /// Marks the leases of a worker as being settled, and returns them.
    pub fn begin_settling(&mut self, name: &WorkerName) -> Vec<RemoteLease> {
        let held: Vec<RemoteLease> = self.leases.of_worker(name).cloned().collect();
        for held in &held {
            if let Some(held) = self.leases.get_mut(held.lease) {
                held.is_settling = true;
            }
        }
        held
    }

    /// Puts back a lease whose end could not be stored.
    pub fn put_back(&mut self, held: RemoteLease) {
        if self.end(held.lease).is_some() {
            self.take(RemoteLease { is_settling: false, ..held });
        }
    }

    /// Forgets the leases that expired at `before` or earlier.
    pub fn forget_expired(&mut self, before: Time) {
        for expired in self.leases.forget_expired(before) {
            self.count_end(&expired);
        }
    }

    /// Notes an extension. Returns whether the lease is known.
    pub fn extended(&mut self, lease: LeaseRef, ttl: Duration, when: ClockReadings) -> bool {
        let Some(held) = self.leases.get_mut(lease) else { return false };
        (held.renewed_at, held.until) = (when.at, when.at.after(ttl));
        if let Some(worker) = self.workers.get_mut(&held.worker) {
            worker.lease = ttl;
            worker.see(&held.worker, when, &mut self.pending_events);
        }
        true
    }

    /// Notes that a worker was heard from.
    pub fn see(&mut self, name: &WorkerName, when: ClockReadings) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.see(name, when, &mut self.pending_events);
        }
    }

    /// Tells the worker of a job that the job is to be cancelled.
    pub fn ask_cancel(&mut self, job: JobId) {
        if let Some(held) = self.leases.ask_cancel(job) {
            let (worker, lease) = (held.worker.clone(), held.lease);
            self.push_to(&worker, Push::Cancel(lease));
        }
    }

    /// Notes that a worker is being signed off. Returns whether there is one.
    pub fn begin_sign_off(&mut self, name: &WorkerName) -> bool {
        let Some(worker) = self.workers.get_mut(name) else { return false };
        worker.is_signing_off = true;
        true
    }

    /// Notes that a worker could not be signed off. It gets jobs again.
    pub fn sign_off_failed(&mut self, name: &WorkerName) {
        if let Some(worker) = self.workers.get_mut(name) {
            worker.is_signing_off = false;
            worker.has_room();
            worker.push(Push::NotSignedOff);
        }
    }

    /// Removes a worker that was signed off by somebody, and ends its connection and its claims.
    pub fn sign_off(&mut self, name: &WorkerName, at: Time, by: Option<Actor>) {
        let Some(worker) = self.workers.remove(name) else { return };
        self.counts.remove(worker.by.as_ref());
        worker.push(Push::SignedOff);
        worker.polls.iter().for_each(|poll| poll.notify());
        if !worker.is_silent {
            if worker.is_announced {
                let change = WorkerChange::Left { why: WorkerLeft::SignedOff };
                self.pending_events.push(notice(name, change, by));
            }
            self.note_left(&worker.interest, at);
        }
    }

    /// Marks the workers that have become silent, and forgets those that have been silent for `LISTED`.
    pub fn sweep(&mut self, when: ClockReadings) {
        let mut silent = Vec::new();
        self.workers.retain(|name, worker| {
            let since = when.now.saturating_duration_since(worker.seen);
            if !worker.is_silent && !worker.is_connected() && since > worker.lease {
                worker.is_silent = true;
                if worker.is_announced {
                    let change = WorkerChange::Left { why: WorkerLeft::Silent };
                    self.pending_events.push(notice(name, change, None));
                }
                (worker.is_announced, worker.is_announcement_due) = (false, false);
                silent.push(worker.interest.clone());
            }
            if worker.is_announcement_due {
                worker.announce(name, when, &mut self.announcements, &mut self.pending_events);
            }
            let is_kept = !worker.is_silent || worker.held > 0 || since < LISTED;
            if !is_kept {
                self.counts.remove(worker.by.as_ref());
            }
            is_kept
        });
        self.announcements.forget_old(when.now);
        silent.iter().for_each(|interest| self.note_left(interest, when.at));
    }

    /// Takes the events since the last call.
    pub fn take_events(&mut self) -> Vec<WorkerNotice> {
        std::mem::take(&mut self.pending_events)
    }

    /// When the last worker of a kind left, if none is connected.
    pub fn last_left(&self, kind: &Kind) -> Option<Time> {
        self.last_left.get(kind).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.workers.is_empty() && self.leases.is_empty() && self.announcements.is_empty()
    }

    fn note_left(&mut self, interest: &Interest, at: Time) {
        let kinds: &BTreeSet<Kind> = &interest.kinds;
        for kind in kinds {
            if self.last_left.len() < MAX_KINDS || self.last_left.contains_key(kind) {
                self.last_left.insert(kind.clone(), at);
            }
        }
    }

    fn count_end(&mut self, ended: &RemoteLease) {
        if let Some(worker) = self.workers.get_mut(&ended.worker) {
            worker.held = worker.held.saturating_sub(1);
            if worker.process == ended.process {
                worker.own = worker.own.saturating_sub(1);
            }
            worker.has_room();
        }
    }

    fn push_to(&self, name: &WorkerName, push: Push) {
        if let Some(worker) = self.workers.get(name) {
            worker.push(push);
        }
    }
}

#[cfg(test)]
mod tests;
