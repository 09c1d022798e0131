//! The history of a job in words: its timeline, its attempts, its current status and the steps of a cancellation.

use crate::engine::WaitReason;
use crate::job::{
    Actor, AttemptEnd, AttemptView, Change, Failure, Interruption, Job, Moment, State, Time,
};

use super::error_change::error_change;
use super::waterfall::{Bar, Waterfall};
use crate::ui::parts::job_row::excerpt;
use crate::ui::parts::time_format::{TimeText, length};
use crate::ui::parts::visible_text::{Escapes, Syntax, VisibleText};

/// The newest entries of the timeline that are shown at first.
const NEWEST_LINES: usize = 12;
/// The newest attempts of a finished job that are shown at first.
const NEWEST_ATTEMPTS: usize = 5;
/// The newest attempts of a job that goes on, whose list has a fixed place on the page.
const NEWEST_ATTEMPTS_LIVE: usize = 2;

/// A list of which only the newest entries are shown at first. The others are one click away.
pub struct NewestFew<T> {
    /// The hidden entries, oldest first.
    pub older: Vec<T>,
    /// The shown entries, oldest first.
    pub newest: Vec<T>,
}

impl<T> NewestFew<T> {
    /// Shows the newest `count` entries, or all of them when only one would be hidden.
    fn of(mut all: Vec<T>, count: usize) -> Self {
        let hidden = if all.len() <= count + 1 { 0 } else { all.len() - count };
        let newest = all.split_off(hidden);
        NewestFew { older: all, newest }
    }

    /// The number of all entries.
    pub fn len(&self) -> usize {
        self.older.len() + self.newest.len()
    }

    /// Whether there are no entries at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An error: the line that says what happened, and the whole message.
pub struct ErrorText {
    /// The beginning of that line.
    pub short: String,
    /// The whole message.
    pub whole: VisibleText,
}

impl ErrorText {
    fn new(message: &str, escapes: Escapes) -> Self {
        let whole = VisibleText::new(message, escapes, Syntax::Text);
        ErrorText { short: excerpt(message), whole }
    }
}

/// One line of the timeline.
pub struct TimelineEntry {
    /// Its position in the whole timeline, which identifies it on the page.
    pub index: usize,
    /// When it happened.
    pub when: TimeText,
    /// The state that the change led to, for its colour.
    pub state: State,
    /// What happened.
    pub text: String,
    /// The time of the next attempt, if the entry has one.
    pub next: Option<TimeText>,
    /// The error, if the entry has one.
    pub error: Option<ErrorText>,
}

/// Builds the timeline, oldest entry first.
pub fn timeline(job: &Job, escapes: Escapes, now: Time) -> NewestFew<TimelineEntry> {
    let later = job.history.iter().map(|moment| line(moment, escapes, now));
    let lines = std::iter::once(submitted(job, now)).chain(later.flatten());
    let numbered = lines.enumerate().map(|(index, line)| TimelineEntry { index, ..line });
    NewestFew::of(numbered.collect(), NEWEST_LINES)
}

/// The entry for the submission, which is not part of the stored history.
fn submitted(job: &Job, now: Time) -> TimelineEntry {
    TimelineEntry {
        index: 0,
        when: TimeText::new(job.enqueued_at, now),
        state: State::Available,
        text: in_the_name_of(
            format!("Submitted to queue {}", job.labels.queue),
            job.enqueued_by.as_ref(),
        ),
        next: None,
        error: None,
    }
}

fn line(moment: &Moment, escapes: Escapes, now: Time) -> Option<TimelineEntry> {
    let n = moment.attempt;
    let (text, next, error) = match &moment.change {
        Change::Enqueued { .. } | Change::Progressed(_) | Change::Logged(_) => return None,
        Change::BecameAvailable => ("Became due".into(), None, None),
        Change::Started { worker } => (format!("Attempt {n} started on {worker}"), None, None),
        Change::Completed { .. } => (format!("Attempt {n} succeeded"), None, None),
        Change::RetryScheduled { failure, run_at } => {
            (format!("Attempt {n} failed; next attempt at"), Some(*run_at), Some(failure))
        }
        Change::Snoozed { run_at } => {
            (format!("Attempt {n} snoozed (not counted); due at"), Some(*run_at), None)
        }
        Change::Discarded { failure } => {
            (format!("Discarded after attempt {n}"), None, Some(failure))
        }
        Change::CancelAsked => ("Cancellation requested".into(), None, None),
        Change::Cancelled => ("Cancelled".into(), None, None),
        Change::Interrupted { why } => {
            (format!("Attempt {n} interrupted (not counted): {}", cause(*why)), None, None)
        }
        Change::Rescued { why } => {
            (format!("Attempt {n} lost (counted): {}", cause(*why)), None, None)
        }
        Change::Retried => ("Retried manually".into(), None, None),
        Change::Deleted => ("Deleted".into(), None, None),
        Change::Moved { from } => (format!("Moved from queue {from}"), None, None),
        Change::Reprioritised { priority } => {
            (format!("Priority changed to {priority}"), None, None)
        }
    };
    Some(TimelineEntry {
        index: 0,
        when: TimeText::new(moment.at, now),
        state: moment.state,
        text: in_the_name_of(text, moment.by.as_ref()),
        next: next.map(|at| TimeText::new(at, now)),
        error: error.map(|failure| ErrorText::new(&failure.message, escapes)),
    })
}

/// A text with the actor, if there is one: "Cancelled by anna".
fn in_the_name_of(text: String, actor: Option<&Actor>) -> String {
    match actor {
        None => text,
        Some(Actor::User(name)) => format!("{text} by {name}"),
        Some(Actor::Token(name)) => format!("{text} by token {name}"),
        Some(Actor::Schedule(name)) => format!("{text} by schedule {name}"),
        Some(Actor::Link(id)) => format!("{text} by share link {id}"),
    }
}

fn cause(why: Interruption) -> &'static str {
    match why {
        Interruption::Stop => "the server was stopped",
        Interruption::Crash => "the server process died",
        Interruption::LeaseExpired => "the worker sent no heartbeat and its lease expired",
        Interruption::Unclaimed => "the disk failed before the worker received the job",
        Interruption::Returned => "the worker stopped and gave the job back",
    }
}

/// Builds the list of attempts, oldest first, so that a new one does not move the others.
pub fn attempts(
    job: &Job,
    waterfall: &mut Waterfall,
    escapes: Escapes,
    now: Time,
) -> NewestFew<Attempt> {
    let attempts = job.attempts();
    let failed = attempts.iter().rposition(|attempt| failure(attempt).is_some());
    let mut rows = std::mem::take(&mut waterfall.rows).into_iter();
    let mut before: Option<(u16, &Failure)> = None;
    let views = attempts.iter().enumerate().map(|(index, attempt)| {
        let error = failure(attempt);
        let change = before
            .zip(error)
            .map(|((number, earlier), error)| error_change(earlier, number, error));
        before = error.map(|error| (attempt.number, error)).or(before);
        Attempt {
            index,
            is_open: failed == Some(index),
            bars: rows.next().unwrap_or_default(),
            change: change.unwrap_or_default(),
            ..Attempt::of(attempt, escapes, now)
        }
    });
    let is_final = job.status.state.is_final();
    NewestFew::of(views.collect(), if is_final { NEWEST_ATTEMPTS } else { NEWEST_ATTEMPTS_LIVE })
}

fn failure<'a>(attempt: &AttemptView<'a>) -> Option<&'a Failure> {
    match attempt.end.as_ref().map(|(_, end)| end) {
        Some(AttemptEnd::Failed(failure)) => Some(failure),
        Some(
            AttemptEnd::Completed
            | AttemptEnd::Snoozed
            | AttemptEnd::Cancelled
            | AttemptEnd::Interrupted(_)
            | AttemptEnd::Rescued(_),
        )
        | None => None,
    }
}

/// One attempt as the page shows it.
pub struct Attempt {
    /// Its position among all attempts, which identifies it on the page: attempts that are not charged share a number.
    pub index: usize,
    /// Whether its error is shown at first: that of the newest attempt that failed is.
    pub is_open: bool,
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
    /// What is new in its error, compared with the attempt that failed before it.
    pub change: String,
    /// Its wait and its run on the time axis of the job.
    pub bars: Vec<Bar>,
    /// The class of its failure: `error`, `timeout`, `panic` or `lost`.
    pub class: Option<&'static str>,
    /// The error, if it failed.
    pub error: Option<ErrorText>,
}

impl Attempt {
    /// Builds the view of one attempt.
    fn of(attempt: &AttemptView<'_>, escapes: Escapes, now: Time) -> Self {
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
        let failure = failure(attempt);
        Attempt {
            index: 0,
            is_open: false,
            number: attempt.number,
            worker: attempt.worker.to_string(),
            started: TimeText::new(attempt.started_at, now),
            took: length(attempt.duration().unwrap_or_else(|| now.since(attempt.started_at))),
            runs: attempt.end.is_none(),
            outcome,
            colour,
            detail,
            change: String::new(),
            bars: Vec::new(),
            class: failure.map(|failure| failure.class.as_str()),
            error: failure.map(|failure| ErrorText::new(&failure.message, escapes)),
        }
    }
}

/// The status of the job in one sentence, and the time that completes the sentence. `why` is the engine's reason
/// why a waiting job is not running.
pub fn status_line(job: &Job, why: Option<&WaitReason>, now: Time) -> (String, Option<TimeText>) {
    let (attempt, max) = (job.status.attempt, job.status.max_attempts);
    let failed = format!("Attempt {attempt} of {max} failed");
    let due = || Some(TimeText::new(job.run_at, now));
    let last = || job.history.last().map(|moment| TimeText::new(moment.at, now));
    if let Some(limited @ WaitReason::RateReached { at, .. }) = why
        && job.status.state.is_waiting()
    {
        // The time stands apart, so that the reader sees it in the chosen time zone.
        let text = limited.to_string().replace(&format!(" Next start: {at}."), "");
        return (format!("{text} Next start"), Some(TimeText::new(*at, now)));
    }
    match (job.status.state, why) {
        (State::Scheduled, Some(WaitReason::NotDue { .. }) | None) => {
            ("Scheduled, due".into(), due())
        }
        (State::Retryable, Some(WaitReason::NotDue { .. }) | None) => {
            (format!("{failed}. Next attempt"), due())
        }
        (State::Retryable, Some(why)) => (format!("{failed}. {why}"), None),
        (State::Scheduled | State::Available, Some(why)) => (why.to_string(), None),
        (State::Available, None) => ("Waiting for a free slot.".into(), None),
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

/// The end of a job in words, for a reader who watches it: `Job completed after 3 s`. `None` before its end.
pub fn end_in_words(job: &Job) -> Option<String> {
    let end = job.finished_at()?;
    let retried = job.history.iter().rev().find(|moment| moment.change == Change::Retried);
    let start = retried.map_or(job.enqueued_at, |moment| moment.at);
    Some(format!("Job {} after {}", job.status.state, length(end.since(start))))
}

/// One step of a cancellation.
pub struct CancelStep {
    /// A short description.
    pub text: &'static str,
    /// When the step was completed.
    pub when: Option<TimeText>,
    /// The style of the step: `done`, `now` or `open`.
    pub class: &'static str,
}

/// The steps of a cancellation of the newest attempt; empty when nobody requested one. `is_notified` says
/// whether the engine has passed the request on to the attempt.
pub fn cancelling(job: &Job, is_notified: bool, now: Time) -> Vec<CancelStep> {
    let newest = job.history.iter().rposition(|m| matches!(m.change, Change::Started { .. }));
    let attempt = &job.history[newest.unwrap_or(job.history.len())..];
    let Some(asked) = attempt.iter().position(|m| m.change == Change::CancelAsked) else {
        return Vec::new();
    };
    let ended = attempt[asked + 1..].first();
    let step = |text, when: Option<Time>, class| CancelStep {
        text,
        when: when.map(|at| TimeText::new(at, now)),
        class,
    };
    let notified = if is_notified || ended.is_some() {
        step("Worker notified", None, "done")
    } else {
        step("The worker is notified at its next heartbeat", None, "now")
    };
    let stopped = match ended {
        None => step("Still running", None, if notified.class == "done" { "now" } else { "open" }),
        Some(end) if end.state == State::Cancelled => step("Cancelled", Some(end.at), "done"),
        Some(end) => step("The attempt ended on its own", Some(end.at), "done"),
    };
    vec![step("Cancellation requested", Some(attempt[asked].at), "done"), notified, stopped]
}
