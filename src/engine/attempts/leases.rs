//! The leases that this process holds: how running attempts are asked to end, and what the stop waits for.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::job::{Job, JobId};
use crate::store::{Lease, LeaseRef};

/// A held lease and its attempt.
pub struct Running {
    /// Identifies the lease to the store.
    pub key: LeaseRef,
    /// Ends the attempt when it is cancelled, when its lease is lost, or when the server aborts (the parent token).
    pub end: CancellationToken,
    /// Resolves when an earlier attempt of the same job in this process has ended; until then this one must not
    /// start.
    pub after: Option<CancellationToken>,
    end_request: AtomicU8,
    /// Until when the lease is guaranteed to be valid, in milliseconds since the table was created.
    until_ms: AtomicU64,
    /// The job as it was claimed.
    pub job: Arc<Job>,
    /// When the lease was last taken or extended, on the same scale.
    renewed_ms: AtomicU64,
}

/// Whether and why an attempt was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndRequest {
    /// It was not asked to end.
    NotAsked,
    /// The job is being cancelled.
    Cancel,
    /// The lease is lost: the attempt must stop and report nothing.
    Lost,
}

impl Running {
    /// Whether and why the attempt was asked to end, apart from the server's abort.
    pub fn end_request(&self) -> EndRequest {
        match self.end_request.load(Ordering::Acquire) {
            0 => EndRequest::NotAsked,
            1 => EndRequest::Cancel,
            2.. => EndRequest::Lost,
        }
    }

    /// Asks the attempt to end because its job is being cancelled.
    pub fn ask_cancel(&self) {
        self.end_request.fetch_max(1, Ordering::AcqRel);
        self.end.cancel();
    }

    /// Ends the attempt because its lease is lost.
    pub fn set_lost(&self) {
        self.end_request.store(2, Ordering::Release);
        self.end.cancel();
    }
}

/// The table of held leases.
pub struct Leases {
    /// The moment at which the table was created, from which milliseconds are counted.
    made: Instant,
    ttl: Duration,
    /// The server's abort token, the parent of every attempt's token.
    abort: CancellationToken,
    table: Mutex<LeaseTable>,
    /// Wakes the stop once no lease is held.
    emptied: Notify,
}

#[derive(Default)]
struct LeaseTable {
    held: HashMap<JobId, Arc<Running>>,
    /// Jobs that were cancelled before their lease arrived here. The heartbeat clears this set, because from then on
    /// the store repeats the request.
    asked_before_claim: HashSet<JobId>,
    /// Attempts that no longer hold a lease but are still running: their number for each job, and a token that is
    /// cancelled when the last of them has ended.
    lingering: HashMap<JobId, (usize, CancellationToken)>,
}

impl LeaseTable {
    fn linger(&mut self, job: JobId) {
        self.lingering.entry(job).or_default().0 += 1;
    }
}

impl Leases {
    pub fn new(ttl: Duration, abort: CancellationToken) -> Self {
        Leases { made: Instant::now(), ttl, abort, table: Mutex::default(), emptied: Notify::new() }
    }

    /// Inserts new leases, which were requested at `asked`.
    pub fn insert(&self, leases: &[Lease], asked: Instant) -> Vec<Arc<Running>> {
        let (until_ms, renewed_ms) = (self.until(asked), self.ms(asked));
        let mut table = self.lock();
        let mut inserted = Vec::with_capacity(leases.len());
        for lease in leases {
            let key = lease.key();
            // An older lease of the same job has expired, and its attempt may still be running.
            if let Some(older) = table.held.remove(&key.job) {
                older.set_lost();
                table.linger(key.job);
            }
            let running = Arc::new(Running {
                key,
                end: self.abort.child_token(),
                after: table.lingering.get(&key.job).map(|(_, ended)| ended.clone()),
                end_request: AtomicU8::new(0),
                until_ms: AtomicU64::new(until_ms),
                job: lease.job.clone(),
                renewed_ms: AtomicU64::new(renewed_ms),
            });
            if !table.asked_before_claim.is_empty() && table.asked_before_claim.remove(&key.job) {
                running.ask_cancel();
            }
            table.held.insert(key.job, running.clone());
            inserted.push(running);
        }
        inserted
    }

    /// Removes attempts that have ended completely. Called once for each attempt.
    pub fn ended<'a>(&self, attempts: impl Iterator<Item = &'a Running>) {
        let mut table = self.lock();
        for running in attempts {
            let job = running.key.job;
            if table.held.get(&job).is_some_and(|held| held.key == running.key) {
                table.held.remove(&job);
            } else if let Some((count, ended)) = table.lingering.get_mut(&job) {
                *count -= 1;
                if *count == 0 {
                    ended.cancel();
                    table.lingering.remove(&job);
                }
            }
        }
        self.notify_if_empty(&table);
    }

    /// Stops extending the lease of an attempt that does not end. No other attempt of its job starts here until it
    /// has ended.
    pub fn abandon(&self, running: &Running) {
        let mut table = self.lock();
        let job = running.key.job;
        if table.held.get(&job).is_some_and(|held| held.key == running.key) {
            table.held.remove(&job);
            table.linger(job);
        }
        self.notify_if_empty(&table);
    }

    /// Asks the running attempt of a job to end because the job is being cancelled.
    pub fn ask_cancel(&self, job: JobId) {
        let mut table = self.lock();
        match table.held.get(&job) {
            Some(running) => running.ask_cancel(),
            None => {
                table.asked_before_claim.insert(job);
            }
        }
    }

    /// Whether the running attempt of a job was asked to end.
    pub fn is_asked_to_end(&self, job: JobId) -> bool {
        self.lock()
            .held
            .get(&job)
            .is_some_and(|running| running.end_request() != EndRequest::NotAsked)
    }

    /// All held leases, for the heartbeat.
    pub fn held(&self) -> Vec<Arc<Running>> {
        let mut table = self.lock();
        table.asked_before_claim.clear();
        table.held.values().cloned().collect()
    }

    /// Records that the store extended a lease, by a call made at `asked`.
    pub fn extended(&self, running: &Running, asked: Instant) {
        running.until_ms.store(self.until(asked), Ordering::Relaxed);
        running.renewed_ms.store(self.ms(asked), Ordering::Relaxed);
    }

    /// The number of held leases, and the oldest of them, at most `max`.
    pub fn oldest(&self, max: usize) -> (usize, Vec<Arc<Running>>) {
        let mut all: Vec<Arc<Running>> = self.lock().held.values().cloned().collect();
        let held = all.len();
        if held > max && max > 0 {
            all.select_nth_unstable_by_key(max - 1, |running| running.key.token);
        }
        all.truncate(max);
        all.sort_unstable_by_key(|running| running.key.token);
        (held, all)
    }

    /// How long ago a lease was taken or extended, and for how long it is still guaranteed to be valid.
    pub fn age(&self, running: &Running) -> (Duration, Duration) {
        let now = self.made.elapsed().as_millis() as u64;
        let (renewed, until) = (&running.renewed_ms, &running.until_ms);
        let ago = now.saturating_sub(renewed.load(Ordering::Relaxed));
        let left = until.load(Ordering::Relaxed).saturating_sub(now);
        (Duration::from_millis(ago), Duration::from_millis(left))
    }

    /// Whether the lease is still valid, so that the end of its attempt may be reported.
    pub fn is_valid(&self, running: &Running) -> bool {
        let now = self.made.elapsed().as_millis() as u64;
        running.end_request() != EndRequest::Lost && now < running.until_ms.load(Ordering::Relaxed)
    }

    /// The number of held leases.
    pub fn len(&self) -> usize {
        self.lock().held.len()
    }

    /// The number of attempts that are still running although they no longer hold a lease.
    pub fn lingering(&self) -> usize {
        self.lock().lingering.values().map(|(count, _)| count).sum()
    }

    /// Resolves when no lease is held.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn until(&self, asked: Instant) -> u64 {
        self.ms(asked) + self.ttl.as_millis() as u64
    }

    fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.made).as_millis() as u64
    }

    fn notify_if_empty(&self, table: &LeaseTable) {
        if table.held.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LeaseTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Event, Fact, Json, Kind, Labels, QueueName, Spec, State, Time};

    const TTL: Duration = Duration::from_secs(60);

    fn leases() -> Leases {
        Leases::new(TTL, CancellationToken::new())
    }

    fn lease(token: u64) -> Lease {
        let spec = Arc::new(Spec {
            payload: Json::null(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: None,
        });
        let labels = Arc::new(Labels {
            queue: QueueName::default(),
            kind: Kind::parse("work").unwrap(),
            tags: Box::default(),
        });
        let (id, at) = (JobId::from_u128(1), Time::default());
        let change = crate::job::Change::Enqueued { spec, run_at: at };
        let fact = Fact::Job { id, labels, state: State::Available, attempt: 0, change };
        let job = Job::from_enqueued(&Event { seq: 1, at, by: None, fact }).unwrap();
        Lease { job: Arc::new(job), token, expires: at }
    }

    fn insert(leases: &Leases, token: u64) -> Arc<Running> {
        leases.insert(&[lease(token)], Instant::now()).remove(0)
    }

    #[test]
    fn a_newer_lease_of_the_same_job_waits_for_the_end_of_the_older_attempts() {
        let leases = leases();
        let (first, second) = (insert(&leases, 1), insert(&leases, 2));
        assert_eq!(
            (first.end_request(), second.end_request()),
            (EndRequest::Lost, EndRequest::NotAsked)
        );
        assert!(!leases.is_valid(&first) && leases.is_valid(&second));
        let third = insert(&leases, 3);
        let free = third.after.clone().unwrap();
        leases.ended([&*second].into_iter());
        assert!(!free.is_cancelled(), "the first still runs");
        leases.ended([&*first].into_iter());
        assert!(free.is_cancelled());
        assert_eq!((leases.len(), leases.lingering()), (1, 0));
        leases.ended([&*third].into_iter());
        assert_eq!(leases.len(), 0);
        assert!(insert(&leases, 4).after.is_none());
    }

    #[test]
    fn a_cancel_that_came_before_the_lease_is_not_forgotten() {
        let leases = leases();
        leases.ask_cancel(JobId::from_u128(1));
        let running = insert(&leases, 1);
        assert_eq!(running.end_request(), EndRequest::Cancel);
        assert!(running.end.is_cancelled());
    }

    #[test]
    fn a_lease_that_is_not_extended_in_time_stands_no_more() {
        let leases = Leases::new(Duration::ZERO, CancellationToken::new());
        let running = insert(&leases, 1);
        assert!(!leases.is_valid(&running));
    }
}
