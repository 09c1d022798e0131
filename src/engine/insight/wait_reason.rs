//! Explains why a job is not running. The engine collects the facts, and one pure function picks the reason.

use std::fmt;
use std::time::Duration;

use crate::engine::workers::kind_workers::KindWorkers;
use crate::engine::{Engine, StoreError};
use crate::job::{Job, Kind, QueueName, RateLimit, State, Time};

/// How many jobs ahead are counted; a larger number is shown as "more than".
pub const COUNTED_AHEAD: u64 = 1_000;

/// Why a job is not running: the first reason that somebody can act on or wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitReason {
    /// The server is shutting down and claims no more jobs.
    Draining,
    /// The server was started paused.
    ServerPaused,
    /// The store is not accepting writes, so nothing can be claimed.
    StoreUnavailable {
        /// The store's error; `None` for the holder of a share link.
        error: Option<String>,
    },
    /// No connected worker takes jobs of its kind and queue, and neither this process nor another node runs its kind.
    NoWorker {
        /// The kind.
        kind: Kind,
        /// The queue.
        queue: QueueName,
        /// The connected workers that run its kind. None of them is able.
        workers: KindWorkers,
        /// How long ago the last one left, if that is known and none is connected.
        left: Option<Duration>,
    },
    /// It is scheduled for later.
    NotDue {
        /// When it is due.
        at: Time,
    },
    /// It is due, and the timer has not made it available yet.
    DueNow,
    /// Somebody paused its queue.
    Paused {
        /// The queue.
        queue: QueueName,
    },
    /// Its queue has reached its rate limit.
    RateReached {
        /// The queue.
        queue: QueueName,
        /// The rate limit.
        limit: RateLimit,
        /// When the next attempt may start.
        at: Time,
        /// Jobs ahead of it in the queue, counted up to [`COUNTED_AHEAD`].
        ahead: u64,
    },
    /// Its queue has reached its concurrency limit.
    QueueFull {
        /// The queue.
        queue: QueueName,
        /// Attempts that are running.
        running: u64,
        /// The limit.
        limit: u64,
        /// Jobs ahead of it in the queue, counted up to [`COUNTED_AHEAD`].
        ahead: u64,
    },
    /// The server has reached its concurrency limit.
    ServerFull {
        /// Attempts that are running.
        running: u64,
        /// The limit.
        limit: u64,
        /// Jobs ahead of it in the queue, counted up to [`COUNTED_AHEAD`].
        ahead: u64,
    },
    /// Other jobs are ahead of it, or it is next and no worker has taken it yet.
    Waits {
        /// The queue.
        queue: QueueName,
        /// Jobs ahead of it in the queue, counted up to [`COUNTED_AHEAD`].
        ahead: u64,
    },
}

/// What the reason depends on.
#[derive(Debug, Clone)]
struct WaitContext<'a> {
    job: &'a Job,
    now: Time,
    draining: bool,
    server_paused: bool,
    /// The store's error, when it is not accepting writes.
    refusal: Option<String>,
    /// Whether this process or another node runs jobs of its kind.
    runs_here: bool,
    /// The connected workers that run its kind.
    workers: KindWorkers,
    /// When the last worker of its kind left.
    last_left: Option<Time>,
    paused: bool,
    /// The queue's rate limit, when it has reached one, and when the next attempt may start.
    rate: Option<(RateLimit, Time)>,
    /// Running attempts of the queue, and how many there may be; `None` means any number.
    queue: (u64, Option<u64>),
    /// Running attempts of this process, and how many there may be; `None` when the job needs no slot of this process.
    server: (u64, Option<u64>),
    ahead: u64,
}

impl Engine {
    /// Why a job is not running; `None` when it is running or has ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn wait_reason(&self, job: &Job) -> Result<Option<WaitReason>, StoreError> {
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
        let now = self.parts.clock.now();
        let rate = queue.and_then(|queue| {
            let limit = config.queue_view(&labels.queue, queue).rate_limit?;
            Some((limit, now.after(queue.rate_wait?)))
        });
        let in_queue = queue.map_or(0, |queue| running(&queue.states));
        let (workers, remote) = {
            let table = self.parts.remote.table();
            (table.workers_for(&labels.kind, &labels.queue), table.leases.len() as u64)
        };
        let runs_here = self.kinds().has_handler(&labels.kind);
        let nodes = self.nodes();
        let others = || nodes.iter().filter(|node| !node.is_own && !node.is_silent);
        let runs_elsewhere = others().any(|node| node.figures.may_run(&labels.kind));
        // The slots of this process do not keep a job from workers elsewhere.
        let needs_slot = runs_here && workers.able == 0 && !runs_elsewhere;
        // A limit of the queue holds over all workers. Without one, the queue has slots in this process only.
        let in_queue = match queue.and_then(|queue| queue.concurrency) {
            Some(limit) => (in_queue, Some(limit.get() as u64)),
            None if needs_slot => {
                let slots = self.parts.queue_limits.queues.slots_of(&labels.queue);
                (in_queue.min(slots.0), Some(slots.1))
            }
            None => (in_queue, None),
        };
        let limit = needs_slot.then_some(config.max_running as u64);
        let facts = WaitContext {
            job,
            now,
            draining: self.shutdown().draining.is_cancelled() && others().next().is_none(),
            server_paused: self.is_paused() && others().next().is_none(),
            refusal: self.health().err().map(|error| error.to_string()),
            runs_here: runs_here || runs_elsewhere,
            workers,
            last_left: self.parts.remote.last_left(&labels.kind),
            paused: queue.is_some_and(|queue| queue.settings.paused),
            rate,
            queue: in_queue,
            server: (running(&stats.states).saturating_sub(remote), limit),
            ahead: self.parts.store.ahead(job.id, COUNTED_AHEAD).await?.unwrap_or_default(),
        };
        Ok(why(&facts))
    }
}

fn why(facts: &WaitContext<'_>) -> Option<WaitReason> {
    let WaitContext {
        job,
        queue: (in_queue, queue_limit),
        server: (in_all, server_limit),
        ahead,
        rate,
        ..
    } = facts;
    let queue = job.labels.queue.clone();
    let waits_for_its_time = match job.status.state {
        State::Scheduled | State::Retryable => true,
        State::Available => false,
        State::Running | State::Completed | State::Discarded | State::Cancelled => return None,
    };
    Some(if facts.draining {
        WaitReason::Draining
    } else if let Some(error) = &facts.refusal {
        WaitReason::StoreUnavailable { error: Some(error.clone()) }
    } else if facts.server_paused {
        WaitReason::ServerPaused
    } else if waits_for_its_time && job.run_at > facts.now {
        WaitReason::NotDue { at: job.run_at }
    } else if !facts.runs_here && facts.workers.able == 0 {
        let left = facts.last_left.map(|at| facts.now.since(at));
        let (kind, workers) = (job.labels.kind.clone(), facts.workers);
        WaitReason::NoWorker { kind, queue, workers, left }
    } else if facts.paused {
        WaitReason::Paused { queue }
    } else if waits_for_its_time {
        WaitReason::DueNow
    } else if let Some((limit, at)) = *rate {
        WaitReason::RateReached { queue, limit, at, ahead: *ahead }
    } else if let Some(limit) = queue_limit.filter(|limit| in_queue >= limit) {
        WaitReason::QueueFull { queue, running: *in_queue, limit, ahead: *ahead }
    } else if let Some(limit) = server_limit.filter(|limit| in_all >= limit) {
        WaitReason::ServerFull { running: *in_all, limit, ahead: *ahead }
    } else {
        WaitReason::Waits { queue, ahead: *ahead }
    })
}

impl WaitReason {
    /// The same for the holder of a share link, who is not told what is wrong with the server.
    #[must_use]
    pub fn for_link(self) -> WaitReason {
        match self {
            WaitReason::StoreUnavailable { .. } => WaitReason::StoreUnavailable { error: None },
            WaitReason::Draining
            | WaitReason::ServerPaused
            | WaitReason::NoWorker { .. }
            | WaitReason::NotDue { .. }
            | WaitReason::DueNow
            | WaitReason::Paused { .. }
            | WaitReason::RateReached { .. }
            | WaitReason::QueueFull { .. }
            | WaitReason::ServerFull { .. }
            | WaitReason::Waits { .. } => self,
        }
    }

    /// The stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            WaitReason::Draining => "draining",
            WaitReason::ServerPaused => "server_paused",
            WaitReason::StoreUnavailable { .. } => "store_unavailable",
            WaitReason::NoWorker { .. } => "no_worker",
            WaitReason::NotDue { .. } => "not_due",
            WaitReason::DueNow => "due_now",
            WaitReason::Paused { .. } => "queue_paused",
            WaitReason::RateReached { .. } => "rate_reached",
            WaitReason::QueueFull { .. } => "queue_full",
            WaitReason::ServerFull { .. } => "server_full",
            WaitReason::Waits { .. } => "waits",
        }
    }

    /// The jobs ahead of it in the queue, when it is waiting for them; counted up to [`COUNTED_AHEAD`].
    pub fn ahead(&self) -> Option<u64> {
        match self {
            WaitReason::RateReached { ahead, .. }
            | WaitReason::QueueFull { ahead, .. }
            | WaitReason::ServerFull { ahead, .. }
            | WaitReason::Waits { ahead, .. } => Some(*ahead),
            WaitReason::Draining
            | WaitReason::ServerPaused
            | WaitReason::StoreUnavailable { .. }
            | WaitReason::NoWorker { .. }
            | WaitReason::NotDue { .. }
            | WaitReason::DueNow
            | WaitReason::Paused { .. } => None,
        }
    }
}

/// A duration as one number and its unit.
fn in_words(length: Duration) -> (u64, &'static str) {
    match length.as_secs() {
        seconds @ 0..60 => (seconds, "s"),
        seconds @ 60..3_600 => (seconds / 60, "m"),
        seconds @ 3_600..172_800 => (seconds / 3_600, "h"),
        seconds => (seconds / 86_400, "days"),
    }
}

/// One or two sentences for people.
impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitReason::Draining => f.write_str(
                "The server is shutting down. The job can start once the server is running again.",
            ),
            WaitReason::ServerPaused => {
                f.write_str("The server is paused. No job starts until it is resumed.")
            }
            WaitReason::StoreUnavailable { error: Some(error) } => {
                write!(f, "No job can start because the store is not accepting writes: {error}.")
            }
            WaitReason::StoreUnavailable { error: None } => {
                f.write_str("No job can start because the store is not accepting writes.")
            }
            WaitReason::NoWorker { kind, queue, workers, .. } if workers.any() => {
                write!(f, "No worker for kind {kind} takes jobs of queue {queue} now: {workers}.")
            }
            WaitReason::NoWorker { kind, left: None, .. } => {
                write!(f, "No worker for kind {kind} is connected.")
            }
            WaitReason::NoWorker { kind, left: Some(left), .. } => {
                let (amount, unit) = in_words(*left);
                write!(
                    f,
                    "No worker for kind {kind} is connected; the last one left {amount} {unit} ago."
                )
            }
            WaitReason::NotDue { at } => write!(f, "It is not due until {at}."),
            WaitReason::DueNow => f.write_str("It is due and is about to become available."),
            WaitReason::Paused { queue } => {
                write!(f, "Queue {queue} is paused. No job starts until it is resumed.")
            }
            WaitReason::RateReached { queue, limit, at, ahead } => {
                let rate = limit.in_words();
                write!(f, "Queue {queue} is limited to {rate}. Next start: {at}. ")?;
                write_ahead(f, *ahead)
            }
            WaitReason::QueueFull { queue, running, limit, ahead } => {
                write_busy(f, *limit, *running, &format_args!("in queue {queue}"))?;
                write_ahead(f, *ahead)
            }
            WaitReason::ServerFull { running, limit, ahead } => {
                write_busy(f, *limit, *running, &"on the server")?;
                write_ahead(f, *ahead)
            }
            WaitReason::Waits { ahead: 0, .. } => {
                f.write_str("It is next in its queue and starts when a worker takes it.")
            }
            WaitReason::Waits { queue, ahead } => {
                write!(f, "It is waiting for its turn in queue {queue}. ")?;
                write_ahead(f, *ahead)
            }
        }
    }
}

/// Says that all slots are busy. More attempts than slots can be running after the limit was lowered.
fn write_busy(
    f: &mut fmt::Formatter<'_>,
    slots: u64,
    running: u64,
    whose: &dyn fmt::Display,
) -> fmt::Result {
    match (slots, running) {
        (slots, running) if running > slots => {
            write!(f, "{running} attempts are running {whose}, above the limit of {slots}. ")
        }
        (1, _) => write!(f, "The only slot {whose} is busy. "),
        (2, _) => write!(f, "Both slots {whose} are busy. "),
        (slots, _) => write!(f, "All {slots} slots {whose} are busy. "),
    }
}

fn write_ahead(f: &mut fmt::Formatter<'_>, ahead: u64) -> fmt::Result {
    match ahead {
        0 => f.write_str("It is next."),
        1 => f.write_str("One job is ahead of it."),
        COUNTED_AHEAD.. => f.write_str("More than 1,000 jobs are ahead of it."),
        _ => write!(f, "{ahead} jobs are ahead of it."),
    }
}

#[cfg(test)]
mod tests;
