//! The history of a job in words: its timeline, its attempts, its current status and the steps of a cancellation.

use crate::engine::WaitReason;
use crate::job::{AttemptEnd, AttemptView, Change, Interruption, Job, Moment, State, Time};

use crate::ui::parts::time_format::{TimeText, length};

/// One line of the timeline.
pub struct Line {
    /// When it happened.
    pub when: TimeText,
    /// The state that the change led to, for its colour.
    pub state: State,
    /// What happened.
    pub text: String,
    /// The time of the next attempt, if the entry has one.
    pub next: Option<TimeText>,
    /// The error in one line.
    pub error: Option<String>,
}

/// Builds the whole timeline, oldest entry first.
pub fn timeline(job: &Job, now: Time) -> Vec<Line> {
    let later = job.history.iter().map(|moment| line(moment, now));
    std::iter::once(accepted(job, now)).chain(later.flatten()).collect()
}

/// The entry for the acceptance, which is not part of the stored history.
fn accepted(job: &Job, now: Time) -> Line {
    Line {
        when: TimeText::new(job.enqueued_at, now),
        state: State::Available,
        text: format!("Accepted into queue {}", job.labels.queue),
        next: None,
        error: None,
    }
}

fn line(moment: &Moment, now: Time) -> Option<Line> {
    let n = moment.attempt;
    let (text, next, error) = match &moment.change {
        Change::Enqueued { .. } | Change::Progressed(_) | Change::Logged(_) => return None,
        Change::BecameAvailable => ("Due and ready to run".into(), None, None),
        Change::Started { worker } => (format!("Attempt {n} started on {worker}"), None, None),
        Change::Completed { .. } => (format!("Attempt {n} succeeded"), None, None),
        Change::RetryScheduled { failure, run_at } => {
            (format!("Attempt {n} failed; next attempt at"), Some(*run_at), Some(failure))
        }
        Change::Snoozed { run_at } => {
            ("Snoozed, attempt not counted; due at".into(), Some(*run_at), None)
        }
        Change::Discarded { failure } => {
            (format!("Discarded after attempt {n}"), None, Some(failure))
        }
        Change::CancelAsked => ("Cancellation requested".into(), None, None),
        Change::Cancelled => ("Cancelled".into(), None, None),
        Change::Interrupted { why } => {
            (format!("Interrupted: {}; attempt not counted", cause(*why)), None, None)
        }
        Change::Rescued { why } => {
            (format!("Rescued: {}; attempt {n} counted", cause(*why)), None, None)
        }
        Change::Retried => ("Retried manually".into(), None, None),
        Change::Deleted => ("Deleted".into(), None, None),
        Change::Moved { from } => (format!("Moved from queue {from}"), None, None),
        Change::Reprioritised { priority } => {
            (format!("Priority changed to {priority}"), None, None)
        }
    };
    Some(Line {
        when: TimeText::new(moment.at, now),
        state: moment.state,
        text,
        next: next.map(|at| TimeText::new(at, now)),
        error: error.map(|failure| first_line(&failure.message)),
    })
}

/// The first line of an error that is not blank.
pub fn first_line(message: &str) -> String {
    message.trim().lines().next().unwrap_or_default().to_owned()
}

fn cause(why: Interruption) -> &'static str {
    match why {
        Interruption::Stop => "the server was stopped",
        Interruption::Crash => "the server process died",
        Interruption::LeaseExpired => "the worker sent no heartbeat and its lease expired",
        Interruption::Unclaimed => "the disk failed before the worker received the job",
    }
}

/// Builds the list of attempts, oldest first, so that a new one does not move the others.
pub fn attempts(job: &Job, now: Time) -> Vec<Attempt> {
    job.attempts().iter().map(|attempt| Attempt::of(attempt, now)).collect()
}

/// One attempt as the page shows it.
pub struct Attempt {
    /// Its number, from 1.
    pub number: u16,
    /// The worker that ran it.
    pub worker: String,
    /// When it started.
    pub started: TimeText,
    /// How long it took, or how long it has been running.
    pub took: String,
    /// Whether it is still running.
    pub runs: bool,
    /// The word for its outcome.
    pub outcome: &'static str,
    /// The state whose colour the outcome takes.
    pub colour: State,
    /// A sentence about how it ended, where the outcome needs one.
    pub detail: String,
    /// The class of its failure: `error`, `timeout`, `panic` or `lost`.
    pub class: Option<&'static str>,
    /// The full error, if it failed.
    pub error: Option<String>,
}

impl Attempt {
    /// Builds the view of one attempt.
    fn of(attempt: &AttemptView<'_>, now: Time) -> Self {
        let (outcome, colour, detail) = match attempt.end.as_ref().map(|(_, end)| end) {
            None => ("running", State::Running, String::new()),
            Some(AttemptEnd::Completed) => ("completed", State::Completed, String::new()),
            Some(AttemptEnd::Failed(_)) => ("failed", State::Discarded, String::new()),
            Some(AttemptEnd::Snoozed) => (
                "snoozed",
                State::Scheduled,
                "The handler snoozed the job; the attempt is not counted.".into(),
            ),
            Some(AttemptEnd::Cancelled) => ("cancelled", State::Cancelled, String::new()),
            Some(AttemptEnd::Interrupted(why)) => (
                "interrupted",
                State::Retryable,
                format!("Interrupted because {}; the attempt is not counted.", cause(*why)),
            ),
            Some(AttemptEnd::Rescued(why)) => (
                "lost",
                State::Retryable,
                format!("Lost because {}; the attempt is counted.", cause(*why)),
            ),
        };
        let failure = match attempt.end.as_ref().map(|(_, end)| end) {
            Some(AttemptEnd::Failed(failure)) => Some(*failure),
            Some(
                AttemptEnd::Completed
                | AttemptEnd::Snoozed
                | AttemptEnd::Cancelled
                | AttemptEnd::Interrupted(_)
                | AttemptEnd::Rescued(_),
            )
            | None => None,
        };
        Attempt {
            number: attempt.number,
            worker: attempt.worker.to_string(),
            started: TimeText::new(attempt.started_at, now),
            took: length(attempt.duration().unwrap_or_else(|| now.since(attempt.started_at))),
            runs: attempt.end.is_none(),
            outcome,
            colour,
            detail,
            class: failure.map(|failure| failure.class.as_str()),
            error: failure.map(|failure| failure.message.to_string()),
        }
    }
}

/// The status of the job in one sentence, and the time that completes the sentence. `why` is the engine's reason
/// why a waiting job is not running.
pub fn standing(job: &Job, why: Option<&WaitReason>, now: Time) -> (String, Option<TimeText>) {
    let (attempt, max) = (job.status.attempt, job.status.max_attempts);
    let failed = format!("Attempt {attempt} of {max} failed");
    let due = || Some(TimeText::new(job.run_at, now));
    let last = || job.history.last().map(|moment| TimeText::new(moment.at, now));
    match (job.status.state, why) {
        (State::Scheduled, Some(WaitReason::NotDue { .. }) | None) => {
            ("Scheduled: due".into(), due())
        }
        (State::Retryable, Some(WaitReason::NotDue { .. }) | None) => {
            (format!("{failed}. Next attempt"), due())
        }
        (State::Retryable, Some(why)) => (format!("{failed}. {why}"), None),
        (State::Scheduled | State::Available, Some(why)) => (why.to_string(), None),
        (State::Available, None) => ("Ready to run.".into(), None),
        (State::Running, _) => {
            let started =
                job.attempts().last().map(|attempt| TimeText::new(attempt.started_at, now));
            (format!("Attempt {attempt} of {max} is running, started"), started)
        }
        (State::Completed, _) => {
            let took = job.attempts().last().and_then(AttemptView::duration).map(length);
            let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
            (format!("Completed{took} on attempt {attempt} of {max},"), last())
        }
        (State::Discarded, _) => (format!("Discarded after attempt {attempt} of {max},"), last()),
        (State::Cancelled, _) => ("Cancelled".into(), last()),
    }
}

/// One step of a cancellation.
pub struct Step {
    /// A short description.
    pub text: &'static str,
    /// When the step was completed.
    pub when: Option<TimeText>,
    /// The style of the step: `done`, `now` or `open`.
    pub class: &'static str,
}

/// The steps of a cancellation of the newest attempt; empty when nobody requested one. `is_notified` says
/// whether the engine has passed the request on to the attempt.
pub fn cancelling(job: &Job, is_notified: bool, now: Time) -> Vec<Step> {
    let newest = job.history.iter().rposition(|m| matches!(m.change, Change::Started { .. }));
    let attempt = &job.history[newest.unwrap_or(job.history.len())..];
    let Some(asked) = attempt.iter().position(|m| m.change == Change::CancelAsked) else {
        return Vec::new();
    };
    let ended = attempt[asked + 1..].first();
    let step = |text, when: Option<Time>, class| Step {
        text,
        when: when.map(|at| TimeText::new(at, now)),
        class,
    };
    let notified = if is_notified || ended.is_some() {
        step("Worker notified", None, "done")
    } else {
        step("The worker is notified with its next heartbeat", None, "now")
    };
    let stopped = match ended {
        None => step("Still running", None, if notified.class == "done" { "now" } else { "open" }),
        Some(end) if end.state == State::Cancelled => step("Cancelled", Some(end.at), "done"),
        Some(end) => step("The attempt ended on its own", Some(end.at), "done"),
    };
    vec![step("Cancellation requested", Some(attempt[asked].at), "done"), notified, stopped]
}
