//! Claims that wait for jobs. Those with the same queues and kinds form one first-in, first-out queue of waiters, a claim
//! queue. When a job queue has jobs, one waiter of each claim queue that takes from it is woken, so that ten thousand idle
//! workers cost no more than one.
//!
//! A worker starts to wait before it claims, so that no wake-up between the two is lost. A worker that is woken claims
//! again. When it gets as many jobs as it asked for, there may be more, so it wakes the next waiter of its claim queue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::job::{Kind, QueueName};

/// The jobs that a worker can run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interest {
    /// The queues.
    pub queues: BTreeSet<QueueName>,
    /// The kinds.
    pub kinds: Arc<BTreeSet<Kind>>,
}

/// Wakes one worker.
#[derive(Debug, Default)]
pub struct Signal {
    /// Whether the worker was woken to claim and has not noticed it.
    is_woken_to_claim: AtomicBool,
    changed: Notify,
}

impl Signal {
    /// Wakes the worker for another reason than to claim.
    pub fn notify(&self) {
        self.changed.notify_one();
    }

    /// Resolves when the worker is woken. A wake-up that arrives while nobody awaits it is kept.
    pub async fn notified(&self) {
        self.changed.notified().await;
    }

    /// Wakes the worker to claim.
    fn wake_to_claim(&self) {
        self.is_woken_to_claim.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Whether the worker was woken to claim since the last call.
    fn take_wake_up(&self) -> bool {
        self.is_woken_to_claim.swap(false, Ordering::AcqRel)
    }
}

/// Whether a claim got as many jobs as it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimSize {
    /// All that it asked for, so there may be more.
    Full,
    /// Less than it asked for.
    Short,
}

/// All claims that wait.
#[derive(Debug, Default)]
pub struct WaitingClaims {
    queues: Mutex<ClaimQueues>,
    /// Notified when [`WaitingClaims::next_retry`] is earlier than before.
    retry_changed: Notify,
}

#[derive(Debug, Default)]
struct ClaimQueues {
    by_id: HashMap<u64, ClaimQueue>,
    ids: HashMap<Arc<Interest>, u64>,
    /// The claim queues whose workers take jobs from a job queue.
    by_job_queue: HashMap<QueueName, BTreeSet<u64>>,
    /// When a waiter of each claim queue is woken although no job queue wakes it.
    retries: BTreeSet<(Instant, u64)>,
    /// The number that was given last, to a claim queue or to a waiter.
    next: u64,
}

/// The claims with one interest.
#[derive(Debug)]
struct ClaimQueue {
    interest: Arc<Interest>,
    /// The workers that wait, in the order in which they began to wait.
    waiting: BTreeMap<u64, Arc<Signal>>,
    /// The number of its members, whether they wait or not.
    members: usize,
    retry_at: Option<Instant>,
}

impl WaitingClaims {
    /// The same interest, as the workers that have it already share it.
    pub fn shared(&self, interest: Arc<Interest>) -> Arc<Interest> {
        let known = self.lock().ids.get_key_value(&interest).map(|(known, _)| known.clone());
        known.unwrap_or(interest)
    }

    /// Adds a worker to the claim queue of those with the same interest. The worker does not wait yet.
    pub fn join(self: &Arc<Self>, interest: &Arc<Interest>, signal: Arc<Signal>) -> ClaimWaiter {
        let mut queues = self.lock();
        let found = queues.ids.get_key_value(interest).map(|(shared, id)| (shared.clone(), *id));
        let (interest, id) =
            found.unwrap_or_else(|| (interest.clone(), queues.add(interest.clone())));
        if let Some(queue) = queues.by_id.get_mut(&id) {
            queue.members += 1;
        }
        ClaimWaiter {
            claims: self.clone(),
            queue: id,
            interest,
            position: 0,
            signal,
            is_woken: false,
        }
    }

    /// Wakes one waiter of each claim queue that takes jobs from a job queue.
    pub fn wake(&self, job_queue: &QueueName) {
        let mut queues = self.lock();
        let ClaimQueues { by_id, by_job_queue, .. } = &mut *queues;
        for id in by_job_queue.get(job_queue).into_iter().flatten() {
            if let Some(queue) = by_id.get_mut(id) {
                queue.wake_first();
            }
        }
    }

    /// Wakes one waiter of every claim queue, in case a wake-up was lost.
    pub fn wake_all(&self) {
        self.lock().by_id.values_mut().for_each(ClaimQueue::wake_first);
    }

    /// The number of claims that wait.
    pub fn count(&self) -> usize {
        self.lock().by_id.values().map(|queue| queue.waiting.len()).sum()
    }

    /// When the next waiter is woken although no job queue wakes it.
    pub fn next_retry(&self) -> Option<Instant> {
        self.lock().retries.first().map(|(at, _)| *at)
    }

    /// Wakes one waiter of each claim queue whose time to retry has come.
    pub fn wake_due(&self, now: Instant) {
        let mut queues = self.lock();
        while let Some((at, id)) = queues.retries.first().copied().filter(|(at, _)| *at <= now) {
            queues.retries.remove(&(at, id));
            if let Some(queue) = queues.by_id.get_mut(&id) {
                queue.retry_at = None;
                queue.wake_first();
            }
        }
    }

    /// Resolves when [`WaitingClaims::next_retry`] is earlier than before.
    pub async fn retry_changed(&self) {
        self.retry_changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, ClaimQueues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimQueues {
    fn next_number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, interest: Arc<Interest>) -> u64 {
        let id = self.next_number();
        for job_queue in &interest.queues {
            self.by_job_queue.entry(job_queue.clone()).or_default().insert(id);
        }
        self.ids.insert(interest.clone(), id);
        let queue = ClaimQueue { interest, waiting: BTreeMap::new(), members: 0, retry_at: None };
        self.by_id.insert(id, queue);
        id
    }

    fn remove(&mut self, id: u64) {
        let Some(queue) = self.by_id.remove(&id) else { return };
        self.ids.remove(&queue.interest);
        for job_queue in &queue.interest.queues {
            if let Some(ids) = self.by_job_queue.get_mut(job_queue) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.by_job_queue.remove(job_queue);
                }
            }
        }
        if let Some(at) = queue.retry_at {
            self.retries.remove(&(at, id));
        }
    }
}

impl ClaimQueue {
    /// Wakes the worker that has waited longest.
    fn wake_first(&mut self) {
        if let Some((_, signal)) = self.waiting.pop_first() {
            signal.wake_to_claim();
        }
    }
}

/// A worker's membership in a claim queue. When this is dropped, the worker leaves it; if it was woken and has not claimed
/// since, the next waiter is woken instead.
#[derive(Debug)]
pub struct ClaimWaiter {
    claims: Arc<WaitingClaims>,
    queue: u64,
    interest: Arc<Interest>,
    /// Its position among those that wait, when it began to wait last.
    position: u64,
    signal: Arc<Signal>,
    /// Whether it claims because it was woken.
    is_woken: bool,
}

impl ClaimWaiter {
    /// What the claims of the queue ask for. All members of the queue share it, so that ten thousand workers of a kind do not
    /// keep ten thousand lists.
    pub fn interest(&self) -> &Arc<Interest> {
        &self.interest
    }

    /// Waits from now on, behind all others, unless it waits already.
    pub fn start_waiting(&mut self) {
        let mut queues = self.claims.lock();
        let position = queues.next_number();
        let Some(queue) = queues.by_id.get_mut(&self.queue) else { return };
        if !queue.waiting.contains_key(&self.position) {
            self.position = position;
            queue.waiting.insert(position, self.signal.clone());
        }
    }

    /// Whether it was woken to claim since the last call. It then no longer waits.
    pub fn take_wake_up(&mut self) -> bool {
        let is_woken = self.signal.take_wake_up();
        self.is_woken |= is_woken;
        is_woken
    }

    /// Notes that a claim is done. A full one that followed a wake-up wakes the next waiter.
    pub fn claimed(&mut self, size: ClaimSize) {
        let was_woken = std::mem::take(&mut self.is_woken);
        match size {
            ClaimSize::Full if was_woken => self.wake_next(),
            ClaimSize::Full | ClaimSize::Short => {}
        }
    }

    /// Stops waiting. If it has just been woken, the next waiter is woken instead.
    pub fn stop_waiting(&mut self) {
        if let Some(queue) = self.claims.lock().by_id.get_mut(&self.queue) {
            queue.waiting.remove(&self.position);
        }
        if self.signal.take_wake_up() || std::mem::take(&mut self.is_woken) {
            self.wake_next();
        }
    }

    /// Wakes one waiter of the claim queue at `at`, even if others are woken before.
    pub fn retry_at(&self, at: Instant) {
        let mut queues = self.claims.lock();
        let Some(queue) = queues.by_id.get_mut(&self.queue) else { return };
        if queue.retry_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        let before = queue.retry_at.replace(at);
        if let Some(before) = before {
            queues.retries.remove(&(before, self.queue));
        }
        queues.retries.insert((at, self.queue));
        drop(queues);
        self.claims.retry_changed.notify_one();
    }

    fn wake_next(&self) {
        if let Some(queue) = self.claims.lock().by_id.get_mut(&self.queue) {
            queue.wake_first();
        }
    }
}

impl Drop for ClaimWaiter {
    fn drop(&mut self) {
        self.stop_waiting();
        let mut queues = self.claims.lock();
        let Some(queue) = queues.by_id.get_mut(&self.queue) else { return };
        queue.members -= 1;
        if queue.members == 0 {
            queues.remove(self.queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn interest(queues: &[&str]) -> Arc<Interest> {
        let queues = queues.iter().map(|name| QueueName::parse(name).unwrap()).collect();
        let kinds = Arc::new(BTreeSet::from([Kind::parse("resize").unwrap()]));
        Arc::new(Interest { queues, kinds })
    }

    fn waiting(claims: &Arc<WaitingClaims>, queues: &[&str]) -> ClaimWaiter {
        let mut waiter = claims.join(&interest(queues), Arc::default());
        waiter.start_waiting();
        waiter
    }

    fn queue(name: &str) -> QueueName {
        QueueName::parse(name).unwrap()
    }

    #[test]
    fn a_wake_up_wakes_the_longest_waiting_worker_of_each_claim_queue() {
        let claims = Arc::new(WaitingClaims::default());
        let mut mail: Vec<ClaimWaiter> = (0..1_000).map(|_| waiting(&claims, &["mail"])).collect();
        let (mut both, mut web) = (waiting(&claims, &["mail", "web"]), waiting(&claims, &["web"]));
        claims.wake(&queue("mail"));
        let woken: Vec<usize> = (0..1_000).filter(|n| mail[*n].take_wake_up()).collect();
        assert_eq!((woken, both.take_wake_up(), web.take_wake_up()), (vec![0], true, false));
        mail[0].start_waiting();
        claims.wake(&queue("mail"));
        assert!(!mail[0].take_wake_up() && mail[1].take_wake_up());
    }

    #[test]
    fn the_next_worker_is_woken_while_claims_are_full_and_when_the_woken_one_leaves() {
        let claims = Arc::new(WaitingClaims::default());
        let mut waiters: Vec<ClaimWaiter> = (0..5).map(|_| waiting(&claims, &["mail"])).collect();
        claims.wake(&queue("mail"));
        assert!(waiters[0].take_wake_up());
        waiters[0].claimed(ClaimSize::Full);
        drop(waiters.remove(1)); // it has not noticed that it was woken
        assert!(waiters[1].take_wake_up());
        drop(waiters.remove(1)); // it is claiming
        assert!(waiters[1].take_wake_up());
        waiters[1].claimed(ClaimSize::Short);
        assert!(!waiters[2].take_wake_up(), "there are no more jobs");
        waiters[2].stop_waiting();
        claims.wake(&queue("mail"));
        assert!(waiters.iter_mut().all(|waiter| !waiter.take_wake_up()), "nobody waits");
    }

    #[test]
    fn a_waiter_is_woken_again_when_the_rate_of_its_queue_allows_it() {
        let claims = Arc::new(WaitingClaims::default());
        let mut waiter = waiting(&claims, &["mail"]);
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        waiter.retry_at(later(50));
        waiter.retry_at(later(20));
        waiter.retry_at(later(30));
        assert_eq!(claims.next_retry(), Some(later(20)));
        claims.wake_due(later(10));
        assert!(!waiter.take_wake_up());
        claims.wake_due(later(20));
        assert!(waiter.take_wake_up());
        assert_eq!(claims.next_retry(), None);
        waiter.retry_at(later(90));
        drop(waiter);
        let queues = claims.lock();
        assert!(
            queues.by_id.is_empty() && queues.retries.is_empty() && queues.by_job_queue.is_empty()
        );
    }
}
