//! Why a job is not running, in one sentence. The answer is one pure function of what is known; the engine
//! only collects that.

use std::fmt;

use tokio::time::Instant;

use crate::engine::{Engine, EngineError};
use crate::job::{Job, Kind, QueueName, RateLimit, State, Time};

/// How far a job's place in its queue is counted; a place beyond is told as "more than".
pub const COUNTED_AHEAD: u64 = 1_000;

/// The one reason to tell: the first that somebody could act on, or wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// The server stops: it claims nothing more.
    Draining,
    /// The store refuses, so nothing can be claimed.
    StoreUnavailable {
        /// Its own words.
        error: String,
    },
    /// No handler here for its kind.
    NoHandler {
        /// The kind.
        kind: Kind,
    },
    /// Its time has not come.
    NotDue {
        /// When it comes.
        at: Time,
    },
    /// Its time has come and the timer has not seen it yet.
    DueNow,
    /// Somebody paused its queue.
    Paused {
        /// The queue.
        queue: QueueName,
    },
    /// As many attempts of its queue began lately as may.
    RateReached {
        /// The queue.
        queue: QueueName,
        /// How many may begin, in what time.
        limit: RateLimit,
        /// When the next may.
        at: Time,
        /// Jobs of the queue that go before it, counted up to [`COUNTED_AHEAD`].
        ahead: u64,
    },
    /// As many attempts of its queue run as may.
    QueueFull {
        /// The queue.
        queue: QueueName,
        /// Running now.
        running: u64,
        /// How many may.
        limit: u64,
        /// As above.
        ahead: u64,
    },
    /// As many attempts run in the whole server as may.
    ServerFull {
        /// Running now.
        running: u64,
        /// How many may.
        limit: u64,
        /// As above.
        ahead: u64,
    },
    /// Others go first, or nobody: it is about to start.
    Waits {
        /// The queue.
        queue: QueueName,
        /// As above.
        ahead: u64,
    },
}

/// What the answer is made of.
#[derive(Debug, Clone)]
struct Facts<'a> {
    job: &'a Job,
    now: Time,
    draining: bool,
    /// The store's refusal, if it refuses.
    refusal: Option<String>,
    /// Whether this server has a handler for the kind.
    handled: bool,
    paused: bool,
    /// The queue's rate, where it has one and has reached it, and when the next attempt may begin.
    rate: Option<(RateLimit, Time)>,
    /// Attempts of the queue: running, and how many may.
    queue: (u64, u64),
    /// The same of the whole server.
    server: (u64, u64),
    ahead: u64,
}

impl Engine {
    /// Why a job is not running; `None` when it runs or has come to its end.
    ///
    /// # Errors
    /// When the store cannot be asked at all.
    pub async fn wait_reason(&self, job: &Job) -> Result<Option<WaitReason>, EngineError> {
        if !job.status.state.is_waiting() {
            return Ok(None);
        }
        let labels = &job.labels;
        let stats = self.stats().await?;
        let running = |states: &std::collections::BTreeMap<State, u64>| {
            states.get(&State::Running).copied().unwrap_or_default()
        };
        let queue = stats.queues.get(&labels.queue);
        let config = self.config();
        let limit = queue.map_or(config.of_queue(&labels.queue).concurrency, |queue| {
            config.queue_view(&labels.queue, queue).concurrency
        });
        let now = self.parts.clock.now();
        let reached = || {
            let moment = Instant::now();
            let looked = self.parts.queue_settings.rates.of(&labels.queue, |window| {
                let next = window.room(moment).err()?;
                Some((window.limit, now.after(next - moment)))
            });
            looked.flatten()
        };
        let facts = Facts {
            job,
            now,
            draining: self.shutdown().draining.is_cancelled(),
            refusal: self.health().err().map(|error| error.to_string()),
            handled: self.parts.registry.knows(&labels.kind),
            paused: queue.is_some_and(|queue| queue.paused),
            rate: reached(),
            queue: (queue.map_or(0, |queue| running(&queue.states)), limit as u64),
            server: (running(&stats.states), config.max_running as u64),
            ahead: self.parts.store.ahead(job.id, COUNTED_AHEAD).await?.unwrap_or_default(),
        };
        Ok(why(&facts))
    }
}

fn why(facts: &Facts<'_>) -> Option<WaitReason> {
    let Facts { job, queue: (in_queue, queue_limit), server: (in_all, limit), ahead, rate, .. } =
        facts;
    let queue = job.labels.queue.clone();
    let waits_for_its_time = match job.status.state {
        State::Scheduled | State::Retryable => true,
        State::Available => false,
        State::Running | State::Completed | State::Discarded | State::Cancelled => return None,
    };
    Some(if facts.draining {
        WaitReason::Draining
    } else if let Some(error) = &facts.refusal {
        WaitReason::StoreUnavailable { error: error.clone() }
    } else if !facts.handled {
        WaitReason::NoHandler { kind: job.labels.kind.clone() }
    } else if waits_for_its_time && job.run_at > facts.now {
        WaitReason::NotDue { at: job.run_at }
    } else if facts.paused {
        WaitReason::Paused { queue }
    } else if waits_for_its_time {
        WaitReason::DueNow
    } else if let Some((limit, at)) = *rate {
        WaitReason::RateReached { queue, limit, at, ahead: *ahead }
    } else if in_queue >= queue_limit {
        WaitReason::QueueFull { queue, running: *in_queue, limit: *queue_limit, ahead: *ahead }
    } else if in_all >= limit {
        WaitReason::ServerFull { running: *in_all, limit: *limit, ahead: *ahead }
    } else {
        WaitReason::Waits { queue, ahead: *ahead }
    })
}

impl WaitReason {
    /// The stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            WaitReason::Draining => "draining",
            WaitReason::StoreUnavailable { .. } => "store_unavailable",
            WaitReason::NoHandler { .. } => "no_handler",
            WaitReason::NotDue { .. } => "not_due",
            WaitReason::DueNow => "due_now",
            WaitReason::Paused { .. } => "queue_paused",
            WaitReason::RateReached { .. } => "rate_reached",
            WaitReason::QueueFull { .. } => "queue_full",
            WaitReason::ServerFull { .. } => "server_full",
            WaitReason::Waits { .. } => "waits",
        }
    }

    /// Jobs of the queue that go before it, where that is what it waits for; counted up to
    /// [`COUNTED_AHEAD`].
    pub fn ahead(&self) -> Option<u64> {
        match self {
            WaitReason::RateReached { ahead, .. }
            | WaitReason::QueueFull { ahead, .. }
            | WaitReason::ServerFull { ahead, .. }
            | WaitReason::Waits { ahead, .. } => Some(*ahead),
            WaitReason::Draining
            | WaitReason::StoreUnavailable { .. }
            | WaitReason::NoHandler { .. }
            | WaitReason::NotDue { .. }
            | WaitReason::DueNow
            | WaitReason::Paused { .. } => None,
        }
    }
}

/// One sentence for people.
impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::Draining => {
                write!(
                    f,
                    "The server is stopping: it starts nothing more, and the job waits for the next start."
                )
            }
            WaitReason::StoreUnavailable { error } => {
                write!(f, "Nothing can start while the store refuses: {error}.")
            }
            WaitReason::NoHandler { kind } => {
                write!(f, "Nothing in this server runs kind {kind}: an attempt would fail at once.")
            }
            WaitReason::NotDue { at } => write!(f, "It is not due before {at}."),
            WaitReason::DueNow => write!(f, "It is due now and becomes ready in a moment."),
            WaitReason::Paused { queue } => {
                write!(f, "Queue {queue} is paused: nothing starts until it is resumed.")
            }
            WaitReason::RateReached { queue, limit, at, ahead } => {
                write!(f, "Queue {queue} starts {limit} at most, and has: the next at {at}. ")?;
                place(f, *ahead)
            }
            WaitReason::QueueFull { queue, running, limit, ahead } => {
                write!(f, "Queue {queue} is at its limit: {running} of {limit} running. ")?;
                place(f, *ahead)
            }
            WaitReason::ServerFull { running, limit, ahead } => {
                write!(f, "The server is at its limit: {running} of {limit} running. ")?;
                place(f, *ahead)
            }
            WaitReason::Waits { ahead: 0, .. } => {
                write!(f, "It is next in its queue and about to start.")
            }
            WaitReason::Waits { queue, ahead } => {
                write!(f, "It waits for its turn in queue {queue}. ")?;
                place(f, *ahead)
            }
        }
    }
}

fn place(f: &mut fmt::Formatter<'_>, ahead: u64) -> fmt::Result {
    match ahead {
        0 => write!(f, "It is next."),
        1 => write!(f, "One job goes before it."),
        COUNTED_AHEAD.. => write!(f, "More than 1,000 jobs go before it."),
        _ => write!(f, "{ahead} jobs go before it."),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::{Change, Event, Fact, JobId, Json, Labels, RetryPolicy, Spec, Status};

    fn job(state: State, due_in: i64) -> Job {
        let spec = Spec {
            payload: Json::null(),
            priority: 0,
            retry: RetryPolicy::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let labels = Labels {
            queue: QueueName::parse("mail").unwrap(),
            kind: Kind::parse("send").unwrap(),
            tags: Box::default(),
        };
        let run_at = Time::from_millis(NOW + due_in);
        let change = Change::Enqueued { spec: Arc::new(spec), run_at };
        let id = JobId::from_u128(1);
        let fact = Fact::Job { id, labels: Arc::new(labels), state, attempt: 0, change };
        let event = Event { seq: 1, at: Time::from_millis(NOW), fact };
        let mut job = Job::from_enqueued(&event).unwrap();
        job.status = Status::new(10, state);
        job
    }

    const NOW: i64 = 1_800_000_000_000;

    /// A server where nothing is in the way.
    fn facts(job: &Job) -> Facts<'_> {
        Facts {
            job,
            now: Time::from_millis(NOW),
            draining: false,
            refusal: None,
            handled: true,
            paused: false,
            rate: None,
            queue: (0, 4),
            server: (0, 9),
            ahead: 0,
        }
    }

    #[test]
    fn every_reason_has_its_sentence_and_the_first_one_is_told() {
        let (ready, later, due) =
            (job(State::Available, 0), job(State::Retryable, 1), job(State::Scheduled, 0));
        let on = facts;
        let per_minute = RateLimit { starts: 100, within: std::time::Duration::from_secs(60) };
        let next = Time::from_millis(NOW + 30_000);
        let table: Vec<(Facts<'_>, &str, &str)> = vec![
            (on(&ready), "waits", "It is next in its queue and about to start."),
            (
                Facts { ahead: 1, ..on(&ready) },
                "waits",
                "It waits for its turn in queue mail. One job goes before it.",
            ),
            (
                Facts { ahead: 36, server: (9, 9), ..on(&ready) },
                "server_full",
                "The server is at its limit: 9 of 9 running. 36 jobs go before it.",
            ),
            (
                Facts { ahead: 0, queue: (4, 4), server: (9, 9), ..on(&ready) },
                "queue_full",
                "Queue mail is at its limit: 4 of 4 running. It is next.",
            ),
            (
                Facts { ahead: 1_000, queue: (5, 4), ..on(&ready) },
                "queue_full",
                "Queue mail is at its limit: 5 of 4 running. More than 1,000 jobs go before it.",
            ),
            (
                Facts { rate: Some((per_minute, next)), queue: (4, 4), ..on(&ready) },
                "rate_reached",
                "Queue mail starts 100/1m at most, and has: the next at 2027-01-15T08:00:30.000Z. It is next.",
            ),
            (
                Facts { rate: Some((per_minute, next)), paused: true, ..on(&ready) },
                "queue_paused",
                "Queue mail is paused: nothing starts until it is resumed.",
            ),
            (
                Facts { paused: true, queue: (4, 4), ..on(&ready) },
                "queue_paused",
                "Queue mail is paused: nothing starts until it is resumed.",
            ),
            (on(&due), "due_now", "It is due now and becomes ready in a moment."),
            (
                Facts { paused: true, ..on(&due) },
                "queue_paused",
                "Queue mail is paused: nothing starts until it is resumed.",
            ),
            (
                Facts { paused: true, queue: (4, 4), ..on(&later) },
                "not_due",
                "It is not due before 2027-01-15T08:00:00.001Z.",
            ),
            (
                Facts { handled: false, paused: true, ..on(&later) },
                "no_handler",
                "Nothing in this server runs kind send: an attempt would fail at once.",
            ),
            (
                Facts { refusal: Some("no space".into()), handled: false, ..on(&ready) },
                "store_unavailable",
                "Nothing can start while the store refuses: no space.",
            ),
            (
                Facts { draining: true, refusal: Some("no space".into()), ..on(&later) },
                "draining",
                "The server is stopping: it starts nothing more, and the job waits for the next start.",
            ),
        ];
        for (facts, code, sentence) in table {
            let told = why(&facts).unwrap();
            assert_eq!((told.code(), told.to_string().as_str()), (code, sentence));
        }
    }

    #[test]
    fn a_job_that_runs_or_has_ended_needs_no_reason() {
        for state in [State::Running, State::Completed, State::Discarded, State::Cancelled] {
            assert_eq!(why(&Facts { draining: true, ..facts(&job(state, 0)) }), None);
        }
    }
}
