//! What the committer knows of every job that is not archived: a small entry each, and the ordered sets
//! that answer "what next" without a scan. Owned by one thread; no locks.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState as Quick;
use tokio::sync::Notify;

use crate::job::{IdempotencyKey, JobId, Kind, Labels, QueueName, RateRule, State, Status, Time};
use crate::store::Stats;
use crate::store::log_store::journal::trail::Trail;

/// A job as the index knows it. Payload, history and log stay on disk, in the chunks of the trail.
#[derive(Debug, Clone)]
pub struct Entry {
    pub labels: Arc<Labels>,
    /// Where the counters for this queue and kind are.
    pub group: u32,
    pub priority: i16,
    pub status: Status,
    pub run_at: Time,
    /// When and by which event it came to its end; the order of archiving and pruning.
    pub finished: Option<(u64, Time)>,
    pub key: Option<Box<IdempotencyKey>>,
    pub trail: Trail,
    /// The archiver is writing its record: controls wait for that.
    pub archiving: bool,
}

/// Who runs a job, and until when.
#[derive(Debug, Clone)]
pub struct Held {
    pub token: u64,
    pub expires: Time,
}

/// Leases by job.
pub type Leases = HashMap<JobId, Held, Quick>;

type Ready = (Reverse<i16>, Time, JobId);

/// Priorities of one queue that are looked at for the job that waits longest; nobody uses as many.
const MAX_PRIORITIES: usize = 1_000;

/// One queue.
#[derive(Debug)]
pub struct Queue {
    pub name: QueueName,
    pub paused: bool,
    /// How many attempts may run at once, when somebody said so.
    pub concurrency: Option<u32>,
    /// How often they may begin, when somebody said so.
    pub rate_limit: Option<RateRule>,
    /// Jobs in it, in any state, archived ones included.
    pub jobs: u64,
    pub ready: BTreeSet<Ready>,
    /// Tells the queue's dispatcher that there may be work.
    pub wake: Arc<Notify>,
}

impl Queue {
    /// Whether it counts as a queue: it holds a job, or somebody paused it or set a limit of it.
    pub fn is_known(&self) -> bool {
        self.jobs > 0 || self.is_set()
    }

    fn is_set(&self) -> bool {
        self.paused || self.concurrency.is_some() || self.rate_limit.is_some()
    }

    /// Since when the job that waits longest is available: one step for each priority that waits.
    fn waiting_since(&self) -> Option<Time> {
        let mut next = self.ready.first();
        let mut since: Option<Time> = None;
        for _ in 0..MAX_PRIORITIES {
            let Some(&(priority, run_at, _)) = next else { break };
            since = Some(since.map_or(run_at, |since| since.min(run_at)));
            let Reverse(lower) = priority;
            let Some(lower) = lower.checked_sub(1) else { break };
            let from = (Reverse(lower), Time::from_millis(i64::MIN), JobId::from_u128(0));
            next = self.ready.range(from..).next();
        }
        since
    }
}

/// Counters of one queue and kind.
#[derive(Debug)]
struct Group {
    queue: u32,
    kind: Kind,
    counts: [u64; 7],
}

/// See the module.
#[derive(Default)]
pub struct Index {
    pub entries: BTreeMap<JobId, Entry>,
    pub sets: Sets,
    queue_ids: HashMap<QueueName, u32>,
    group_ids: HashMap<(u32, Kind), u32>,
    labels: HashMap<Arc<Labels>, u32, Quick>,
    labels_swept_at: usize,
    pub leases: Leases,
    pub lease_ends: BTreeSet<(Time, JobId)>,
    /// Keys of jobs in this index; those of archived jobs are on disk.
    pub keys: HashMap<IdempotencyKey, JobId>,
}

/// Where a job stands because of its state: exactly one of these places, none while it runs.
#[derive(Default)]
pub struct Sets {
    pub queues: Vec<Queue>,
    groups: Vec<Group>,
    /// Scheduled and retryable jobs by the time they become due.
    pub due: BTreeSet<(Time, JobId)>,
    /// Finished jobs that are not archived, by state, in the order they finished.
    pub finished: BTreeMap<State, BTreeMap<u64, JobId>>,
}

impl Index {
    /// The queue's number, made when it is new.
    pub fn queue(&mut self, name: &QueueName, wake: impl FnOnce() -> Arc<Notify>) -> u32 {
        if let Some(id) = self.queue_ids.get(name) {
            return *id;
        }
        let id = self.sets.queues.len() as u32;
        let queue = Queue {
            name: name.clone(),
            paused: false,
            concurrency: None,
            rate_limit: None,
            jobs: 0,
            ready: BTreeSet::new(),
            wake: wake(),
        };
        self.sets.queues.push(queue);
        self.queue_ids.insert(name.clone(), id);
        id
    }

    /// The queue's number, if it is known.
    pub fn known_queue(&self, name: &QueueName) -> Option<u32> {
        self.queue_ids.get(name).copied()
    }

    /// The number of the counters for a queue and a kind.
    pub fn group(&mut self, queue: u32, kind: &Kind) -> u32 {
        if let Some(id) = self.group_ids.get(&(queue, kind.clone())) {
            return *id;
        }
        let id = self.sets.groups.len() as u32;
        self.sets.groups.push(Group { queue, kind: kind.clone(), counts: [0; 7] });
        self.group_ids.insert((queue, kind.clone()), id);
        id
    }

    /// The number of the queue whose counters these are.
    pub fn queue_of(&self, group: u32) -> u32 {
        self.sets.groups[group as usize].queue
    }

    /// The shared copy of equal labels, and the number of their counters.
    pub fn interned(&self, labels: &Arc<Labels>) -> Option<(Arc<Labels>, u32)> {
        self.labels.get_key_value(labels).map(|(labels, group)| (labels.clone(), *group))
    }

    /// Makes these the shared copy. Swept when there are twice as many, so rare tags do not pile up.
    pub fn intern(&mut self, labels: &Arc<Labels>, group: u32) {
        if self.labels.len() > 2 * self.labels_swept_at + 1_000 {
            self.labels.retain(|labels, _| Arc::strong_count(labels) > 1);
            self.labels_swept_at = self.labels.len();
        }
        self.labels.insert(labels.clone(), group);
    }

    /// Whether a job is here. Nearly every new id is the greatest so far, which is quick to see.
    pub fn contains(&self, id: JobId) -> bool {
        self.entries.last_key_value().is_some_and(|(last, _)| id <= *last)
            && self.entries.contains_key(&id)
    }

    /// Adds an entry and puts it where its state belongs.
    pub fn insert(&mut self, id: JobId, entry: Entry) {
        if let Some(key) = &entry.key {
            self.keys.insert((**key).clone(), id);
        }
        self.sets.put(id, &entry);
        self.entries.insert(id, entry);
    }

    /// Takes an entry out of everything.
    pub fn remove(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        // While the journal is read, a job that went may still be here when its key has a new owner.
        if let Some(key) = &entry.key
            && self.keys.get(&**key) == Some(&id)
        {
            self.keys.remove(&**key);
        }
        self.sets.take(id, &entry);
        Some(entry)
    }

    /// Changes an entry and moves it to where its new state belongs.
    pub fn change(&mut self, id: JobId, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        self.sets.take(id, entry);
        change(entry);
        self.sets.put(id, entry);
    }

    /// Gives a running job to a holder, until `expires`.
    pub fn lease(&mut self, id: JobId, token: u64, expires: Time) {
        self.unlease(id);
        self.leases.insert(id, Held { token, expires });
        self.lease_ends.insert((expires, id));
    }

    /// Takes a lease back.
    pub fn unlease(&mut self, id: JobId) {
        if let Some(held) = self.leases.remove(&id) {
            self.lease_ends.remove(&(held.expires, id));
        }
    }

    /// Counts `n` jobs more in a state.
    pub fn count(&mut self, group: u32, state: State, n: u64) {
        self.sets.count(group, state, n);
    }

    /// Counts `n` jobs fewer in a state.
    pub fn uncount(&mut self, group: u32, state: State, n: u64) {
        self.sets.uncount(group, state, n);
    }

    /// Jobs that wait, in all queues.
    pub fn waiting(&self) -> u64 {
        let waiting = |group: &Group| -> u64 {
            State::ALL.iter().filter(|s| s.is_waiting()).map(|s| group.counts[*s as usize]).sum()
        };
        self.sets.groups.iter().map(waiting).sum()
    }

    /// Jobs in a state, archived ones included.
    pub fn in_state(&self, state: State) -> u64 {
        self.sets.groups.iter().map(|group| group.counts[state as usize]).sum()
    }

    /// How many queues hold a job, are paused, or have a limit of their own.
    pub fn known_queues(&self) -> usize {
        self.sets.queues.iter().filter(|queue| queue.is_known()).count()
    }

    /// How many jobs of its queue go before an available one, counted up to `most`.
    pub fn ahead(&self, id: JobId, most: u64) -> Option<u64> {
        let entry = self.entries.get(&id).filter(|entry| entry.status.state == State::Available)?;
        let ready = &self.sets.queues[self.queue_of(entry.group) as usize].ready;
        let before = ready.range(..(Reverse(entry.priority), entry.run_at, id));
        Some(before.take(usize::try_from(most).unwrap_or(usize::MAX)).count() as u64)
    }

    /// Every counter.
    pub fn stats(&self, cursor: crate::job::Cursor, oldest: crate::job::Cursor) -> Stats {
        let mut stats = Stats {
            states: State::ALL.into_iter().map(|state| (state, 0)).collect(),
            queues: BTreeMap::new(),
            kinds: BTreeMap::new(),
            cursor,
            oldest,
        };
        let shown = |queue: &&Queue| queue.is_set() || !queue.ready.is_empty();
        for queue in self.sets.queues.iter().filter(shown) {
            let of_queue = stats.queues.entry(queue.name.clone()).or_default();
            of_queue.paused = queue.paused;
            of_queue.concurrency = queue.concurrency;
            of_queue.rate_limit = queue.rate_limit;
            of_queue.waiting_since = queue.waiting_since();
        }
        for group in &self.sets.groups {
            let queue = &self.sets.queues[group.queue as usize].name;
            for state in State::ALL {
                let n = group.counts[state as usize];
                if n == 0 {
                    continue;
                }
                *stats.states.entry(state).or_default() += n;
                let of_queue = stats.queues.entry(queue.clone()).or_default();
                *of_queue.states.entry(state).or_default() += n;
                let of_kind = stats.kinds.entry(group.kind.clone()).or_default();
                *of_kind.entry(state).or_default() += n;
            }
        }
        stats
    }
}

impl Sets {
    /// Counts a job and puts it where its state belongs.
    pub fn put(&mut self, id: JobId, entry: &Entry) {
        self.count(entry.group, entry.status.state, 1);
        self.place(id, entry);
    }

    /// Undoes [`Sets::put`]; comes before every change of an entry.
    pub fn take(&mut self, id: JobId, entry: &Entry) {
        self.uncount(entry.group, entry.status.state, 1);
        self.displace(id, entry);
    }

    fn place(&mut self, id: JobId, entry: &Entry) {
        match entry.status.state {
            State::Scheduled | State::Retryable => {
                self.due.insert((entry.run_at, id));
            }
            State::Available => {
                let queue = self.groups[entry.group as usize].queue as usize;
                self.queues[queue].ready.insert((Reverse(entry.priority), entry.run_at, id));
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
                let queue = self.groups[entry.group as usize].queue as usize;
                self.queues[queue].ready.remove(&(Reverse(entry.priority), entry.run_at, id));
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

    /// Counts `n` jobs more in a state.
    fn count(&mut self, group: u32, state: State, n: u64) {
        let group = &mut self.groups[group as usize];
        group.counts[state as usize] += n;
        self.queues[group.queue as usize].jobs += n;
    }

    /// Counts `n` jobs fewer in a state.
    fn uncount(&mut self, group: u32, state: State, n: u64) {
        let group = &mut self.groups[group as usize];
        let (count, queue) =
            (&mut group.counts[state as usize], &mut self.queues[group.queue as usize]);
        *count = count.saturating_sub(n);
        queue.jobs = queue.jobs.saturating_sub(n);
    }
}
