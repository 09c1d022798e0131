//! The content of the store. A job only changes by an event: the answer of the state machine becomes an event, and the
//! event is folded into the record.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::access::{AccessRecord, AccessTable, SigningKey};
use crate::job::{
    Actor, Change, Cursor, Epoch, Event, Fact, IdempotencyKey, Job, JobId, QueueName,
    QueueSettings, State, Status, Time,
};
use crate::store::claim_limits::ClaimLimits;
use crate::store::clock_changes::TickWatch;
use crate::store::kinds::DeclaredKinds;
use crate::store::schedules::Schedules;
use crate::store::{HistoryKey, HistoryProgress, StoreLimits};

/// Everything that a restart keeps, and the events that the current verb has added.
#[derive(Clone)]
pub(super) struct Content {
    pub(super) limits: StoreLimits,
    pub(super) epoch: Epoch,
    pub(super) last_seq: u64,
    pub(super) jobs: BTreeMap<JobId, Job>,
    /// The job of each idempotency key.
    pub(super) keys: BTreeMap<IdempotencyKey, JobId>,
    /// The lease of each running job.
    pub(super) leases: BTreeMap<JobId, Held>,
    /// The queues for which something is set.
    pub(super) queues: BTreeMap<QueueName, QueueSettings>,
    /// The limits that claims enforce, of the queues that were claimed from or have settings.
    pub(super) claim_limits: BTreeMap<QueueName, ClaimLimits>,
    pub(super) schedules: Schedules,
    /// The kinds that were declared at run time.
    pub(super) kinds: Arc<DeclaredKinds>,
    /// Users, tokens, sessions and share links.
    pub(super) access: Arc<AccessTable>,
    /// New jobs whose `run_at` is the end of a delay and not a time that somebody chose.
    pub(super) submitted_with_delay: BTreeSet<JobId>,
    pub(super) watch: TickWatch,
    pub(super) starts: Vec<Time>,
    /// What was counted over time, and up to where.
    pub(super) history: BTreeMap<HistoryKey, Vec<u8>>,
    pub(super) history_progress: Option<HistoryProgress>,
    /// The log, oldest event first.
    pub(super) log: VecDeque<Event>,
    /// In whose name the events of the current verb are.
    by: Option<Actor>,
    /// The events of the current verb. They are published even if they have already been trimmed from the log.
    fresh: Vec<Event>,
}

/// The lease of a running job.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) token: u64,
    /// When it expires, by the steady clock.
    pub(super) expires: Time,
}

impl Content {
    pub(super) fn new(limits: StoreLimits) -> Content {
        Content {
            limits,
            epoch: Epoch(fastrand::u32(..)),
            last_seq: 0,
            jobs: BTreeMap::new(),
            keys: BTreeMap::new(),
            leases: BTreeMap::new(),
            queues: BTreeMap::new(),
            claim_limits: BTreeMap::new(),
            schedules: Schedules::default(),
            kinds: Arc::default(),
            access: Arc::new(new_table()),
            submitted_with_delay: BTreeSet::new(),
            watch: TickWatch::default(),
            starts: Vec::new(),
            history: BTreeMap::new(),
            history_progress: None,
            log: VecDeque::new(),
            by: None,
            fresh: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.last_seq }
    }

    pub(super) fn take_fresh(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.fresh)
    }

    /// Queues that hold a job, are paused, or have a limit of their own.
    pub(super) fn known_queues(&self) -> BTreeSet<&QueueName> {
        self.jobs.values().map(|job| &job.labels.queue).chain(self.queues.keys()).collect()
    }

    /// Does something whose events are in the name of an actor.
    pub(super) fn in_the_name_of<T>(
        &mut self,
        by: Option<Actor>,
        act: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = std::mem::replace(&mut self.by, by);
        let answer = act(self);
        self.by = before;
        answer
    }

    /// Changes a job; every change goes through here. The event is appended and folded into the record, and what
    /// depends on the job's state follows. Returns the new record.
    pub(super) fn change(
        &mut self,
        now: Time,
        id: JobId,
        status: Status,
        change: Change,
    ) -> Option<Job> {
        let job = self.jobs.get(&id)?;
        // When an attempt is not counted, the event that ends it still has its number.
        let gives_back = matches!(change, Change::Interrupted { .. } | Change::Snoozed { .. });
        let attempt = if gives_back { job.status.attempt } else { status.attempt };
        let (labels, state) = (job.labels.clone(), status.state);
        if state != State::Running {
            self.leases.remove(&id);
        }
        let event = self.append(now, Fact::Job { id, labels, state, attempt, change });
        let job = self.jobs.get_mut(&id)?;
        job.apply(&event, status, self.limits.log);
        Some(job.clone())
    }

    /// Removes a job and frees its key.
    pub(super) fn forget(&mut self, id: JobId) {
        let job = self.jobs.remove(&id);
        self.submitted_with_delay.remove(&id);
        if let Some(key) = job.and_then(|job| job.spec.idempotency_key.clone()) {
            self.keys.remove(&key);
        }
    }

    pub(super) fn append(&mut self, at: Time, fact: Fact) -> Event {
        self.last_seq += 1;
        let event = Event { seq: self.last_seq, at, by: self.by.clone(), fact };
        self.log.push_back(event.clone());
        self.fresh.push(event.clone());
        event
    }
}

/// A table with a new signing key.
fn new_table() -> AccessTable {
    let mut table = AccessTable::default();
    if let Ok(key) = SigningKey::generate() {
        table.put(AccessRecord::SigningKey(key));
    }
    table
}
