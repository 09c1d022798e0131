//! The reference store: everything is in maps behind one lock, and lost with the process. It prefers plain code to
//! speed, because every other store is compared with it.

mod access;
mod attempts;
mod content;
mod control;
mod enqueue;
mod history;
mod kinds;
mod read;
mod schedules;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;
mod time;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use self::content::Content;
use super::kinds::DeclaredKinds;
use super::search::{ActiveReads, Budget};
use super::{
    AccessError, Claim, Claimed, Control, ControlError, EnqueueError, Enqueued, Events, Extension,
    HistoryTable, JobControlError, KindCommand, KindError, LeaseRef, Note, Page, ScheduleCommand,
    ScheduleError, SettleError, Settlement, Snapshot, Stats, Storage, Store, StoreError,
    StoreLimits, Ticked, WorkerNotice, remember_start,
};
use crate::access::{AccessApplied, AccessCommand, AccessTable, Scope};
use crate::clock::Clock;
use crate::job::{
    Actor, Cursor, Event, Fact, Job, JobId, JobQuery, Matcher, NewJob, QueueChange, QueueName,
    Schedule, Status, Time,
};

/// Keeps everything in memory.
pub struct MemoryStore {
    /// The only source of time, so that tests can set it.
    clock: Arc<dyn Clock>,
    /// Shared with the threads that search.
    inner: Arc<Mutex<Inner>>,
    limits: StoreLimits,
    /// A permit for each search that may run at once.
    searchers: Semaphore,
    searches: Arc<ActiveReads>,
    /// The table that readers have.
    access: watch::Sender<Arc<AccessTable>>,
    /// The declared kinds that readers have.
    kinds: watch::Sender<Arc<DeclaredKinds>>,
    /// What a test makes of the nodes; there are none.
    #[cfg(test)]
    nodes: Mutex<Vec<super::NodeReport>>,
}

struct Inner {
    content: Content,
    signals: StoreSignals,
    /// Set by `close`, and checked by every verb.
    closed: bool,
}

/// The followers, and the loops to wake.
#[derive(Default)]
struct StoreSignals {
    followers: Vec<mpsc::Sender<Arc<[Event]>>>,
    wakes: BTreeMap<QueueName, Arc<Notify>>,
    timer: Arc<Notify>,
    /// When the next tick is due. An earlier timer has to wake the timer loop.
    expected: Option<Time>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: StoreLimits, clock: Arc<dyn Clock>) -> Arc<MemoryStore> {
        MemoryStore::with(Content::new(limits), clock)
    }

    /// Sets the nodes that it shows.
    #[cfg(test)]
    pub fn set_nodes(&self, nodes: Vec<super::NodeReport>) {
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    /// A store with the same content, as the next process finds it after this one has ended: jobs that it was running
    /// are rescued.
    pub fn restarted(&self) -> Arc<MemoryStore> {
        let mut content = self.lock().content.clone();
        content.end_process(self.clock.now(), self.clock.steady());
        content.restore_limits(self.clock.now(), self.clock.steady());
        content.correct_times(self.clock.now());
        content.schedules.reconsider(self.clock.now());
        content.take_fresh(); // there are no followers yet
        MemoryStore::with(content, self.clock.clone())
    }

    fn with(mut content: Content, clock: Arc<dyn Clock>) -> Arc<MemoryStore> {
        remember_start(&mut content.starts, clock.now());
        let limits = content.limits.clone();
        let access = watch::Sender::new(content.access.clone());
        let kinds = watch::Sender::new(content.kinds.clone());
        let inner = Inner { content, signals: StoreSignals::default(), closed: false };
        Arc::new(MemoryStore {
            clock,
            inner: Arc::new(Mutex::new(inner)),
            searchers: Semaphore::new(limits.search_readers.max(1)),
            limits,
            searches: Arc::default(),
            access,
            kinds,
            #[cfg(test)]
            nodes: Mutex::default(),
        })
    }

    /// Searches records on a thread of its own, in turns. The lock is free between two turns.
    async fn search(&self, query: JobQuery, budget: Budget) -> Result<Page, StoreError> {
        let _turn = self.searchers.acquire().await.map_err(|_| StoreError::Closed)?;
        let inner = self.inner.clone();
        let search = tokio::task::spawn_blocking(move || {
            let mut matcher = Matcher::new(&query);
            let mut page = Page::begin(open(&inner)?.content.head());
            loop {
                let inner = open(&inner)?;
                let is_done = inner.content.list(&query, &mut page, &mut matcher, &budget);
                if is_done || budget.is_spent() || budget.is_abandoned() {
                    return Ok(page);
                }
            }
        });
        search.await.unwrap_or_else(|error| Err(StoreError::Corrupt(error.to_string())))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Locks the store, unless it is closed.
    fn open(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        open(&self.inner)
    }

    /// Executes one verb and publishes its events.
    fn write<T>(&self, verb: impl FnOnce(&mut Content, Time) -> T) -> Result<T, StoreError> {
        let mut inner = self.open()?;
        let Inner { content, signals, .. } = &mut *inner;
        let answer = verb(content, self.clock.now());
        signals.tell(content, self.clock.now(), self.clock.steady());
        Ok(answer)
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(inner: &Mutex<Inner>) -> Result<MutexGuard<'_, Inner>, StoreError> {
    let inner = lock(inner);
    if inner.closed { Err(StoreError::Closed) } else { Ok(inner) }
}

impl StoreSignals {
    fn tell(&mut self, content: &mut Content, now: Time, steady: Time) {
        let fresh = content.take_fresh();
        for event in fresh.iter() {
            match &event.fact {
                Fact::Job { id, labels, .. } => {
                    if content.is_available(*id) || content.has_freed_slot(*id, &labels.queue) {
                        self.wake(&labels.queue).notify_one();
                    }
                    self.expect(content.timer_of(*id, now, steady));
                }
                Fact::Queue {
                    queue,
                    change:
                        QueueChange::Resumed
                        | QueueChange::ConcurrencySet { .. }
                        | QueueChange::RateLimitSet { .. },
                } => self.wake(queue).notify_one(),
                Fact::Queue { change: QueueChange::Paused, .. } => {}
                Fact::Schedule { .. } => self.expect(content.schedules.timer()),
                Fact::Access { .. } | Fact::Kind { .. } | Fact::Worker { .. } => {}
            }
        }
        if !fresh.is_empty() && !self.followers.is_empty() {
            let fresh: Arc<[Event]> = fresh.iter().cloned().map(Event::without_content).collect();
            self.followers.retain(|follower| match follower.try_send(fresh.clone()) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => true,
                Err(mpsc::error::TrySendError::Closed(_)) => false,
            });
        }
    }

    /// Wakes the timer loop when `timer` ends before the next tick.
    fn expect(&mut self, timer: Option<Time>) {
        let Some(timer) = timer else { return };
        if self.expected.is_none_or(|expected| timer < expected) {
            self.expected = Some(timer);
            self.timer.notify_one();
        }
    }

    fn wake(&mut self, queue: &QueueName) -> Arc<Notify> {
        self.wakes.entry(queue.clone()).or_default().clone()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn enqueue_within(
        &self,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.write(|content, now| content.enqueue(now, batch, scope))?
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let steady = self.clock.steady();
        self.write(|content, now| content.claim(now, steady, &claim))
    }

    async fn extend(
        &self,
        leases: Vec<LeaseRef>,
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError> {
        let mut inner = self.open()?;
        let expires = self.clock.steady().after(ttl);
        let answers = leases.iter().map(|lease| inner.content.extend(*lease, expires)).collect();
        let ends = self.clock.now().after(ttl);
        inner.signals.expect((!leases.is_empty()).then_some(ends));
        Ok(answers)
    }

    async fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError> {
        self.write(|content, now| {
            settlements.into_iter().map(|settlement| content.settle(now, settlement)).collect()
        })
    }

    async fn annotate(&self, notes: Vec<Note>) -> Result<(), StoreError> {
        self.write(|content, now| {
            for note in notes {
                content.annotate(now, note);
            }
        })
    }

    async fn control(
        &self,
        control: Control,
        by: Option<Actor>,
    ) -> Result<Vec<(JobId, Result<Status, JobControlError>)>, ControlError> {
        self.write(|content, now| {
            content.in_the_name_of(by, |content| content.control(now, control))
        })?
    }

    async fn schedule(
        &self,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError> {
        self.write(|content, now| content.schedule(now, command, by))?
    }

    async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError> {
        let inner = self.open()?;
        Ok((inner.content.schedules.0.values().cloned().collect(), inner.content.head()))
    }

    async fn report(&self, notices: Vec<WorkerNotice>) -> Result<(), StoreError> {
        self.write(|content, now| {
            for notice in notices {
                let (fact, by) = notice.into_fact();
                content.in_the_name_of(by, |content| content.append(now, fact));
            }
        })
    }

    async fn kind(&self, command: KindCommand, by: Option<Actor>) -> Result<(), KindError> {
        self.write(|content, now| {
            content.change_kinds(now, command, by)?;
            self.kinds.send_replace(content.kinds.clone());
            Ok(())
        })?
    }

    fn kinds(&self) -> watch::Receiver<Arc<DeclaredKinds>> {
        self.kinds.subscribe()
    }

    async fn access(
        &self,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError> {
        self.write(|content, now| {
            let applied = content.change_access(now, command, by)?;
            self.access.send_replace(content.access.clone());
            Ok(applied)
        })?
    }

    fn access_table(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.access.subscribe()
    }

    fn history(&self) -> &dyn HistoryTable {
        self
    }

    async fn tick(&self) -> Result<Ticked, StoreError> {
        let mut inner = self.open()?;
        let Inner { content, signals, .. } = &mut *inner;
        let ticked = content.tick(self.clock.now(), self.clock.steady());
        signals.tell(content, self.clock.now(), self.clock.steady());
        signals.expected = ticked.next;
        Ok(ticked)
    }

    async fn get(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError> {
        let inner = self.open()?;
        Ok((inner.content.job(id).cloned(), inner.content.head()))
    }

    async fn ahead(&self, id: JobId, most: u64) -> Result<Option<u64>, StoreError> {
        Ok(self.open()?.content.ahead(id, most))
    }

    async fn list(&self, query: JobQuery) -> Result<Page, StoreError> {
        let (budget, _caller) = Budget::new(&self.clock, &self.limits, &self.searches);
        if !query.terms.is_empty() {
            return self.search(query, budget).await;
        }
        let inner = self.open()?;
        let mut page = Page::begin(inner.content.head());
        inner.content.list(&query, &mut page, &mut Matcher::new(&query), &budget);
        Ok(page)
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        let steady = self.clock.steady();
        Ok(self.open()?.content.stats(steady))
    }

    async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError> {
        Ok(self.open()?.content.events(after, max))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let at = self.clock.now();
        Ok(Box::new(self.open()?.content.snapshot(at)))
    }

    async fn storage(&self) -> Result<Storage, StoreError> {
        let searches = self.searches.count();
        self.open().map(|_| Storage { searches, ..Storage::default() })
    }

    fn starts(&self) -> Vec<Time> {
        self.lock().content.starts.clone()
    }

    #[cfg(test)]
    fn nodes(&self) -> Vec<super::NodeReport> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn head(&self) -> Cursor {
        self.lock().content.head()
    }

    fn follow(&self, capacity: usize) -> mpsc::Receiver<Arc<[Event]>> {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let mut inner = self.lock();
        if !inner.closed {
            inner.signals.followers.push(sender);
        }
        receiver
    }

    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        self.lock().signals.wake(queue)
    }

    fn wake_timer(&self) -> Arc<Notify> {
        self.lock().signals.timer.clone()
    }

    fn end_searches(&self) {
        self.searches.end(self.clock.steady());
    }

    fn health(&self) -> Result<(), StoreError> {
        self.open().map(drop)
    }

    async fn close(&self) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.closed = true;
        inner.signals.followers.clear(); // each follower reads what is queued and then the end
        Ok(())
    }
}
