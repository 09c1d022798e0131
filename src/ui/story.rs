//! What happened to a job, in words: its timeline, its attempts, and why it is where it is.

use crate::engine::QueueStats;
use crate::job::{AttemptEnd, AttemptView, Change, Interruption, Job, Moment, State, Time};

use super::when::{When, length};

/// One line of the timeline.
pub struct Line {
    /// When.
    pub when: When,
    /// The state it led to, for its colour.
    pub state: State,
    /// What happened.
    pub text: String,
    /// When the job goes on, where the line says so.
    pub next: Option<When>,
    /// What went wrong, in one line.
    pub error: Option<String>,
}

/// The whole timeline, newest last.
pub fn timeline(job: &Job, now: Time) -> Vec<Line> {
    let later = job.history.iter().map(|moment| line(moment, now));
    std::iter::once(accepted(job, now)).chain(later.flatten()).collect()
}

/// Acceptance is not part of the history: the record itself says when it was.
fn accepted(job: &Job, now: Time) -> Line {
    Line {
        when: When::new(job.enqueued_at, now),
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
        Change::BecameAvailable => ("Its time came: ready to run".into(), None, None),
        Change::Started { worker } => (format!("Attempt {n} started on {worker}"), None, None),
        Change::Completed { .. } => (format!("Attempt {n} succeeded"), None, None),
        Change::RetryScheduled { failure, run_at } => {
            (format!("Attempt {n} failed; the next one may start at"), Some(*run_at), Some(failure))
        }
        Change::Snoozed { run_at } => {
            ("Asked to be called again later, not counted; due at".into(), Some(*run_at), None)
        }
        Change::Discarded { failure } => {
            (format!("Given up after attempt {n}"), None, Some(failure))
        }
        Change::CancelAsked => ("Cancel asked for; its worker is told".into(), None, None),
        Change::Cancelled => ("Cancelled".into(), None, None),
        Change::Interrupted { why } => {
            (format!("Interrupted: {}; the attempt does not count", cause(*why)), None, None)
        }
        Change::Rescued { why } => {
            (format!("Rescued: {}; attempt {n} counts", cause(*why)), None, None)
        }
        Change::Retried => ("Made to run again by hand".into(), None, None),
        Change::Deleted => ("Deleted".into(), None, None),
        Change::Moved { from } => (format!("Moved out of queue {from}"), None, None),
        Change::Reprioritised { priority } => (format!("Given priority {priority}"), None, None),
    };
    Some(Line {
        when: When::new(moment.at, now),
        state: moment.state,
        text,
        next: next.map(|at| When::new(at, now)),
        error: error.map(|failure| failure.message.lines().next().unwrap_or_default().to_owned()),
    })
}

fn cause(why: Interruption) -> &'static str {
    match why {
        Interruption::Stop => "the server was stopped",
        Interruption::Crash => "the server's process died",
        Interruption::LeaseExpired => "the worker fell silent and its lease ran out",
        Interruption::Unclaimed => "the disk failed before the worker heard of it",
    }
}

/// One attempt as its page shows it.
pub struct Attempt {
    /// Its number, from 1.
    pub number: u16,
    /// Who ran it.
    pub worker: String,
    /// When it started.
    pub started: When,
    /// How long it took; empty while it runs.
    pub took: String,
    /// The word for its end, and the state whose colour fits.
    pub outcome: &'static str,
    /// See `outcome`.
    pub colour: State,
    /// How it ended, in full.
    pub detail: String,
    /// `error`, `timeout`, `panic` or `lost`, when it failed.
    pub class: Option<&'static str>,
    /// The error in full, when it failed.
    pub error: Option<String>,
}

impl Attempt {
    /// The view of one attempt.
    pub fn of(attempt: &AttemptView<'_>, now: Time) -> Self {
        let (outcome, colour, detail) = match attempt.end.as_ref().map(|(_, end)| end) {
            None => ("running", State::Running, String::new()),
            Some(AttemptEnd::Completed) => ("completed", State::Completed, String::new()),
            Some(AttemptEnd::Failed(_)) => ("failed", State::Discarded, String::new()),
            Some(AttemptEnd::Snoozed) => {
                ("snoozed", State::Scheduled, "Asked to be called again later; not counted.".into())
            }
            Some(AttemptEnd::Cancelled) => ("cancelled", State::Cancelled, String::new()),
            Some(AttemptEnd::Interrupted(why)) => (
                "interrupted",
                State::Retryable,
                format!("Cut off because {}; given back and not counted.", cause(*why)),
            ),
            Some(AttemptEnd::Rescued(why)) => {
                ("lost", State::Retryable, format!("Lost because {}; it counts.", cause(*why)))
            }
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
            started: When::new(attempt.started_at, now),
            took: attempt.duration().map(length).unwrap_or_default(),
            outcome,
            colour,
            detail,
            class: failure.map(|failure| failure.class.as_str()),
            error: failure.map(|failure| failure.message.to_string()),
        }
    }
}

/// Why the job is where it is, in one sentence, with the moment that belongs at its end.
pub fn standing(job: &Job, queue: Option<&QueueStats>, now: Time) -> (String, Option<When>) {
    let (attempt, max) = (job.status.attempt, job.status.max_attempts);
    let paused = queue.is_some_and(|queue| queue.paused);
    let name = &job.labels.queue;
    let due = || Some(When::new(job.run_at, now));
    let started = || job.history.last().map(|moment| When::new(moment.at, now));
    match job.status.state {
        State::Scheduled => ("Waits for its time: due".into(), due()),
        State::Available if paused => {
            (format!("Ready, but queue {name} is paused: it runs when the queue is resumed."), None)
        }
        State::Available => (format!("Ready: waits for a free place in queue {name}."), None),
        State::Running if job.status.cancel_asked => {
            ("Asked to stop: its worker has been told.".into(), None)
        }
        State::Running => (format!("Attempt {attempt} of {max} is running; it started"), started()),
        State::Retryable => {
            (format!("Attempt {attempt} of {max} failed: the next one is due"), due())
        }
        State::Completed => {
            let took = job.attempts().last().and_then(AttemptView::duration).map(length);
            let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
            (format!("Done{took}, on attempt {attempt} of {max},"), started())
        }
        State::Discarded => (
            format!(
                "Given up after attempt {attempt} of {max}. When the cause is mended, retry it."
            ),
            None,
        ),
        State::Cancelled => ("Stopped on request".into(), started()),
    }
}
