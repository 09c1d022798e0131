//! Claims that wait for jobs. Those with the same queues and kinds form one first-in, first-out queue of waiters, here
//! called a line. When a job queue has jobs, one waiter of each line that takes from it is woken (it has its turn), so
//! that ten thousand idle workers cost no more than one.
//!
//! A worker starts to wait before it claims, so that no wake-up between the two is lost. A worker that is woken claims
//! again. When it gets as many jobs as it asked for, there may be more, so it wakes the next waiter of its line.

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
    /// Whether the worker was woken to claim.
    has_turn: AtomicBool,
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

    fn give_turn(&self) {
        self.has_turn.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    fn take_turn(&self) -> bool {
        self.has_turn.swap(false, Ordering::AcqRel)
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
    lines: Mutex<ClaimLines>,
    /// Notified when [`WaitingClaims::next_retry`] is earlier than before.
    retry_changed: Notify,
}

#[derive(Debug, Default)]
struct ClaimLines {
    by_id: HashMap<u64, ClaimLine>,
    ids: HashMap<Arc<Interest>, u64>,
    /// The lines whose workers take jobs from a queue.
    of_queue: HashMap<QueueName, BTreeSet<u64>>,
    /// When a waiter of each line is woken although its queues have not been.
    retries: BTreeSet<(Instant, u64)>,
    /// The number that was given last, to a line or to a waiter.
    next: u64,
}

/// The claims with one interest.
#[derive(Debug)]
struct ClaimLine {
    interest: Arc<Interest>,
    /// The workers that wait, in the order in which they began to wait.
    waiting: BTreeMap<u64, Arc<Signal>>,
    /// The number of places in the line, whether their workers wait or not.
    places: usize,
    retry_at: Option<Instant>,
}

impl WaitingClaims {
    /// The same interest, as the workers that have it already share it.
    pub fn shared(&self, interest: Arc<Interest>) -> Arc<Interest> {
        let known = self.lock().ids.get_key_value(&interest).map(|(known, _)| known.clone());
        known.unwrap_or(interest)
    }

    /// Adds a worker to the line of those with the same interest. The worker does not wait yet.
    pub fn place(self: &Arc<Self>, interest: &Arc<Interest>, signal: Arc<Signal>) -> LinePlace {
        let mut lines = self.lock();
        let found = lines.ids.get_key_value(interest).map(|(shared, id)| (shared.clone(), *id));
        let (interest, line) =
            found.unwrap_or_else(|| (interest.clone(), lines.add(interest.clone())));
        if let Some(line) = lines.by_id.get_mut(&line) {
            line.places += 1;
        }
        LinePlace { claims: self.clone(), line, interest, number: 0, signal, has_turn: false }
    }

    /// Wakes one waiter of each line that takes jobs from a queue.
    pub fn wake(&self, queue: &QueueName) {
        let mut lines = self.lock();
        let ClaimLines { by_id, of_queue, .. } = &mut *lines;
        for line in of_queue.get(queue).into_iter().flatten() {
            if let Some(line) = by_id.get_mut(line) {
                line.give_turn();
            }
        }
    }

    /// Wakes one waiter of every line, in case a wake-up was lost.
    pub fn wake_all(&self) {
        self.lock().by_id.values_mut().for_each(ClaimLine::give_turn);
    }

    /// The number of claims that wait.
    pub fn count(&self) -> usize {
        self.lock().by_id.values().map(|line| line.waiting.len()).sum()
    }

    /// When the next line has its turn although no queue wakes it.
    pub fn next_retry(&self) -> Option<Instant> {
        self.lock().retries.first().map(|(at, _)| *at)
    }

    /// Wakes one waiter of each line whose time to retry has come.
    pub fn wake_due(&self, now: Instant) {
        let mut lines = self.lock();
        while let Some((at, line)) = lines.retries.first().copied().filter(|(at, _)| *at <= now) {
            lines.retries.remove(&(at, line));
            if let Some(line) = lines.by_id.get_mut(&line) {
                line.retry_at = None;
                line.give_turn();
            }
        }
    }

    /// Resolves when [`WaitingClaims::next_retry`] is earlier than before.
    pub async fn retry_changed(&self) {
        self.retry_changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, ClaimLines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClaimLines {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn add(&mut self, interest: Arc<Interest>) -> u64 {
        let id = self.number();
        for queue in &interest.queues {
            self.of_queue.entry(queue.clone()).or_default().insert(id);
        }
        self.ids.insert(interest.clone(), id);
        let line = ClaimLine { interest, waiting: BTreeMap::new(), places: 0, retry_at: None };
        self.by_id.insert(id, line);
        id
    }

    fn remove(&mut self, id: u64) {
        let Some(line) = self.by_id.remove(&id) else { return };
        self.ids.remove(&line.interest);
        for queue in &line.interest.queues {
            if let Some(of_queue) = self.of_queue.get_mut(queue) {
                of_queue.remove(&id);
                if of_queue.is_empty() {
                    self.of_queue.remove(queue);
                }
            }
        }
        if let Some(at) = line.retry_at {
            self.retries.remove(&(at, id));
        }
    }
}

impl ClaimLine {
    /// Wakes the worker that has waited longest.
    fn give_turn(&mut self) {
        if let Some((_, signal)) = self.waiting.pop_first() {
            signal.give_turn();
        }
    }
}

/// A worker's membership in a line. When this is dropped, the worker leaves the line; if it was woken and has not
/// claimed since, the next waiter is woken instead.
#[derive(Debug)]
pub struct LinePlace {
    claims: Arc<WaitingClaims>,
    line: u64,
    interest: Arc<Interest>,
    /// Its number among those that wait, when it lined up last.
    number: u64,
    signal: Arc<Signal>,
    /// Whether it claims because it was woken.
    has_turn: bool,
}

impl LinePlace {
    /// What the claims of the line ask for. All places of a line share it, so that ten thousand workers of a kind do not
    /// keep ten thousand lists.
    pub fn interest(&self) -> &Arc<Interest> {
        &self.interest
    }

    /// Waits for a turn from now on, behind all others, unless it waits already.
    pub fn line_up(&mut self) {
        let mut lines = self.claims.lock();
        let number = lines.number();
        let Some(line) = lines.by_id.get_mut(&self.line) else { return };
        if !line.waiting.contains_key(&self.number) {
            self.number = number;
            line.waiting.insert(number, self.signal.clone());
        }
    }

    /// Whether it was woken to claim. It then no longer waits.
    pub fn take_turn(&mut self) -> bool {
        let turn = self.signal.take_turn();
        self.has_turn |= turn;
        turn
    }

    /// Notes that a claim is done. A full one that followed a wake-up wakes the next waiter.
    pub fn claimed(&mut self, size: ClaimSize) {
        let had_turn = std::mem::take(&mut self.has_turn);
        match size {
            ClaimSize::Full if had_turn => self.pass_on(),
            ClaimSize::Full | ClaimSize::Short => {}
        }
    }

    /// Stops waiting. If it has just been woken, the next waiter is woken instead.
    pub fn step_out(&mut self) {
        if let Some(line) = self.claims.lock().by_id.get_mut(&self.line) {
            line.waiting.remove(&self.number);
        }
        if self.signal.take_turn() || std::mem::take(&mut self.has_turn) {
            self.pass_on();
        }
    }

    /// Wakes one waiter of the line at `at`, even if others are woken before.
    pub fn retry_at(&self, at: Instant) {
        let mut lines = self.claims.lock();
        let Some(line) = lines.by_id.get_mut(&self.line) else { return };
        if line.retry_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        let before = line.retry_at.replace(at);
        if let Some(before) = before {
            lines.retries.remove(&(before, self.line));
        }
        lines.retries.insert((at, self.line));
        drop(lines);
        self.claims.retry_changed.notify_one();
    }

    fn pass_on(&self) {
        if let Some(line) = self.claims.lock().by_id.get_mut(&self.line) {
            line.give_turn();
        }
    }
}

impl Drop for LinePlace {
    fn drop(&mut self) {
        self.step_out();
        let mut lines = self.claims.lock();
        let Some(line) = lines.by_id.get_mut(&self.line) else { return };
        line.places -= 1;
        if line.places == 0 {
            lines.remove(self.line);
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

    fn waiting(claims: &Arc<WaitingClaims>, queues: &[&str]) -> LinePlace {
        let mut place = claims.place(&interest(queues), Arc::default());
        place.line_up();
        place
    }

    fn queue(name: &str) -> QueueName {
        QueueName::parse(name).unwrap()
    }

    #[test]
    fn a_wake_up_gives_each_line_one_turn_and_the_longest_waiting_worker_has_it() {
        let claims = Arc::new(WaitingClaims::default());
        let mut mail: Vec<LinePlace> = (0..1_000).map(|_| waiting(&claims, &["mail"])).collect();
        let (mut both, mut web) = (waiting(&claims, &["mail", "web"]), waiting(&claims, &["web"]));
        claims.wake(&queue("mail"));
        let turns: Vec<usize> = (0..1_000).filter(|n| mail[*n].take_turn()).collect();
        assert_eq!((turns, both.take_turn(), web.take_turn()), (vec![0], true, false));
        mail[0].line_up();
        claims.wake(&queue("mail"));
        assert!(!mail[0].take_turn() && mail[1].take_turn());
    }

    #[test]
    fn a_turn_goes_on_while_claims_are_full_and_when_its_worker_leaves() {
        let claims = Arc::new(WaitingClaims::default());
        let mut line: Vec<LinePlace> = (0..5).map(|_| waiting(&claims, &["mail"])).collect();
        claims.wake(&queue("mail"));
        assert!(line[0].take_turn());
        line[0].claimed(ClaimSize::Full);
        drop(line.remove(1)); // it has not noticed its turn
        assert!(line[1].take_turn());
        drop(line.remove(1)); // it is claiming
        assert!(line[1].take_turn());
        line[1].claimed(ClaimSize::Short);
        assert!(!line[2].take_turn(), "there are no more jobs");
        line[2].step_out();
        claims.wake(&queue("mail"));
        assert!(line.iter_mut().all(|place| !place.take_turn()), "nobody waits");
    }

    #[test]
    fn a_line_is_served_again_when_its_rate_allows_it() {
        let claims = Arc::new(WaitingClaims::default());
        let mut place = waiting(&claims, &["mail"]);
        let now = Instant::now();
        let later = |ms| now + Duration::from_millis(ms);
        place.retry_at(later(50));
        place.retry_at(later(20));
        place.retry_at(later(30));
        assert_eq!(claims.next_retry(), Some(later(20)));
        claims.wake_due(later(10));
        assert!(!place.take_turn());
        claims.wake_due(later(20));
        assert!(place.take_turn());
        assert_eq!(claims.next_retry(), None);
        place.retry_at(later(90));
        drop(place);
        let lines = claims.lock();
        assert!(lines.by_id.is_empty() && lines.retries.is_empty() && lines.of_queue.is_empty());
    }
}
