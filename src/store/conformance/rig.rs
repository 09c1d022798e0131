//! The test rig of the rules: a store with its harness, and a short method for each step of a rule.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Harness;
use crate::clock::{Clock, ManualClock};
use crate::job::{
    Concurrency, Cursor, Event, EventType, Fact, Failure, FailureClass, Job, JobId, JobQuery, Json,
    Kind, LogLine, NewJob, QueueChange, QueueName, QueueSettings, RateLimit, RateRule, State,
    Status, Stream, Time, Verdict, WorkerName,
};
use crate::store::{
    AccessError, Claim, Control, ControlError, EnqueueError, Enqueued, Events, Extension,
    JobControlError, Lease, Note, ScheduleError, SettleError, Settlement, Stats, Store, StoreError,
    StoreLimits, Ticked, WorkerPlace,
};

/// The length of the leases that [`Rig::claim`] takes.
pub(crate) const TTL: Duration = secs(30);

/// A store under test.
pub(crate) struct Rig<H> {
    pub(crate) harness: H,
    pub(crate) store: Arc<dyn Store>,
}

pub(crate) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(crate) fn queue(name: &str) -> QueueName {
    QueueName::parse(name).unwrap()
}

pub(crate) fn kinds(names: &[&str]) -> Arc<BTreeSet<Kind>> {
    Arc::new(names.iter().map(|name| Kind::parse(name).unwrap()).collect())
}

/// The kinds of all jobs in the rules.
fn every_kind() -> Arc<BTreeSet<Kind>> {
    kinds(&["echo", "sleep", "http", "send", "k1", "k2", "even", "odd"])
}

pub(crate) fn lines(texts: &[&str]) -> Vec<LogLine> {
    let line = |text: &&str| LogLine {
        at: Time::from_millis(7),
        stream: Stream::Log,
        text: (*text).into(),
    };
    texts.iter().map(line).collect()
}

/// A limit of `starts` attempts per minute; 0 means no limit.
pub(crate) fn per_minute(starts: u32) -> RateRule {
    match starts {
        0 => RateRule::Unlimited,
        _ => RateRule::Limit(RateLimit { starts, within: secs(60) }),
    }
}

impl<H: Harness> Rig<H> {
    /// What is set for a queue.
    pub(crate) async fn settings(&self, name: &str) -> QueueSettings {
        self.stats().await.queues.get(&queue(name)).map(|stats| stats.settings).unwrap_or_default()
    }

    pub(crate) async fn set_concurrency(&self, name: &str, concurrency: Option<u32>) {
        let concurrency = concurrency.map(|number| Concurrency::clamped(number.into()));
        let change = QueueChange::ConcurrencySet { concurrency };
        let control = Control::SetQueue(queue(name), change);
        assert_eq!(self.store.control(control, None).await.unwrap(), []);
    }

    pub(crate) async fn set_rate_limit(&self, name: &str, rate_limit: Option<RateRule>) {
        let change = QueueChange::RateLimitSet { rate_limit };
        let control = Control::SetQueue(queue(name), change);
        assert_eq!(self.store.control(control, None).await.unwrap(), []);
    }

    pub(crate) async fn open(harness: H) -> Self {
        Rig::open_with(harness, StoreLimits::default()).await
    }

    pub(crate) async fn open_with(mut harness: H, limits: StoreLimits) -> Self {
        let store = harness.open(limits).await;
        Rig { harness, store }
    }

    /// Closes the store in an orderly way and opens it again.
    pub(crate) async fn reopen(mut self) -> Self {
        let store = self.harness.reopen(self.store).await;
        Rig { store, ..self }
    }

    /// Waits until every answered change is durable, crashes the store, and opens it again.
    pub(crate) async fn crash(mut self) -> Self {
        self.log().await;
        let store = self.harness.crash(self.store).await;
        Rig { store, ..self }
    }

    pub(crate) fn now(&self) -> Time {
        self.harness.clock().now()
    }

    pub(crate) fn clock(&self) -> &ManualClock {
        self.harness.clock()
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.harness.clock().advance(time);
    }

    /// Enqueues a job that must be new.
    pub(crate) async fn add(&self, job: impl Into<NewJob>) -> Job {
        match self.store.enqueue(vec![job.into()]).await.unwrap().remove(0) {
            Enqueued::New(job) => job,
            Enqueued::Existing(job) => panic!("job {} already exists", job.id),
        }
    }

    /// Enqueues a job that must not be new, and returns the existing one.
    pub(crate) async fn add_existing(&self, job: impl Into<NewJob>) -> Job {
        match self.store.enqueue(vec![job.into()]).await.unwrap().remove(0) {
            Enqueued::New(job) => panic!("{} is new", job.id),
            Enqueued::Existing(job) => job,
        }
    }

    /// A claim of up to `max` jobs from the default queue.
    pub(crate) fn claim_request(&self, max: usize) -> Claim {
        let worker = WorkerName::parse("w1").unwrap();
        let (queues, kinds) = (vec![QueueName::default()], every_kind());
        Claim { queues, kinds, max, worker, place: WorkerPlace::InProcess, ttl: TTL }
    }

    pub(crate) async fn claim(&self, max: usize) -> Vec<Lease> {
        self.store.claim(self.claim_request(max)).await.unwrap().leases
    }

    pub(crate) async fn claim_from(&self, name: &str, max: usize) -> Vec<Lease> {
        let queues = vec![queue(name)];
        self.store.claim(Claim { queues, ..self.claim_request(max) }).await.unwrap().leases
    }

    /// Claims exactly one job.
    pub(crate) async fn claim_one(&self) -> Lease {
        self.claim(1).await.pop().expect("a job should be available")
    }

    /// Enqueues a job and claims it.
    pub(crate) async fn start(&self, job: impl Into<NewJob>) -> Lease {
        let job = self.add(job).await;
        let queues = vec![job.labels.queue.clone()];
        let request = Claim { queues, ..self.claim_request(1) };
        let lease = self.store.claim(request).await.unwrap().leases.pop().expect("a job to claim");
        assert_eq!(lease.job.id, job.id, "another job was claimed first");
        lease
    }

    pub(crate) async fn settle(
        &self,
        lease: &Lease,
        verdict: Verdict,
    ) -> Result<Status, SettleError> {
        let settlement = Settlement { lease: lease.key(), verdict };
        self.store.settle(vec![settlement]).await.unwrap().remove(0)
    }

    pub(crate) async fn complete(&self, lease: &Lease) -> Status {
        self.settle(lease, completed()).await.unwrap()
    }

    /// Enqueues a job, runs it and completes it.
    pub(crate) async fn finish(&self, job: impl Into<NewJob>) -> JobId {
        let lease = self.start(job).await;
        self.complete(&lease).await;
        lease.job.id
    }

    pub(crate) async fn extend(&self, lease: &Lease, ttl: Duration) -> Extension {
        self.store.extend(vec![lease.key()], ttl).await.unwrap().remove(0)
    }

    pub(crate) async fn note(&self, lease: &Lease, texts: &[&str]) {
        let note = Note { lease: lease.key(), lines: lines(texts), progress: None };
        self.store.annotate(vec![note]).await.unwrap();
    }

    pub(crate) async fn cancel(&self, id: JobId) -> Result<Status, JobControlError> {
        self.control_one(Control::Cancel(vec![id])).await
    }

    pub(crate) async fn retry(&self, id: JobId) -> Result<Status, JobControlError> {
        self.control_one(Control::Retry(vec![id])).await
    }

    pub(crate) async fn delete(&self, id: JobId) -> Result<Status, JobControlError> {
        self.control_one(Control::Delete(vec![id])).await
    }

    pub(crate) async fn move_to(&self, id: JobId, name: &str) -> Result<Status, JobControlError> {
        self.control_one(Control::Move { jobs: vec![id], queue: queue(name) }).await
    }

    pub(crate) async fn reprioritise(&self, id: JobId, to: i16) -> Result<Status, JobControlError> {
        self.control_one(Control::Reprioritise { jobs: vec![id], priority: to }).await
    }

    async fn control_one(&self, control: Control) -> Result<Status, JobControlError> {
        self.store.control(control, None).await.unwrap().remove(0).1
    }

    pub(crate) async fn pause(&self, name: &str) {
        assert_eq!(
            self.store
                .control(Control::SetQueue(queue(name), QueueChange::Paused), None)
                .await
                .unwrap(),
            []
        );
    }

    pub(crate) async fn resume(&self, name: &str) {
        assert_eq!(
            self.store
                .control(Control::SetQueue(queue(name), QueueChange::Resumed), None)
                .await
                .unwrap(),
            []
        );
    }

    pub(crate) async fn tick(&self) -> Ticked {
        self.store.tick().await.unwrap()
    }

    /// Ticks until no more work is due. Returns the sums.
    pub(crate) async fn catch_up(&self) -> Ticked {
        let mut all = Ticked::default();
        for _ in 0..1_000 {
            let ticked = self.tick().await;
            all.fired += ticked.fired;
            all.skipped += ticked.skipped;
            all.due += ticked.due;
            all.rescued += ticked.rescued;
            all.pruned += ticked.pruned;
            all.next = ticked.next;
            if ticked.next.is_none_or(|next| next > self.now()) {
                return all;
            }
        }
        panic!("the ticks never finish: {all:?}")
    }

    pub(crate) async fn find(&self, id: JobId) -> Option<Job> {
        self.store.get(id).await.unwrap().0
    }

    pub(crate) async fn job(&self, id: JobId) -> Job {
        self.find(id).await.expect("the job should be stored")
    }

    pub(crate) async fn state(&self, id: JobId) -> State {
        self.job(id).await.status.state
    }

    pub(crate) async fn stats(&self) -> Stats {
        self.store.stats().await.unwrap()
    }

    /// All jobs that a query finds, read page by page.
    pub(crate) async fn all(&self, mut query: JobQuery) -> Vec<Job> {
        let mut jobs = Vec::new();
        loop {
            let page = self.store.list(query.clone()).await.unwrap();
            assert!(page.jobs.len() <= query.limit, "a page is longer than asked for");
            jobs.extend(page.jobs);
            let Some(next) = page.next else { return jobs };
            assert!(query.after.is_none_or(|after| next.0 < after.0), "the pages do not advance");
            query.after = Some(next);
        }
    }

    /// All stored jobs, newest first.
    pub(crate) async fn jobs(&self) -> Vec<Job> {
        self.all(JobQuery { limit: 100, ..JobQuery::default() }).await
    }

    /// The cursor before the first event.
    pub(crate) fn origin(&self) -> Cursor {
        Cursor { seq: 0, ..self.store.head() }
    }

    /// Waits until every answered change is durable, and returns the whole log.
    pub(crate) async fn log(&self) -> Vec<Event> {
        let oldest = self.stats().await.oldest;
        self.log_after(oldest).await
    }

    pub(crate) async fn log_after(&self, mut after: Cursor) -> Vec<Event> {
        let newest = self.jobs().await.iter().map(|job| job.seq).max().unwrap_or(0);
        self.until_durable(newest).await;
        let mut log = Vec::new();
        loop {
            match self.store.events(after, 1_000).await.unwrap() {
                Events::Some(events) if events.is_empty() => return log,
                Events::Some(events) => {
                    assert!(events[0].seq > after.seq, "the log does not advance");
                    log.extend(events);
                }
                gap @ Events::Gap { .. } => panic!("{after} should be readable: {gap:?}"),
            }
            after = log.last().unwrap().cursor(after);
        }
    }

    /// Waits until an event can be read, because claims and notes are answered before they are durable.
    pub(crate) async fn until_durable(&self, seq: u64) {
        while self.store.head().seq < seq {
            tokio::task::yield_now().await;
        }
    }

    /// The events of one job.
    pub(crate) async fn story(&self, id: JobId) -> Vec<EventType> {
        let log = self.log().await;
        let of_job =
            log.iter().filter(|event| matches!(event.fact, Fact::Job { id: i, .. } if i == id));
        of_job.map(Event::event_type).collect()
    }

    /// The types of all events in the log.
    pub(crate) async fn types(&self) -> Vec<EventType> {
        self.log().await.iter().map(Event::event_type).collect()
    }
}

pub(crate) fn completed() -> Verdict {
    Verdict::Completed { result: Json::parse("{\"n\": 1}").unwrap() }
}

pub(crate) fn failed(retry_in: Duration) -> Verdict {
    Verdict::Failed { failure: failure(), retry_in }
}

pub(crate) fn failure() -> Failure {
    Failure::new(FailureClass::Error, "it broke")
}

/// The error of a verb in a test that gives no reason to refuse the request, so that it can only be an outage.
pub(crate) trait Outage {
    fn outage(self) -> StoreError;
}

impl Outage for StoreError {
    fn outage(self) -> StoreError {
        self
    }
}

impl Outage for EnqueueError {
    fn outage(self) -> StoreError {
        match self {
            EnqueueError::Store(error) => error,
            refused @ (EnqueueError::Full { .. }
            | EnqueueError::TooManyQueues(_)
            | EnqueueError::KeyReused(_)) => {
                panic!("{refused}")
            }
        }
    }
}

impl Outage for ControlError {
    fn outage(self) -> StoreError {
        match self {
            ControlError::Store(error) => error,
            refused @ ControlError::TooManyQueues(_) => panic!("{refused}"),
        }
    }
}

impl Outage for AccessError {
    fn outage(self) -> StoreError {
        match self {
            AccessError::Store(error) => error,
            refused @ AccessError::Refused(_) => panic!("{refused}"),
        }
    }
}

impl Outage for ScheduleError {
    fn outage(self) -> StoreError {
        match self {
            ScheduleError::Store(error) => error,
            refused @ (ScheduleError::NotFound
            | ScheduleError::TooMany { .. }
            | ScheduleError::Declared) => panic!("{refused}"),
        }
    }
}
