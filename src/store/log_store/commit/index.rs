//! The index of all jobs that are not archived: a small entry for each, and ordered sets that tell which jobs come next
//! without a scan. One thread owns it, so it has no locks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState as FastHash;

use super::entry::{Entry, HeldLease, LeaseKeeper, LeasesByJob, Queue};
use super::index_undo::{IndexUndo, JobBefore};
use super::ready::{ReadySource, take_first};
use crate::job::{Cursor, IdempotencyKey, JobId, Kind, Labels, QueueName, State, Time};
use crate::store::log_store::journal::queue_rows::QueueTable;
use crate::store::{Claim, Stats};

/// The number of jobs of one queue and kind in each state.
#[derive(Debug)]
struct Counters {
    queue: u32,
    kind: Kind,
    counts: [u64; 7],
}

/// The index of all jobs that are not archived.
#[derive(Default)]
pub struct Index {
    pub entries: BTreeMap<JobId, Entry>,
    pub sets: Sets,
    queue_ids: HashMap<QueueName, u32>,
    counter_ids: HashMap<(u32, Kind), u32>,
    labels: HashMap<Arc<Labels>, u32, FastHash>,
    labels_swept_at: usize,
    pub leases: LeasesByJob,
    /// The leases that expire here by their end, by the steady clock.
    pub lease_ends: BTreeSet<(Time, JobId)>,
    /// The idempotency keys of the jobs in the index. Those of archived jobs are rows in the log.
    pub keys: HashMap<IdempotencyKey, JobId>,
    /// What the group that is being applied has changed; `None` where a group is never taken back.
    pub undo: Option<IndexUndo>,
}

/// The sets that jobs are in according to their state: each is in exactly one, or in none while it runs.
#[derive(Default)]
pub struct Sets {
    pub queues: Vec<Queue>,
    counters: Vec<Counters>,
    /// Scheduled and retryable jobs by the time at which they become due.
    pub due: BTreeSet<(Time, JobId)>,
    /// Finished jobs that are not archived, by state, in the order in which they finished.
    pub finished: BTreeMap<State, BTreeMap<u64, JobId>>,
}

impl Index {
    /// The number of a queue, which is created if it is new.
    pub fn queue(&mut self, name: &QueueName, new: impl FnOnce() -> Queue) -> u32 {
        if let Some(id) = self.queue_ids.get(name) {
            return *id;
        }
        let id = self.sets.queues.len() as u32;
        self.sets.queues.push(new());
        self.queue_ids.insert(name.clone(), id);
        id
    }

    /// The number of a queue, if it is known.
    pub fn known_queue(&self, name: &QueueName) -> Option<u32> {
        self.queue_ids.get(name).copied()
    }

    /// The number of the counters for a queue and a kind.
    pub fn counters(&mut self, queue: u32, kind: &Kind) -> u32 {
        if let Some(id) = self.counter_ids.get(&(queue, kind.clone())) {
            return *id;
        }
        let id = self.sets.counters.len() as u32;
        self.sets.counters.push(Counters { queue, kind: kind.clone(), counts: [0; 7] });
        self.counter_ids.insert((queue, kind.clone()), id);
        id
    }

    /// The number of the queue that these counters belong to.
    pub fn queue_of(&self, counters: u32) -> u32 {
        self.sets.counters[counters as usize].queue
    }

    /// The shared copy of these labels, if there is one, and the number of the counters for their queue and kind.
    pub fn interned(&self, labels: &Arc<Labels>) -> Option<(Arc<Labels>, u32)> {
        self.labels.get_key_value(labels).map(|(labels, counters)| (labels.clone(), *counters))
    }

    /// Makes these labels the shared copy. Unused copies are dropped whenever their number has doubled, so that rare
    /// tags do not accumulate.
    pub fn intern(&mut self, labels: &Arc<Labels>, counters: u32) {
        if self.labels.len() > 2 * self.labels_swept_at + 1_000 {
            self.labels.retain(|labels, _| Arc::strong_count(labels) > 1);
            self.labels_swept_at = self.labels.len();
        }
        self.labels.insert(labels.clone(), counters);
    }

    /// Whether the index has a job. Nearly every new id is the greatest so far, which is cheap to check.
    pub fn contains(&self, id: JobId) -> bool {
        self.entries.last_key_value().is_some_and(|(last, _)| id <= *last)
            && self.entries.contains_key(&id)
    }

    /// Adds an entry, and adds it to the set of its state.
    pub fn insert(&mut self, id: JobId, entry: Entry) {
        self.remember(id);
        if let Some(key) = &entry.key {
            self.keys.insert((**key).clone(), id);
        }
        self.sets.put(id, &entry);
        self.entries.insert(id, entry);
    }

    /// Removes an entry from the index and its sets.
    pub fn remove(&mut self, id: JobId) -> Option<Entry> {
        self.remember(id);
        let entry = self.entries.remove(&id)?;
        // While the journal is being read, a removed job may still be here when its key has a new owner.
        if let Some(key) = &entry.key
            && self.keys.get(&**key) == Some(&id)
        {
            self.keys.remove(&**key);
        }
        self.sets.take(id, &entry);
        Some(entry)
    }

    /// Changes an entry, and moves it to the set of its new state. Returns what `change` returns, or `None` when there is no such
    /// job.
    pub fn change<T>(&mut self, id: JobId, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.remember(id);
        let entry = self.entries.get_mut(&id)?;
        self.sets.take(id, entry);
        let result = change(entry);
        self.sets.put(id, entry);
        Some(result)
    }

    /// Leases a running job until the steady clock shows `expires`, or extends its lease.
    pub fn lease(&mut self, id: JobId, token: u64, expires: Time) {
        let kept_for = self.leases.get(&id).and_then(|held| held.kept_for);
        self.put_lease(id, HeldLease { token, keeper: LeaseKeeper::Here(expires), kept_for });
    }

    /// Leases a running job.
    pub fn put_lease(&mut self, id: JobId, held: HeldLease) {
        self.unlease(id);
        if let Some(expires) = held.expires() {
            self.lease_ends.insert((expires, id));
        }
        self.leases.insert(id, held);
    }

    /// Removes the lease of a job.
    pub fn unlease(&mut self, id: JobId) {
        self.remember(id);
        if let Some(expires) = self.leases.remove(&id).and_then(|held| held.expires()) {
            self.lease_ends.remove(&(expires, id));
        }
    }

    /// Keeps what a job was before this group changes it.
    pub fn remember(&mut self, id: JobId) {
        if let Some(undo) = &mut self.undo {
            undo.remember_job(id, &self.entries, &self.leases);
        }
    }

    /// Takes back what was changed since the undo began.
    pub fn roll_back(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        // All changed jobs leave first, because a new one may have the key of one that the group has removed.
        for id in undo.jobs.keys() {
            self.unlease(*id);
            self.remove(*id);
        }
        for (id, JobBefore { entry, lease }) in undo.jobs {
            if let Some(entry) = entry {
                self.insert(id, entry);
            }
            if let Some(lease) = lease {
                self.put_lease(id, lease);
            }
        }
        for (number, (settings, limits)) in undo.queues {
            let queue = &mut self.sets.queues[number as usize];
            (queue.settings, queue.limits) = (settings, limits);
        }
    }

    /// A queue whose settings or recent starts are about to change.
    pub fn queue_mut(&mut self, number: u32) -> &mut Queue {
        let queue = &mut self.sets.queues[number as usize];
        if let Some(undo) = &mut self.undo {
            undo.remember_queue(number, queue);
        }
        queue
    }

    /// Removes all leases.
    pub fn unlease_all(&mut self) {
        self.leases.clear();
        self.lease_ends.clear();
    }

    /// Adds `n` jobs of a state to the counters.
    pub fn count(&mut self, counters: u32, state: State, n: u64) {
        self.sets.count(counters, state, n);
    }

    /// Subtracts `n` jobs of a state from the counters.
    pub fn uncount(&mut self, counters: u32, state: State, n: u64) {
        self.sets.uncount(counters, state, n);
    }

    /// The number of waiting jobs in all queues.
    pub fn waiting(&self) -> u64 {
        let waiting = |counters: &Counters| -> u64 {
            State::ALL.iter().filter(|s| s.is_waiting()).map(|s| counters.counts[*s as usize]).sum()
        };
        self.sets.counters.iter().map(waiting).sum()
    }

    /// The number of jobs in a state, including archived ones.
    pub fn in_state(&self, state: State) -> u64 {
        self.sets.counters.iter().map(|counters| counters.counts[state as usize]).sum()
    }

    /// The settings of all queues that have any.
    pub fn queue_settings(&self) -> QueueTable {
        let set = self.sets.queues.iter().filter(|queue| !queue.settings.is_default());
        set.map(|queue| (queue.name.clone(), queue.settings)).collect()
    }

    /// The number of queues that hold a job, are paused, or have a limit of their own.
    pub fn known_queues(&self) -> usize {
        self.sets.queues.iter().filter(|queue| queue.is_known()).count()
    }

    /// The jobs that a claim takes, in their order, up to `max`, and the queues that then hold jobs back because of their limits.
    pub fn pick(&self, claim: &Claim, max: usize, steady: Time) -> (Vec<JobId>, Vec<u32>) {
        let known = claim.queues.iter().filter_map(|queue| self.known_queue(queue));
        let numbers: BTreeSet<u32> = known.collect();
        let of_queue = |number: u32| (number, &self.sets.queues[number as usize]);
        let queues = numbers.into_iter().map(of_queue).filter(|(_, queue)| !queue.settings.paused);
        let sources = queues.map(|(number, queue)| {
            let room = queue.limits.room(queue.running, steady);
            ReadySource::new(number, &queue.ready, &claim.kinds, room)
        });
        let mut sources: Vec<ReadySource<'_>> = sources.collect();
        let ids = take_first(&mut sources, max);
        let held = sources.iter().filter(|source| ids.len() < max && source.holds_back());
        let held = held.map(|source| source.queue).collect();
        (ids, held)
    }

    /// How many jobs of its queue will be claimed before an available one, counted up to `most`.
    pub fn ahead(&self, id: JobId, most: u64) -> Option<u64> {
        let entry = self.entries.get(&id).filter(|entry| entry.status.state == State::Available)?;
        let ready = &self.sets.queues[self.queue_of(entry.counters) as usize].ready;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Some(ready.before((Reverse(entry.priority), entry.run_at, id), most) as u64)
    }

    /// The numbers of jobs by state, queue and kind.
    pub fn stats(&self, cursor: Cursor, oldest: Cursor, steady: Time) -> Stats {
        let mut stats = Stats {
            states: State::ALL.into_iter().map(|state| (state, 0)).collect(),
            queues: BTreeMap::new(),
            kinds: BTreeMap::new(),
            cursor,
            oldest,
        };
        for counters in &self.sets.counters {
            let queue = &self.sets.queues[counters.queue as usize].name;
            for state in State::ALL {
                let n = counters.counts[state as usize];
                if n == 0 {
                    continue;
                }
                *stats.states.entry(state).or_default() += n;
                let of_queue = stats.queues.entry(queue.clone()).or_default();
                *of_queue.states.entry(state).or_default() += n;
                let of_kind = stats.kinds.entry(counters.kind.clone()).or_default();
                *of_kind.entry(state).or_default() += n;
            }
        }
        for queue in self.sets.queues.iter().filter(|queue| queue.is_known()) {
            let of_queue = stats.queues.entry(queue.name.clone()).or_default();
            of_queue.settings = queue.settings;
            of_queue.waiting_since = queue.ready.waiting_since();
            of_queue.configured = queue.limits.configured();
            of_queue.concurrency = queue.limits.concurrency();
            of_queue.rate_wait = queue.limits.rate_wait(steady);
        }
        stats
    }
}

impl Sets {
    /// Counts a job, and adds it to the set of its state.
    pub fn put(&mut self, id: JobId, entry: &Entry) {
        self.count(entry.counters, entry.status.state, 1);
        self.place(id, entry);
    }

    /// Undoes [`Sets::put`]. It is called before every change of an entry.
    pub fn take(&mut self, id: JobId, entry: &Entry) {
        self.uncount(entry.counters, entry.status.state, 1);
        self.displace(id, entry);
    }

    fn place(&mut self, id: JobId, entry: &Entry) {
        match entry.status.state {
            State::Scheduled | State::Retryable => {
                self.due.insert((entry.run_at, id));
            }
            State::Available => {
                let Counters { queue, kind, .. } = &self.counters[entry.counters as usize];
                let place = (Reverse(entry.priority), entry.run_at, id);
                self.queues[*queue as usize].ready.insert(kind, place);
            }
            State::Running => {}
            State::Completed | State::Discarded | State::Cancelled => {
                if let Some((seq, _)) = entry.finished {
                    self.finished.entry(entry.status.state).or_default().insert(seq, id);
                }
            }
        }
    }

    fn displace(&mut self, id: JobId, entry: &Entry) {
        match entry.status.state {
            State::Scheduled | State::Retryable => {
                self.due.remove(&(entry.run_at, id));
            }
            State::Available => {
                let Counters { queue, kind, .. } = &self.counters[entry.counters as usize];
                let place = (Reverse(entry.priority), entry.run_at, id);
                self.queues[*queue as usize].ready.remove(kind, place);
            }
            State::Running => {}
            State::Completed | State::Discarded | State::Cancelled => {
                if let Some((seq, _)) = entry.finished
                    && let Some(finished) = self.finished.get_mut(&entry.status.state)
                {
                    finished.remove(&seq);
                }
            }
        }
    }

    /// Adds `n` jobs of a state to the counters.
    fn count(&mut self, counters: u32, state: State, n: u64) {
        let counters = &mut self.counters[counters as usize];
        counters.counts[state as usize] += n;
        let queue = &mut self.queues[counters.queue as usize];
        queue.jobs += n;
        if state == State::Running {
            queue.running += n;
        }
    }

    /// Subtracts `n` jobs of a state from the counters.
    fn uncount(&mut self, counters: u32, state: State, n: u64) {
        let counters = &mut self.counters[counters as usize];
        let (count, queue) =
            (&mut counters.counts[state as usize], &mut self.queues[counters.queue as usize]);
        *count = count.saturating_sub(n);
        queue.jobs = queue.jobs.saturating_sub(n);
        if state == State::Running {
            queue.running = queue.running.saturating_sub(n);
        }
    }
}
