//! One remote worker in the table: what it says about itself, how it is connected, and how many jobs it has.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::announcements::Announcements;
use super::push_queue::{Push, PushQueue};
use super::registration::{
    WorkerAbout, WorkerCaller, WorkerCommand, WorkerRegistration, WorkerTransport,
};
use super::remote_leases::ClockReadings;
use super::waiting_claims::{Interest, Signal};
use crate::job::{Actor, Labels, Time, WorkerChange, WorkerName};
use crate::store::WorkerNotice;

/// The state of a remote worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    /// It is connected and gets jobs.
    Active,
    /// It was told to claim no more jobs.
    Quiet,
    /// It was told to exit.
    Stopping,
    /// It was not heard from for as long as its leases last.
    Silent,
}

impl WorkerState {
    /// All states.
    pub const ALL: [WorkerState; 4] =
        [WorkerState::Active, WorkerState::Quiet, WorkerState::Stopping, WorkerState::Silent];

    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerState::Active => "active",
            WorkerState::Quiet => "quiet",
            WorkerState::Stopping => "stopping",
            WorkerState::Silent => "silent",
        }
    }

    /// The state with this public name.
    pub fn from_name(name: &str) -> Option<WorkerState> {
        WorkerState::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// A worker that is connected, or was not long ago.
#[derive(Debug)]
pub struct WorkerEntry {
    pub about: WorkerAbout,
    pub interest: Arc<Interest>,
    pub lease: Duration,
    pub transport: WorkerTransport,
    pub by: Option<Actor>,
    pub connected_at: Time,
    pub seen_at: Time,
    pub seen: Instant,
    /// The signals of its claims that wait over HTTP.
    pub polls: Vec<Arc<Signal>>,
    /// What waits to be sent on its WebSocket, if it has one.
    pub session: Option<Arc<PushQueue>>,
    /// The command that is in force: `quiet`, `stop`, or none.
    pub command: Option<WorkerCommand>,
    /// Whether a claim over HTTP has been answered with the command.
    pub is_command_answered: bool,
    /// Whether it is being signed off. It gets no jobs meanwhile.
    pub is_signing_off: bool,
    /// Whether it was not heard from for as long as its leases last.
    pub is_silent: bool,
    /// Whether it has not spoken since the start of this process, which knows only its leases.
    pub is_restored: bool,
    /// Whether the last event tells that it has connected, and whether such an event is still to be made.
    pub is_announced: bool,
    pub is_announcement_due: bool,
    /// The number of leases that it holds.
    pub held: usize,
    /// The number of this process among those with its name, and how many of the leases it has got itself.
    pub process: u32,
    pub own: usize,
    /// How many jobs its claims under way may bring.
    pub reserved: usize,
    /// The mean length of the jobs that its last claim brought, in bytes.
    pub job_bytes: usize,
    /// The signals of its claims that wait for room.
    pub blocked: Vec<Arc<Signal>>,
}

impl WorkerEntry {
    /// A worker that has just connected, and holds this many leases already.
    pub fn new(registration: WorkerRegistration, held: usize, when: ClockReadings) -> WorkerEntry {
        WorkerEntry {
            about: registration.about.unwrap_or_default(),
            interest: registration.interest,
            lease: registration.lease,
            transport: registration.transport,
            by: registration.caller.actor,
            connected_at: when.at,
            seen_at: when.at,
            seen: when.now,
            polls: Vec::new(),
            session: None,
            command: None,
            is_command_answered: false,
            is_signing_off: false,
            is_silent: false,
            is_restored: false,
            is_announced: false,
            is_announcement_due: false,
            held,
            process: 0,
            own: held,
            reserved: 0,
            job_bytes: 0,
            blocked: Vec::new(),
        }
    }

    /// A worker of which nothing but its leases is known, because the server was restarted.
    pub fn restored(lease: Duration, when: ClockReadings) -> WorkerEntry {
        let registration = WorkerRegistration {
            interest: Arc::new(Interest { queues: BTreeSet::new(), kinds: Arc::default() }),
            lease,
            about: None,
            transport: WorkerTransport::Http,
            caller: WorkerCaller::default(),
        };
        WorkerEntry {
            is_restored: true,
            is_silent: true,
            ..WorkerEntry::new(registration, 0, when)
        }
    }

    /// Notes that a worker of which only its leases are known runs jobs of this queue and kind.
    pub fn add_interest(&mut self, labels: &Labels) {
        if self.is_restored {
            let interest = Arc::make_mut(&mut self.interest);
            interest.queues.insert(labels.queue.clone());
            Arc::make_mut(&mut interest.kinds).insert(labels.kind.clone());
        }
    }

    /// Its state. Lists, counts and reasons to wait all follow it.
    pub fn state(&self) -> WorkerState {
        match self.command {
            _ if self.is_silent => WorkerState::Silent,
            Some(WorkerCommand::Quiet) => WorkerState::Quiet,
            Some(WorkerCommand::Stop) => WorkerState::Stopping,
            Some(WorkerCommand::Resume) | None => WorkerState::Active,
        }
    }

    /// Whether it holds a connection now.
    pub fn is_connected(&self) -> bool {
        self.session.is_some() || !self.polls.is_empty()
    }

    /// Whether somebody who comes with the name of this worker is another process, which nobody has told anything. One that
    /// says its instance is the same process for as long as it says the same; otherwise, a worker that was silent for as long
    /// as its leases last counts as gone.
    pub fn is_new_process(&self, about: Option<&WorkerAbout>) -> bool {
        match about {
            _ if self.is_restored => false, // nothing tells that it is another one
            Some(about) if about.instance.is_some() && self.about.instance.is_some() => {
                about.instance != self.about.instance
            }
            Some(about) => {
                let same = (about.pid, &about.host) == (self.about.pid, &self.about.host);
                self.is_silent || !same
            }
            None => self.is_silent && self.about.instance.is_none(),
        }
    }

    /// Wakes the claims that wait for room.
    pub fn has_room(&mut self) {
        self.blocked.drain(..).for_each(|signal| signal.notify());
    }

    /// Notes that the worker was heard from. If it was silent, it has come back.
    pub fn see(&mut self, name: &WorkerName, when: ClockReadings, events: &mut Vec<WorkerNotice>) {
        (self.seen_at, self.seen) = (when.at, when.now);
        if std::mem::take(&mut self.is_silent) {
            self.connected_at = when.at;
            (self.is_announced, self.is_announcement_due) = (true, false);
            events.push(notice(name, WorkerChange::Connected, self.by.clone()));
        }
    }

    /// Makes the event that the worker has connected, if there may be one now. The next sweep makes it otherwise.
    pub fn announce(
        &mut self,
        name: &WorkerName,
        when: ClockReadings,
        announcements: &mut Announcements,
        events: &mut Vec<WorkerNotice>,
    ) {
        self.is_announcement_due = !announcements.allow(name, when.now);
        if !self.is_announcement_due {
            self.is_announced = true;
            events.push(notice(name, WorkerChange::Connected, self.by.clone()));
        }
    }

    pub fn push(&self, push: Push) {
        if let Some(session) = &self.session {
            session.put(push);
        }
    }
}

/// An event about a worker.
pub fn notice(worker: &WorkerName, change: WorkerChange, by: Option<Actor>) -> WorkerNotice {
    WorkerNotice { worker: worker.clone(), change, by }
}
