//! A store that fails temporarily, leases that expire, and loops that die.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::access::{AccessApplied, AccessCommand, AccessTable, Scope};
use crate::job::{Actor, Schedule, Time};
use crate::logging::retry_log::testing::LoggedLines;
use crate::store::{
    AccessError, Claim, Claimed, ControlError, DeclaredKinds, EnqueueError, Extension,
    HistoryTable, JobControlError, KindCommand, KindError, LeaseRef, Note, ScheduleCommand,
    SettleError, Settlement, Snapshot, Storage, Ticked, WorkerNotice, WorkerPlace,
};
use crate::supervise::Part;

/// The memory store with faults that tests switch on.
pub(crate) struct Faulty {
    store: Arc<MemoryStore>,
    /// The number of calls of `settle`, `claim` and `tick` that will still fail with `Unavailable`.
    pub(crate) settles: AtomicUsize,
    claims: AtomicUsize,
    ticks: AtomicUsize,
    /// Whether every extension returns `Lost`.
    lost: AtomicUsize,
    follow: AtomicUsize,
    /// The same for `schedule` and `access`.
    pub(crate) schedules: AtomicUsize,
    pub(crate) accesses: AtomicUsize,
    /// Each answer to a claim of a remote worker takes a permit.
    pub(crate) claim_answers: Semaphore,
    /// Calls of `settle` and `annotate` wait while there are no permits.
    pub(crate) settle_gate: Semaphore,
    pub(crate) annotate_gate: Semaphore,
    /// The number of calls of `get` that will still fail.
    pub(crate) gets: AtomicUsize,
    /// The number of calls of `list` that will still fail.
    pub(crate) lists: AtomicUsize,
    /// Each control takes a permit, so that a test can hold back a bulk run.
    pub(crate) controls: Semaphore,
    pub(crate) bad_controls: AtomicUsize,
    /// The calls of `settle`, `annotate` and `control`, in order.
    pub(crate) calls: Mutex<Vec<&'static str>>,
    /// The calls of `get` and `running`, in order.
    pub(crate) reads: Mutex<Vec<&'static str>>,
}

impl Faulty {
    pub(crate) fn new(store: Arc<MemoryStore>) -> Arc<Faulty> {
        Arc::new(Faulty {
            store,
            settles: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
            ticks: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            follow: AtomicUsize::new(usize::MAX),
            schedules: AtomicUsize::new(0),
            accesses: AtomicUsize::new(0),
            claim_answers: Semaphore::new(1_000),
            settle_gate: Semaphore::new(1),
            annotate_gate: Semaphore::new(1),
            gets: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            controls: Semaphore::new(1_000),
            bad_controls: AtomicUsize::new(0),
            calls: Mutex::default(),
            reads: Mutex::default(),
        })
    }

    pub(crate) fn follow_at_most(&self, batches: usize) {
        self.follow.store(batches, Ordering::SeqCst);
    }
}

fn fault(left: &AtomicUsize) -> Result<(), StoreError> {
    let less = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    less.map_or(Ok(()), |_| Err(StoreError::Unavailable("no space left".into())))
}

#[async_trait]
impl Store for Faulty {
    async fn enqueue_within(
        &self,
        batch: Vec<NewJob>,
        scope: Option<&Scope>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        self.store.enqueue_within(batch, scope).await
    }
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        fault(&self.claims)?;
        let place = claim.place;
        let claimed = self.store.claim(claim).await;
        if place == WorkerPlace::Remote {
            self.claim_answers.acquire().await.unwrap().forget();
        }
        claimed
    }
    async fn extend(
        &self,
        leases: Vec<LeaseRef>,
        ttl: Duration,
    ) -> Result<Vec<Extension>, StoreError> {
        if self.lost.load(Ordering::SeqCst) > 0 {
            return Ok(vec![Extension::Lost; leases.len()]);
        }
        self.store.extend(leases, ttl).await
    }
    async fn settle(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<Status, SettleError>>, StoreError> {
        self.calls.lock().unwrap().push("settle");
        drop(self.settle_gate.acquire().await.unwrap());
        fault(&self.settles)?;
        self.store.settle(settlements).await
    }
    async fn annotate(&self, notes: Vec<Note>) -> Result<(), StoreError> {
        self.calls.lock().unwrap().push("annotate");
        drop(self.annotate_gate.acquire().await.unwrap());
        self.store.annotate(notes).await
    }
    async fn control(
        &self,
        control: Control,
        by: Option<Actor>,
    ) -> Result<Vec<(JobId, Result<Status, JobControlError>)>, ControlError> {
        self.calls.lock().unwrap().push("control");
        self.controls.acquire().await.unwrap().forget();
        fault(&self.bad_controls)?;
        self.store.control(control, by).await
    }
    async fn schedule(
        &self,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError> {
        if let Err(error) = fault(&self.schedules) {
            return Err(ScheduleError::Store(error));
        }
        self.store.schedule(command, by).await
    }
    async fn access(
        &self,
        command: AccessCommand,
        by: Option<Actor>,
    ) -> Result<AccessApplied, AccessError> {
        if let Err(error) = fault(&self.accesses) {
            return Err(AccessError::Store(error));
        }
        self.store.access(command, by).await
    }
    async fn kind(&self, command: KindCommand, by: Option<Actor>) -> Result<(), KindError> {
        self.store.kind(command, by).await
    }
    async fn report(&self, notices: Vec<WorkerNotice>) -> Result<(), StoreError> {
        self.store.report(notices).await
    }
    fn kinds(&self) -> watch::Receiver<Arc<DeclaredKinds>> {
        self.store.kinds()
    }
    fn access_table(&self) -> watch::Receiver<Arc<AccessTable>> {
        self.store.access_table()
    }
    async fn schedules(&self) -> Result<(Vec<Schedule>, Cursor), StoreError> {
        self.store.schedules().await
    }
    fn history(&self) -> &dyn HistoryTable {
        self.store.history()
    }
    async fn tick(&self) -> Result<Ticked, StoreError> {
        fault(&self.ticks)?;
        self.store.tick().await
    }
    async fn get(&self, id: JobId) -> Result<(Option<Job>, Cursor), StoreError> {
        fault(&self.gets)?;
        self.reads.lock().unwrap().push("get");
        self.store.get(id).await
    }
    async fn running(&self, ids: Vec<JobId>) -> Result<Vec<Job>, StoreError> {
        self.reads.lock().unwrap().push("running");
        self.store.running(ids).await
    }
    async fn ahead(&self, id: JobId, most: u64) -> Result<Option<u64>, StoreError> {
        self.store.ahead(id, most).await
    }
    async fn list(&self, query: JobQuery) -> Result<Page, StoreError> {
        fault(&self.lists)?;
        self.store.list(query).await
    }
    fn end_searches(&self) {
        self.store.end_searches();
    }
    async fn stats(&self) -> Result<Stats, StoreError> {
        self.store.stats().await
    }
    async fn events(&self, after: Cursor, max: usize) -> Result<Events, StoreError> {
        self.store.events(after, max).await
    }
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.store.snapshot().await
    }
    async fn storage(&self) -> Result<Storage, StoreError> {
        self.store.storage().await
    }
    fn starts(&self) -> Vec<Time> {
        self.store.starts()
    }
    fn head(&self) -> Cursor {
        self.store.head()
    }
    fn follow(&self, capacity: usize) -> mpsc::Receiver<Arc<[Event]>> {
        self.store.follow(capacity.min(self.follow.load(Ordering::SeqCst)))
    }
    fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        self.store.wake(queue)
    }
    fn wake_timer(&self) -> Arc<Notify> {
        self.store.wake_timer()
    }
    fn health(&self) -> Result<(), StoreError> {
        self.store.health()
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

#[tokio::test]
async fn an_end_that_the_store_refuses_is_reported_again_and_its_notes_once() {
    let store = Faulty::new(memory());
    store.settles.store(3, Ordering::SeqCst);
    let registry = one(|context: AttemptContext, _: ()| async move {
        context.log("only once");
        Ok::<_, String>(())
    });
    let shop = open_on(store.clone(), registry, quick());
    let job = shop.run(work()).await;
    assert_eq!((ends(&job), job.log.len()), (vec!["completed".to_owned()], 1));
    let calls = store.calls.lock().unwrap();
    assert_eq!(*calls, ["annotate", "settle", "settle", "settle", "settle"]);
}

#[tokio::test]
async fn claims_and_ticks_that_the_store_refuses_are_tried_again() {
    let store = Faulty::new(memory());
    store.claims.store(2, Ordering::SeqCst);
    store.ticks.store(1, Ordering::SeqCst);
    let registry = one(|context: AttemptContext, _: ()| async move {
        if context.attempt() == 1 { Err("again, please") } else { Ok(()) }
    });
    let shop = open_on(store, registry, quick());
    assert_eq!(shop.run(work()).await.status.state, State::Completed);
}

#[tokio::test]
async fn an_outage_is_one_line_in_the_log_of_each_loop_and_so_is_its_end() {
    let (lines, _guard) = LoggedLines::catch();
    let store = Faulty::new(memory());
    store.claims.store(2, Ordering::SeqCst);
    store.ticks.store(2, Ordering::SeqCst);
    store.settles.store(3, Ordering::SeqCst);
    let shop =
        open_on(store, one(|_: AttemptContext, _: ()| async { Ok::<_, String>(()) }), quick());
    assert_eq!(shop.run(work()).await.status.state, State::Completed);
    for what in ["claiming jobs", "store tick", "settling attempts"] {
        let over = format!("{what} works again");
        let waits = async {
            while lines.having(&over).is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(BOUND, waits).await.unwrap_or_else(|_| panic!("{what}: {:#?}", lines.having("")));
        assert_eq!(lines.having(&over).len(), 1, "{:#?}", lines.having(""));
        let begun = lines.having(&format!("{what} failed, retrying"));
        assert!(begun.len() == 1 && begun[0].contains("no space left"), "{:#?}", lines.having(""));
    }
}

#[tokio::test]
async fn a_lost_lease_ends_its_handler_and_reports_nothing() {
    let store = Faulty::new(memory());
    let stopped = Arc::new(Notify::new());
    let signal = stopped.clone();
    let registry = one(move |context: AttemptContext, _: ()| {
        let signal = signal.clone();
        async move {
            context.cancelled().await;
            signal.notify_one();
            Ok::<_, String>("must not be reported")
        }
    });
    let config = EngineConfig { lease_ttl: Duration::from_millis(600), ..quick() };
    let mut shop = open_on(store.clone(), registry, config);
    let id = shop.submit(work()).await;
    shop.started(id).await;
    store.lost.store(1, Ordering::SeqCst);
    timeout(BOUND, stopped.notified()).await.expect("the handler should be cancelled");
    timeout(BOUND, shop.engine.parts.leases.emptied()).await.unwrap();
    assert!(store.calls.lock().unwrap().is_empty());
    assert_eq!(shop.engine.job(id).await.unwrap().0.unwrap().status.state, State::Running);
}

#[tokio::test]
async fn a_long_attempt_keeps_its_lease_by_heartbeats() {
    let go = Arc::new(Notify::new());
    let gate = go.clone();
    let mut registry = one(move |_: AttemptContext, _: ()| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            Ok::<_, String>(())
        }
    });
    add(&mut registry, "later", |_: AttemptContext, _: ()| async { Ok::<_, String>(()) });
    let config = EngineConfig { lease_ttl: Duration::from_millis(90), ..quick() };
    let mut shop = open_on(memory(), registry, config);
    let long = shop.submit(work()).await;
    shop.started(long).await;
    // A second job, due after more than three lease periods, tells when those have passed.
    let mut later = job("later", "default");
    later.start = Start::After(Duration::from_millis(300));
    let later = once(later);
    let id = later.id;
    shop.engine.parts.store.enqueue(vec![later]).await.unwrap();
    shop.finish(id).await;
    go.notify_one();
    assert_eq!(ends(&shop.finish(long).await), ["completed"]);
}

#[tokio::test]
async fn a_loop_that_panics_or_ends_by_itself_is_a_failure() {
    let shop = open(Registry::default());
    let (failures, may_end) = (&shop.shutdown.failures, CancellationToken::new());
    failures.supervise(Part::Timer, &may_end, async {}).await;
    let failure = timeout(BOUND, shop.engine.failed()).await.unwrap();
    assert_eq!(failure.to_string(), "the timer failed: it ended by itself");
    let report = shop.engine.stop(&stopping::bounds(), async {}).await;
    assert!(!report.clean, "{report:?}");

    let shop = open(Registry::default());
    let failures = &shop.shutdown.failures;
    failures.supervise(Part::Timer, &may_end, async { panic!("oh") }).await;
    let failure = timeout(BOUND, shop.engine.failed()).await.unwrap();
    assert_eq!(failure.why, "it panicked: oh");
}

#[tokio::test]
async fn a_store_that_closes_under_the_engine_is_a_failure() {
    let store = memory();
    let shop = open_on(store.clone(), Registry::default(), quick());
    store.close().await.unwrap();
    timeout(BOUND, shop.engine.failed()).await.expect("it does not fall silent");
}
