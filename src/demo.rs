//! The demo: a steady mix of sample jobs that shows every state within seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{info, warn};

use crate::engine::{
    ControlError, Engine, EnqueueError, JobActionError, Kinds, ScheduleSubmission, Stats,
    StoreError, SubmitError,
};
use crate::job::{
    Backoff, Concurrency, Invalid, JobId, Json, Kind, Labels, NewJob, OmittedOptions, Origin,
    Overlap, QueueName, RetryPolicy, ScheduleName, ScheduleSpec, Spec, Start, State, Tag, Time,
};
use crate::supervise::{Part, pass};

/// The interval between two submissions.
const INTERVAL: Duration = Duration::from_millis(400);
/// How long the demo waits after an error.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How many jobs the demo submits at its start without pauses.
const FIRST_BATCH: u64 = 24;
/// The number of waiting jobs, from any source, at which the demo pauses.
const MAX_WAITING: u64 = 500;
/// The number of waiting jobs in the slow queue at which the demo adds no more; large enough that some are always
/// waiting.
const MAX_SLOW_WAITING: u64 = 8;
/// The queue for long jobs.
const SLOW_QUEUE: &str = "video";
/// How long a job runs before the demo cancels it.
const CANCEL_AFTER: Duration = Duration::from_secs(3);

/// Queues with a lower concurrency than the default, so that waiting jobs can be seen.
pub const QUEUES: [(&str, Concurrency); 1] = [(SLOW_QUEUE, Concurrency::clamped(2))];

/// Name, pattern, time zone, kind, payload and queue of the demo's schedules, which are deleted after the demo.
const SCHEDULES: [(&str, &str, &str, &str, &str, &str); 3] = [
    ("stock-check", "every 20s", "UTC", "sleep", r#"{"ms":1500}"#, "default"),
    (
        "weekday-report",
        "30 6 * * mon-fri",
        "Europe/Rome",
        "echo",
        r#"{"report":"beans"}"#,
        "reports",
    ),
    ("descale", "0 4 1 * *", "UTC", "sleep", r#"{"ms":9000}"#, "default"),
];

/// The demo's schedules, except those whose time zone is unknown on this machine.
pub fn schedules(now: Time) -> impl Iterator<Item = (ScheduleName, ScheduleSpec)> {
    SCHEDULES.into_iter().filter_map(move |(name, cron, zone, kind, payload, queue)| {
        let submission = ScheduleSubmission {
            cron: cron.into(),
            zone: Some(zone.into()),
            kind: kind.into(),
            payload: RawValue::from_string(payload.into()).ok(),
            queue: Some(queue.into()),
            tags: Some(vec!["demo".into()]),
            overlap: Overlap::Skip,
            ..ScheduleSubmission::default()
        };
        let spec = submission.into_spec(Origin::Config, &Kinds::default(), now).ok()?;
        Some((ScheduleName::parse(name).ok()?, spec))
    })
}

/// Submits sample jobs until the server drains. Must be spawned on the shutdown's tracker.
pub async fn feed(engine: Engine) {
    let draining = engine.shutdown().draining.clone();
    info!("submitting sample jobs with the tag \"demo\"");
    // A repeated failure is logged once.
    let mut refused = String::new();
    loop {
        pass(Part::Demo);
        let ended = tokio::select! {
            () = draining.cancelled() => return,
            ended = submit_jobs(&engine) => ended,
        };
        match ended {
            Ok(never) => match never {},
            Err(error) if error.is_closed() => return,
            Err(error) => {
                let reason = error.to_string();
                if reason != refused {
                    warn!(%error, "submitting demo jobs failed, retrying");
                }
                refused = reason;
            }
        }
        tokio::select! {
            () = draining.cancelled() => return,
            () = sleep(RETRY_DELAY) => {}
        }
    }
}

/// Why the demo cannot continue.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Stats(#[from] StoreError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Cancel(#[from] ControlError),
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl DemoError {
    /// Whether the store is closed, because the server is stopping.
    fn is_closed(&self) -> bool {
        matches!(
            self,
            DemoError::Stats(StoreError::Closed)
                | DemoError::Submit(SubmitError::Enqueue(EnqueueError::Store(StoreError::Closed)))
                | DemoError::Cancel(ControlError::Store(StoreError::Closed))
        )
    }
}

/// Jobs to cancel and when, oldest first.
type ToCancel = VecDeque<(Instant, JobId)>;

async fn submit_jobs(engine: &Engine) -> Result<std::convert::Infallible, DemoError> {
    let mut to_cancel = ToCancel::new();
    let mut step = 0;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        pass(Part::Demo);
        let stats = engine.stats().await?;
        if waiting(&stats) <= MAX_WAITING {
            let until = if step < FIRST_BATCH { FIRST_BATCH } else { step + 1 };
            let slow_is_full = slow_waiting(&stats) > MAX_SLOW_WAITING;
            let mut batch = Vec::new();
            for step in step..until {
                let recipe = RECIPES[index(step)];
                if slow_is_full && recipe.queue == SLOW_QUEUE {
                    continue;
                }
                let job = recipe.job(step)?;
                if recipe.fate == Fate::Cancelled {
                    to_cancel.push_back((Instant::now() + CANCEL_AFTER, job.id));
                }
                batch.push(job);
            }
            step = until;
            match engine.enqueue(batch).await {
                // Other clients filled the backlog meanwhile; the next round tries again.
                Ok(_) | Err(SubmitError::Enqueue(EnqueueError::Full { .. })) => {}
                Err(error) => return Err(error.into()),
            }
        }
        while let Some(&(at, id)) = to_cancel.front()
            && at <= Instant::now()
        {
            to_cancel.pop_front();
            match engine.cancel(id).await {
                // The job has finished or was deleted, so there is nothing to cancel.
                Ok(_) | Err(JobActionError::Job(_)) => {}
                Err(JobActionError::Control(error)) => return Err(error.into()),
            }
        }
    }
}

/// What happens to the jobs of a recipe. Each fate shows states that no other fate shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Completes after some milliseconds, or at once.
    Done(Option<u64>),
    /// Completes after some milliseconds and reports progress.
    Slow(u64),
    /// Is scheduled to run some seconds later.
    Scheduled,
    /// Fails this many times and then completes.
    Recovers(u64),
    /// Fails until it is discarded.
    Dies,
    /// Runs for a long time and is cancelled.
    Cancelled,
}

/// A sort of sample job.
#[derive(Debug, Clone, Copy)]
struct Recipe {
    queue: &'static str,
    /// What the job pretends to do; also used as a tag.
    what: &'static str,
    fate: Fate,
    /// The error of jobs that fail.
    error: &'static str,
}

/// The recipes, used in turn.
const RECIPES: [Recipe; 12] = [
    recipe("mail", "welcome mail", Fate::Done(None), ""),
    recipe(SLOW_QUEUE, "transcode", Fate::Slow(8_000), ""),
    recipe("webhooks", "order.paid", Fate::Recovers(1), "the server answered 503"),
    recipe("reports", "daily report", Fate::Scheduled, ""),
    recipe("images", "thumbnail", Fate::Done(Some(700)), ""),
    recipe("webhooks", "order.sent", Fate::Dies, "connection refused"),
    recipe("mail", "newsletter", Fate::Recovers(2), "451 mailbox is busy, try again later"),
    recipe(SLOW_QUEUE, "preview", Fate::Slow(5_000), ""),
    recipe("reports", "audit export", Fate::Cancelled, ""),
    recipe("images", "resize", Fate::Done(Some(1_500)), ""),
    recipe("mail", "receipt", Fate::Done(Some(150)), ""),
    recipe("reports", "monthly report", Fate::Slow(8_000), ""),
];

const fn recipe(
    queue: &'static str,
    what: &'static str,
    fate: Fate,
    error: &'static str,
) -> Recipe {
    Recipe { queue, what, fate, error }
}

impl Recipe {
    /// The job for this step; each one is slightly different.
    fn job(self, step: u64) -> Result<NewJob, Invalid> {
        let around = |ms: u64| ms * 3 / 4 + fastrand::u64(0..=ms / 2);
        let (kind, payload) = match self.fate {
            Fate::Done(None) | Fate::Scheduled => {
                ("echo", json!({ "what": self.what, "number": 4_000 + step }))
            }
            Fate::Done(Some(ms)) => ("sleep", json!({ "ms": around(ms) })),
            Fate::Slow(ms) => ("sleep", json!({ "ms": around(ms), "progress": true })),
            Fate::Recovers(times) => ("fail", json!({ "times": times, "message": self.error })),
            Fate::Dies => ("fail", json!({ "times": 99, "message": self.error })),
            Fate::Cancelled => ("sleep", json!({ "ms": 20_000, "progress": true })),
        };
        let (max_attempts, base_ms) = match self.fate {
            Fate::Dies => (3, 1_500),
            Fate::Recovers(_) => (10, 6_000),
            Fate::Done(_) | Fate::Slow(_) | Fate::Scheduled | Fate::Cancelled => (10, 1_000),
        };
        let start = match self.fate {
            Fate::Scheduled => Start::After(Duration::from_millis(fastrand::u64(3_000..=9_000))),
            Fate::Done(_) | Fate::Slow(_) | Fate::Recovers(_) | Fate::Dies | Fate::Cancelled => {
                Start::Now
            }
        };
        let labels = Labels {
            queue: QueueName::parse(self.queue)?,
            kind: Kind::parse(kind)?,
            tags: Box::new([Tag::parse("demo")?, Tag::parse(self.what)?]),
        };
        let spec = Spec {
            payload: text(&payload),
            priority: if step.is_multiple_of(10) { 5 } else { 0 },
            retry: RetryPolicy { max_attempts, backoff: Backoff { base_ms, cap_ms: 8_000 } },
            timeout_ms: None,
            idempotency_key: None,
        };
        Ok(NewJob {
            id: JobId::generate(),
            labels: labels.into(),
            spec: Arc::new(spec),
            start,
            by: None,
            omitted: OmittedOptions::default(),
        })
    }
}

fn index(step: u64) -> usize {
    usize::try_from(step % RECIPES.len() as u64).unwrap_or(0)
}

fn text(value: &Value) -> Json {
    Json::of(value).unwrap_or_else(|_| Json::null())
}

fn waiting(stats: &Stats) -> u64 {
    stats.states.iter().filter(|(state, _)| state.is_waiting()).map(|(_, count)| count).sum()
}

fn slow_waiting(stats: &Stats) -> u64 {
    let queue = stats.queues.get(SLOW_QUEUE);
    queue.and_then(|queue| queue.states.get(&State::Available)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::time::timeout;

    use super::*;
    use crate::clock::SystemClock;
    use crate::engine::{EngineConfig, QueueConfig, Registry};
    use crate::handlers::{HandlerSettings, register};
    use crate::job::Fact;
    use crate::shutdown::Shutdown;
    use crate::store::{StoreLimits, memory::MemoryStore};

    fn engine() -> Engine {
        let mut registry = Registry::default();
        register(&mut registry, &HandlerSettings::default()).unwrap();
        let queues = QUEUES.map(|(name, concurrency)| {
            (
                QueueName::parse(name).unwrap(),
                QueueConfig { concurrency, limit: Some(concurrency), weight: 1, rate_limit: None },
            )
        });
        let config = EngineConfig { queues: queues.into(), ..EngineConfig::default() };
        let store = MemoryStore::new(StoreLimits::default(), Arc::new(SystemClock));
        Engine::start(store, registry, config, Shutdown::default())
    }

    #[test]
    fn the_first_batch_holds_every_recipe_and_all_jobs_are_tagged() {
        assert!(FIRST_BATCH >= RECIPES.len() as u64);
        for step in 0..FIRST_BATCH {
            let job = RECIPES[index(step)].job(step).unwrap();
            assert_eq!(job.labels.tags[0].as_str(), "demo");
        }
    }

    #[tokio::test]
    async fn a_newcomer_sees_every_state_within_ten_seconds_and_the_feed_ends_with_the_server() {
        let engine = engine();
        let mut live = engine.live();
        let feeding = tokio::spawn(feed(engine.clone()));
        let mut unseen = BTreeSet::from(State::ALL);
        let look = async {
            while !unseen.is_empty() {
                for event in live.recv().await.unwrap().events.iter() {
                    if let Fact::Job { state, .. } = event.fact {
                        unseen.remove(&state);
                    }
                }
            }
        };
        let all_seen = timeout(Duration::from_secs(10), look).await;
        assert!(all_seen.is_ok(), "not seen: {unseen:?}");
        let stats = engine.stats().await.unwrap();
        assert!(slow_waiting(&stats) > 0, "jobs should be seen waiting");

        engine.shutdown().draining.cancel();
        timeout(Duration::from_secs(5), feeding).await.unwrap().unwrap();
    }
}
