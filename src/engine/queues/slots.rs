//! Concurrency limits: one for the process and one for each queue. When queues compete for the last slots of the
//! process, stride scheduling shares them by weight, so that no queue starves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::QueueConfig;

/// The slots of one process.
pub struct Slots {
    table: Mutex<Table>,
}

/// Identifies a queue in [`Slots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueKey(usize);

/// Slots that were granted to a queue and are not in use yet. They are released when this is dropped.
pub struct Permits {
    slots: Arc<Slots>,
    queue: QueueKey,
    count: usize,
}

/// The permission to run one attempt. It is released when this is dropped.
pub struct Slot {
    slots: Arc<Slots>,
    queue: QueueKey,
    /// False once the slot was released together with others.
    held: bool,
}

impl Slots {
    /// Slots with a limit for the whole process.
    pub fn new(max_running: usize) -> Arc<Slots> {
        Arc::new(Slots { table: Mutex::new(Table::new(max_running)) })
    }

    /// Adds a queue.
    pub fn add(&self, config: QueueConfig) -> QueueKey {
        self.lock().add(config)
    }

    /// Changes the limit of a queue. Running attempts continue.
    pub fn set_limit(&self, queue: QueueKey, limit: usize) {
        let mut table = self.lock();
        table.change(queue, |queue| queue.limit = limit);
        table.grant();
    }

    /// How many slots a queue uses, including those that were granted to it for its next claim.
    pub fn used_by(&self, queue: QueueKey) -> usize {
        self.lock().queues[queue.0].running
    }

    /// Waits until the queue may start at least one attempt, and returns up to `max` slots. Only the dispatcher of
    /// the queue may call this. Dropping the future withdraws the request.
    pub async fn acquire(self: &Arc<Self>, queue: QueueKey, max: usize) -> Permits {
        let request = Request { slots: self, queue };
        let changed = {
            let mut table = self.lock();
            table.request(queue, max);
            table.grant();
            table.queues[queue.0].changed.clone()
        };
        loop {
            let count = self.lock().collect(queue);
            if count > 0 {
                drop(request);
                return Permits { slots: self.clone(), queue, count };
            }
            changed.notified().await;
        }
    }

    /// Marks a queue as idle: others get its share, and it does not accumulate one.
    pub fn set_idle(&self, queue: QueueKey) {
        self.lock().set_idle(queue);
    }

    /// Releases many slots at once, so that the next claim is a large one.
    pub fn release_all(&self, slots: impl Iterator<Item = Slot>) {
        let mut table = self.lock();
        for mut slot in slots {
            slot.held = false;
            table.release(slot.queue, 1);
        }
        table.grant();
    }

    fn release(&self, queue: QueueKey, count: usize) {
        let mut table = self.lock();
        table.release(queue, count);
        table.grant();
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permits {
    /// How many attempts may start.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Takes one slot.
    pub fn take(&mut self) -> Option<Slot> {
        self.count = self.count.checked_sub(1)?;
        Some(Slot { slots: self.slots.clone(), queue: self.queue, held: true })
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        if self.count > 0 {
            self.slots.release(self.queue, self.count);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.held {
            self.slots.release(self.queue, 1);
        }
    }
}

/// Withdraws a request, and what was granted but not collected, when it is dropped.
struct Request<'a> {
    slots: &'a Slots,
    queue: QueueKey,
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let mut table = self.slots.lock();
        table.withdraw(self.queue);
        table.grant();
    }
}

/// How far a queue of weight 1 advances for each slot. A queue of weight w advances by a w-th of this.
const STRIDE: u64 = 1 << 16;

struct Table {
    free: usize,
    /// The highest position at which a slot was granted. A queue starts here when no other queue competes.
    furthest: u64,
    queues: Vec<QueueSlots>,
    /// Queues that compete, being neither idle nor at their own limit, ordered by position.
    active: BTreeSet<(u64, usize)>,
    /// The active queues that wait for slots. The one at the lowest position is next.
    waiting: BTreeSet<(u64, usize)>,
}

struct QueueSlots {
    limit: usize,
    running: usize,
    stride: u64,
    position: u64,
    idle: bool,
    requested: usize,
    granted: usize,
    /// Wakes the dispatcher when slots were granted.
    changed: Arc<Notify>,
}

impl Table {
    fn new(max_running: usize) -> Self {
        Table {
            free: max_running.max(1),
            furthest: 0,
            queues: Vec::new(),
            active: BTreeSet::new(),
            waiting: BTreeSet::new(),
        }
    }

    fn add(&mut self, config: QueueConfig) -> QueueKey {
        self.queues.push(QueueSlots {
            limit: config.concurrency.get(),
            running: 0,
            stride: STRIDE / u64::from(config.weight.clamp(1, 1 << 12)),
            position: 0,
            idle: true,
            requested: 0,
            granted: 0,
            changed: Arc::new(Notify::new()),
        });
        QueueKey(self.queues.len() - 1)
    }

    fn request(&mut self, queue: QueueKey, max: usize) {
        self.change(queue, |queue| {
            queue.idle = false;
            queue.requested = max;
        });
    }

    fn set_idle(&mut self, queue: QueueKey) {
        self.change(queue, |queue| queue.idle = true);
    }

    fn release(&mut self, queue: QueueKey, count: usize) {
        self.free += count;
        self.change(queue, |queue| queue.running -= count);
    }

    /// Takes the granted slots and drops the rest of the request.
    fn collect(&mut self, queue: QueueKey) -> usize {
        let count = std::mem::take(&mut self.queues[queue.0].granted);
        if count > 0 {
            self.change(queue, |queue| queue.requested = 0);
        }
        count
    }

    fn withdraw(&mut self, queue: QueueKey) {
        let granted = std::mem::take(&mut self.queues[queue.0].granted);
        self.free += granted;
        self.change(queue, |queue| {
            queue.requested = 0;
            queue.running -= granted;
        });
    }

    /// Grants free slots to waiting queues. A queue that waits alone gets all that it requested; otherwise the
    /// queue at the lowest position gets one slot at a time.
    fn grant(&mut self) {
        while self.free > 0 {
            let Some(&(position, index)) = self.waiting.first() else { return };
            let alone = self.waiting.len() == 1;
            let queue = &self.queues[index];
            let room =
                queue.limit.saturating_sub(queue.running).min(queue.requested - queue.granted);
            let count = if alone { room.min(self.free) } else { 1 };
            self.free -= count;
            self.furthest = self.furthest.max(position);
            self.change(QueueKey(index), |queue| {
                queue.granted += count;
                queue.running += count;
                queue.position += queue.stride * count as u64;
                queue.changed.notify_one();
            });
        }
    }

    /// Changes a queue and updates both sets. A queue that begins to compete starts at the position of the
    /// others, because an unused share is not saved up.
    fn change(&mut self, QueueKey(index): QueueKey, change: impl FnOnce(&mut QueueSlots)) {
        let queue = &mut self.queues[index];
        let was_active = self.active.remove(&(queue.position, index));
        self.waiting.remove(&(queue.position, index));
        change(queue);
        if queue.idle || queue.running >= queue.limit {
            return;
        }
        if !was_active {
            let others = self.active.first().map_or(self.furthest, |&(position, _)| position);
            queue.position = queue.position.max(others);
        }
        self.active.insert((queue.position, index));
        if queue.granted < queue.requested {
            self.waiting.insert((queue.position, index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Concurrency;

    fn config(concurrency: i64, weight: u32) -> QueueConfig {
        let concurrency = Concurrency::clamped(concurrency);
        QueueConfig { concurrency, limit: None, weight, rate_limit: None }
    }

    /// Starts `rounds` attempts one after the other on one slot; every queue always wants more.
    fn compete(table: &mut Table, queues: &[QueueKey], rounds: usize) -> Vec<usize> {
        let mut starts = vec![0; queues.len()];
        for _ in 0..rounds {
            for queue in queues {
                table.request(*queue, 8);
            }
            table.grant();
            for (count, queue) in starts.iter_mut().zip(queues) {
                let got = table.collect(*queue);
                *count += got;
                table.release(*queue, got);
            }
        }
        starts
    }

    #[test]
    fn a_queue_alone_gets_all_it_may() {
        let mut table = Table::new(100);
        let queue = table.add(config(64, 1));
        table.request(queue, 1_000);
        table.grant();
        assert_eq!(table.collect(queue), 64);
        table.request(queue, 1_000);
        table.grant();
        assert_eq!(table.collect(queue), 0);
        table.release(queue, 3);
        table.grant();
        assert_eq!((table.collect(queue), table.free), (3, 36));
    }

    #[test]
    fn competing_queues_share_by_weight_and_nobody_starves() {
        let mut table = Table::new(1);
        let queues = [1, 3, 6].map(|weight| table.add(config(10, weight)));
        for queue in queues {
            table.request(queue, 1);
        }
        let starts = compete(&mut table, &queues, 1_000);
        for (got, share) in starts.iter().zip([100, 300, 600]) {
            assert!(got.abs_diff(share) <= 3, "{starts:?}");
        }
    }

    #[test]
    fn a_queue_that_rested_has_saved_up_nothing() {
        let mut table = Table::new(1);
        let (busy, late) = (table.add(config(10, 1)), table.add(config(10, 1)));
        compete(&mut table, &[busy], 1_000);
        let starts = compete(&mut table, &[busy, late], 100);
        assert!(starts[0].abs_diff(50) <= 2, "{starts:?}");
    }

    #[test]
    fn a_queue_held_by_its_own_limit_has_saved_up_nothing() {
        let mut table = Table::new(2);
        let (slow, busy) = (table.add(config(1, 1)), table.add(config(10, 1)));
        table.request(slow, 1);
        table.grant();
        assert_eq!(table.collect(slow), 1);
        table.request(slow, 1);
        compete(&mut table, &[busy], 1_000);
        table.withdraw(slow);
        table.release(slow, 1);
        table.free = 1;
        let starts = compete(&mut table, &[slow, busy], 100);
        assert!(starts[0].abs_diff(50) <= 2, "{starts:?}");
    }

    #[test]
    fn a_limit_that_is_lowered_lets_run_what_runs_and_one_that_is_raised_is_used_at_once() {
        let slots = Slots::new(100);
        let queue = slots.add(config(10, 1));
        let mut table = slots.lock();
        table.request(queue, 1_000);
        table.grant();
        assert_eq!(table.collect(queue), 10);
        table.request(queue, 1_000);
        drop(table);
        slots.set_limit(queue, 3);
        let mut table = slots.lock();
        table.release(queue, 7);
        table.grant();
        assert_eq!((table.collect(queue), table.queues[queue.0].running), (0, 3));
        table.release(queue, 1);
        table.grant();
        assert_eq!(table.collect(queue), 1);
        table.request(queue, 1_000);
        drop(table);
        slots.set_limit(queue, 5);
        assert_eq!(slots.lock().collect(queue), 2);
        slots.set_limit(queue, 0);
        let mut table = slots.lock();
        table.release(queue, 5);
        table.request(queue, 1);
        table.grant();
        assert_eq!((table.collect(queue), table.free), (0, 100));
    }

    #[tokio::test]
    async fn a_withdrawn_request_takes_no_slot() {
        let slots = Slots::new(1);
        let (a, b) = (slots.add(config(1, 1)), slots.add(config(1, 1)));
        let held = slots.acquire(a, 1).await;
        {
            let request = slots.acquire(b, 1);
            tokio::pin!(request);
            assert!(futures_util::poll!(request.as_mut()).is_pending());
            drop(held); // grants the slot to `b`, which leaves without collecting it
        }
        assert_eq!(slots.lock().free, 1);
        assert_eq!(slots.acquire(a, 1).await.count(), 1);
    }

    #[tokio::test]
    async fn slots_given_back_together_are_granted_together() {
        let slots = Slots::new(64);
        let queue = slots.add(config(64, 1));
        let mut permits = slots.acquire(queue, 64).await;
        let taken: Vec<Slot> = std::iter::from_fn(|| permits.take()).collect();
        assert_eq!(taken.len(), 64);
        let request = slots.acquire(queue, 1_024);
        tokio::pin!(request);
        assert!(futures_util::poll!(request.as_mut()).is_pending());
        slots.release_all(taken.into_iter());
        assert_eq!(request.await.count(), 64);
    }
}
