//! A worker as a row of the list of workers, and an attempt as a row of the list below it.

use crate::engine::{Engine, HeldAttempt, RemoteAttempt, WorkerReport, WorkerState};
use crate::job::{JobId, Kind, Labels, QueueName, Time, WorkerName};

use super::time_format::{TimeText, length};

/// The most kinds and queues that a row names.
const NAMES: usize = 6;
/// The most attempts that a row names.
pub const JOBS: usize = 3;

/// The values of a row.
pub struct WorkerRow {
    /// The name.
    pub name: String,
    /// Where it runs and with what: host, process, client, transport.
    pub about: String,
    /// Whether it runs in another process, so that it can be told what to do.
    pub is_remote: bool,
    /// What it does, in one word.
    pub state: &'static str,
    /// The style of that word.
    pub tone: &'static str,
    /// What that word means, unless everything is as usual.
    pub meaning: &'static str,
    /// The commands that make sense now.
    pub offers: Offers,
    /// The number of attempts that it runs.
    pub running: usize,
    /// The most attempts that it runs at once.
    pub concurrency: Option<usize>,
    /// The oldest of its attempts.
    pub jobs: Vec<AttemptRow>,
    /// The kinds that it runs.
    pub kinds: ShortList,
    /// The queues from which it takes jobs; `None` for all.
    pub queues: Option<ShortList>,
    /// When it connected.
    pub connected: Option<TimeText>,
    /// When it was heard from last, if that is longer ago than its leases last. Nothing else needs to be shown: the page
    /// learns of a worker that has become silent from an event, so it does not have to ask for heartbeats.
    pub seen: Option<TimeText>,
    /// How long its leases last.
    pub lease: String,
}

/// The commands that a worker can be given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offers {
    /// To claim no more jobs.
    pub quiet: bool,
    /// To exit.
    pub stop: bool,
    /// To claim jobs again.
    pub resume: bool,
}

/// The first names of a list.
pub struct ShortList {
    /// The names.
    pub names: Vec<String>,
    /// All others, separated by commas.
    pub others: String,
    /// The number of the others.
    pub more: usize,
}

/// An attempt of any worker.
pub struct AttemptRow {
    /// The job.
    pub id: JobId,
    /// The last characters of its id.
    pub short: String,
    /// Its kind.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// The worker.
    pub worker: String,
    /// The number of the attempt.
    pub attempt: u16,
    /// The most attempts of the job, if this process has the job.
    pub max_attempts: Option<u16>,
    /// When it started.
    pub since: TimeText,
    /// The same, to sort by.
    pub started_at: Time,
    /// When its lease expires, if its worker is silent and so does not extend it.
    pub expires: Option<TimeText>,
    /// Whether it was asked to end.
    pub ending: bool,
}

impl ShortList {
    /// Shortens a list.
    pub fn of<'a>(names: impl Iterator<Item = &'a str>) -> ShortList {
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        let others = names.split_off(names.len().min(NAMES));
        ShortList { names, more: others.len(), others: others.join(", ") }
    }
}

impl WorkerRow {
    /// The row of the worker in this process, with its oldest attempts.
    pub fn of_this_process(engine: &Engine, running: usize, jobs: Vec<AttemptRow>) -> WorkerRow {
        let config = engine.config();
        let now = engine.now();
        let kinds = engine.own_kinds();
        let version = env!("CARGO_PKG_VERSION");
        let process = if engine.nodes().len() > 1 { "node" } else { "server" };
        WorkerRow {
            name: config.worker.to_string(),
            about: format!("this {process} · process {} · cortado {version}", std::process::id()),
            is_remote: false,
            state: WorkerState::Active.as_str(),
            tone: "active",
            meaning: "",
            offers: Offers::default(),
            running,
            concurrency: Some(config.max_running),
            jobs,
            kinds: ShortList::of(kinds.iter().map(Kind::as_str)),
            queues: None,
            connected: engine.started_at().map(|at| TimeText::new(at, now)),
            seen: None,
            lease: length(config.lease_ttl),
        }
    }

    /// The row of a worker in another process, with its oldest attempts.
    pub fn of_remote(worker: &WorkerReport, jobs: &[RemoteAttempt], now: Time) -> WorkerRow {
        let (tone, meaning, offers) = standing(worker);
        WorkerRow {
            name: worker.name.to_string(),
            about: about(worker),
            is_remote: true,
            state: worker.state.as_str(),
            tone,
            meaning,
            offers,
            running: worker.running,
            concurrency: worker.about.concurrency.map(|most| most as usize),
            jobs: jobs.iter().map(|held| AttemptRow::of_remote(held, now)).collect(),
            kinds: ShortList::of(worker.interest.kinds.iter().map(Kind::as_str)),
            queues: Some(ShortList::of(worker.interest.queues.iter().map(QueueName::as_str))),
            connected: Some(TimeText::new(worker.connected_at, now)),
            seen: (worker.state == WorkerState::Silent).then(|| TimeText::new(worker.seen_at, now)),
            lease: length(worker.lease),
        }
    }

    /// How many of its attempts the row does not name.
    pub fn more_jobs(&self) -> usize {
        self.running.saturating_sub(self.jobs.len())
    }
}

/// How the state of a worker is shown, what it means, and what the worker can be told.
fn standing(worker: &WorkerReport) -> (&'static str, &'static str, Offers) {
    match worker.state {
        WorkerState::Active => {
            ("active", "", Offers { quiet: true, stop: true, ..Offers::default() })
        }
        WorkerState::Quiet => (
            "paused",
            "It gets no more jobs.",
            Offers { stop: true, resume: true, ..Offers::default() },
        ),
        WorkerState::Stopping => (
            "paused",
            "It exits when its jobs have ended.",
            Offers { resume: true, ..Offers::default() },
        ),
        WorkerState::Silent if worker.running > 0 => {
            ("lost", "Its jobs start elsewhere when their leases expire.", Offers::default())
        }
        WorkerState::Silent => ("lost", "It left without signing off.", Offers::default()),
    }
}

/// Where a worker runs and with what.
fn about(worker: &WorkerReport) -> String {
    let about = &worker.about;
    let client = about.client.as_deref().map(|client| match about.version.as_deref() {
        Some(version) => format!("{client} {version}"),
        None => client.to_owned(),
    });
    let parts = [
        about.host.as_deref().map(str::to_owned),
        about.pid.map(|pid| format!("process {pid}")),
        client,
        Some(worker.transport.in_words().to_owned()),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

impl AttemptRow {
    /// The row of an attempt of this process.
    pub fn of(held: &HeldAttempt, worker: &WorkerName, now: Time) -> AttemptRow {
        let job = &held.job;
        AttemptRow {
            attempt: job.status.attempt,
            max_attempts: Some(job.status.max_attempts),
            ending: held.is_ending,
            ..AttemptRow::begun(job.id, &job.labels, worker, held.started_at, now)
        }
    }

    /// The row of an attempt in another process.
    pub fn of_remote(held: &RemoteAttempt, now: Time) -> AttemptRow {
        AttemptRow {
            attempt: held.attempt,
            expires: held.is_worker_silent.then(|| TimeText::new(held.lease_until, now)),
            ending: held.is_ending,
            ..AttemptRow::begun(held.job, &held.labels, &held.worker, held.started_at, now)
        }
    }

    fn begun(id: JobId, labels: &Labels, worker: &WorkerName, at: Time, now: Time) -> AttemptRow {
        AttemptRow {
            id,
            short: id.short(),
            kind: labels.kind.to_string(),
            queue: labels.queue.to_string(),
            worker: worker.to_string(),
            attempt: 1,
            max_attempts: None,
            since: TimeText::new(at, now),
            started_at: at,
            expires: None,
            ending: false,
        }
    }
}
