//! Tests of the engine on the memory store, in real time; they wait for events and signals instead of sleeping.
//! This file has their shared helpers.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::job::{
    Backoff, Change, Cursor, Event, Fact, FailureClass, IdempotencyKey, Interruption, Job, JobId,
    JobQuery, Json, Kind, Labels, NewJob, Outcome, QueueName, RateLimit, RetryPolicy, Spec, Start,
    State, Status,
};
use crate::shutdown::Shutdown;
use crate::store::{ConfiguredLimits, Control, Store, StoreLimits, memory::MemoryStore};

mod access;
mod attempts;
mod bulk;
mod clock;
mod complexity;
pub(crate) mod faults;
mod handlers;
mod insight;
mod kinds;
mod limits;
mod rewind;
mod schedules;
mod stopping;
mod stream;
mod workers;

/// Far longer than any step takes; only a failing test waits that long.
const BOUND: Duration = Duration::from_secs(60);

struct Shop {
    engine: Engine,
    shutdown: Shutdown,
    live: Receiver<Arc<Batch>>,
    /// Events received but not yet examined.
    seen: std::collections::VecDeque<Event>,
}

fn memory() -> Arc<MemoryStore> {
    MemoryStore::new(StoreLimits::default(), Arc::new(SystemClock))
}

/// A store that enforces the limits of queues of this configuration.
fn memory_with_limits(config: &EngineConfig) -> Arc<MemoryStore> {
    let limits = config.queues.iter().map(|(name, queue)| {
        let (concurrency, rate_limit) = (queue.limit, queue.rate_limit);
        (name.clone(), ConfiguredLimits { concurrency, rate_limit })
    });
    let limits = StoreLimits { queues: limits.collect(), ..StoreLimits::default() };
    MemoryStore::new(limits, Arc::new(SystemClock))
}

/// A short grace, so that tests of late handlers end soon.
fn quick() -> EngineConfig {
    EngineConfig { handler_grace: Duration::from_millis(50), ..EngineConfig::default() }
}

fn open(registry: Registry) -> Shop {
    open_on(memory(), registry, quick())
}

fn open_on(store: Arc<dyn Store>, registry: Registry, config: EngineConfig) -> Shop {
    open_with_clock(store, registry, config, Arc::new(SystemClock))
}

fn open_with_clock(
    store: Arc<dyn Store>,
    registry: Registry,
    config: EngineConfig,
    clock: Arc<dyn Clock>,
) -> Shop {
    let shutdown = Shutdown::default();
    let engine = Engine::start_with_clock(store, registry, config, shutdown.clone(), clock);
    let live = engine.live();
    Shop { engine, shutdown, live, seen: Default::default() }
}

/// A registry with one handler, of kind `work`.
fn one<P, H>(handler: H) -> Registry
where
    P: DeserializeOwned + Send + 'static,
    H: KindHandler<P>,
{
    let mut registry = Registry::default();
    add(&mut registry, "work", handler);
    registry
}

fn add<P, H>(registry: &mut Registry, kind: &str, handler: H)
where
    P: DeserializeOwned + Send + 'static,
    H: KindHandler<P>,
{
    let kind = Kind::parse(kind).unwrap();
    registry.add(KindInfo::plain(kind), handler);
}

fn job(kind: &str, queue: &str) -> NewJob {
    NewJob {
        id: JobId::generate(),
        labels: Arc::new(Labels {
            queue: QueueName::parse(queue).unwrap(),
            kind: Kind::parse(kind).unwrap(),
            tags: Box::default(),
        }),
        spec: Arc::new(Spec {
            payload: Json::null(),
            priority: 0,
            retry: RetryPolicy { max_attempts: 3, backoff: Backoff { base_ms: 1, cap_ms: 1 } },
            timeout_ms: None,
            idempotency_key: None::<IdempotencyKey>,
        }),
        start: Start::Now,
        by: None,
        omitted: Default::default(),
    }
}

fn work() -> NewJob {
    job("work", "default")
}

fn work_within(timeout_ms: u64) -> NewJob {
    let mut job = work();
    Arc::get_mut(&mut job.spec).unwrap().timeout_ms = Some(timeout_ms);
    job
}

fn once(mut job: NewJob) -> NewJob {
    Arc::get_mut(&mut job.spec).unwrap().retry.max_attempts = 1;
    job
}

impl Shop {
    async fn submit(&self, job: NewJob) -> JobId {
        let id = job.id;
        self.engine.enqueue(vec![job]).await.unwrap();
        id
    }

    /// Submits one job and waits for its end.
    async fn run(&self, job: NewJob) -> Job {
        let id = self.submit(job).await;
        self.finish(id).await
    }

    async fn finish(&self, id: JobId) -> Job {
        let job = self.engine.wait_final(id, BOUND).await.unwrap().unwrap();
        assert!(job.status.state.is_final(), "still {} after the bound", job.status.state);
        job
    }

    /// Waits for the next event that `wanted` accepts, and skips those before it.
    async fn event<T>(&mut self, mut wanted: impl FnMut(JobId, &Change) -> Option<T>) -> T {
        let search = async {
            loop {
                while let Some(event) = self.seen.pop_front() {
                    if let Fact::Job { id, change, .. } = &event.fact
                        && let Some(found) = wanted(*id, change)
                    {
                        return found;
                    }
                }
                self.seen.extend(self.live.recv().await.unwrap().events.iter().cloned());
            }
        };
        timeout(BOUND, search).await.expect("the event did not arrive")
    }

    async fn started(&mut self, job: JobId) {
        self.event(|id, change| {
            (id == job && matches!(change, Change::Started { .. })).then_some(())
        })
        .await;
    }
}

fn failure_class(job: &Job) -> Option<FailureClass> {
    job.last_failure().map(|failure| failure.class)
}

/// The end of each attempt, in the words of the pages.
fn ends(job: &Job) -> Vec<String> {
    use crate::job::AttemptEnd;
    let word = |end: &AttemptEnd<'_>| match end {
        AttemptEnd::Completed => "completed".to_owned(),
        AttemptEnd::Failed(failure) => failure.class.as_str().to_owned(),
        AttemptEnd::Snoozed => "snoozed".to_owned(),
        AttemptEnd::Cancelled => "cancelled".to_owned(),
        AttemptEnd::Interrupted(why) | AttemptEnd::Rescued(why) => why.as_str().to_owned(),
    };
    job.attempts()
        .iter()
        .map(|attempt| attempt.end.as_ref().map_or("running".to_owned(), |(_, end)| word(end)))
        .collect()
}

/// Blocks a thread until it is released, like code that never awaits. Dropping it releases the thread, so that a
/// failing test can end.
struct Blocker {
    _held: std::sync::mpsc::Sender<()>,
}

impl Blocker {
    fn new() -> (Blocker, Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>) {
        let (sender, receiver) = std::sync::mpsc::channel();
        (Blocker { _held: sender }, Arc::new(std::sync::Mutex::new(receiver)))
    }

    fn let_go(self) {}
}

/// Blocks the thread until the blocker is released.
fn block_on(gate: &std::sync::Mutex<std::sync::mpsc::Receiver<()>>) {
    let _ = gate.lock().unwrap().recv(); // the error of a dropped sender is the release
}
