//! The public JSON shapes of jobs and events. Each name here is a promise to programs and pages;
//! field order is the order of writing, times are RFC 3339 with milliseconds.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::job::{
    AttemptEnd, AttemptView, Backoff, Change, Cursor, Event, EventType, Fact, Failure, Job, JobId,
    Json, LogLine, Moment, Progress, QueueName, State, Status, Tag, Time,
};

/// One event as every door of the stream writes it:
/// `{"seq","at","type","job":{"id","queue","kind","state","attempt","tags"}, …}` or
/// `{"seq","at","type":"queue.paused","queue"}`; never the payload, never the result.
pub fn event_json(event: &Event) -> String {
    to_json(&EventView::of(event))
}

/// Everything known of one job but its log; see [`JobView`].
pub fn job_json(job: &Job) -> String {
    to_json(&JobView::of(job))
}

/// Writes a view. The views of this file have string keys only, so writing them cannot fail.
pub fn to_json<T: Serialize>(view: &T) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// A value that shows itself as text: times, cursors, states, types.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

/// The shape of [`event_json`].
#[derive(Debug, Serialize)]
pub struct EventView<'a> {
    seq: u64,
    at: Shown<Time>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<EventJob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a QueueName>,
    #[serde(flatten)]
    more: Option<ChangeView<'a>>,
}

#[derive(Debug, Serialize)]
struct EventJob<'a> {
    id: JobId,
    queue: &'a QueueName,
    kind: &'a str,
    state: &'static str,
    attempt: u16,
    tags: &'a [Tag],
}

impl<'a> EventView<'a> {
    /// The view of one event.
    pub fn of(event: &'a Event) -> Self {
        let (job, queue, more) = match &event.fact {
            Fact::Job { id, labels, state, attempt, change } => {
                let job = EventJob {
                    id: *id,
                    queue: &labels.queue,
                    kind: labels.kind.as_str(),
                    state: state.as_str(),
                    attempt: *attempt,
                    tags: &labels.tags,
                };
                (Some(job), None, Some(ChangeView::of(change)))
            }
            Fact::Queue { queue, change: _ } => (None, Some(queue), None),
        };
        let r#type = event.event_type().as_str();
        EventView { seq: event.seq, at: Shown(event.at), r#type, job, queue, more }
    }
}

/// What only some types of event carry.
#[derive(Debug, Default, Serialize)]
struct ChangeView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Shown<Time>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    worker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineView<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FailureView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

impl<'a> ChangeView<'a> {
    fn of(change: &'a Change) -> Self {
        let nothing = ChangeView::default();
        let time = |at: &Time| Some(Shown(*at));
        match change {
            Change::Enqueued { spec, run_at } => ChangeView {
                priority: Some(spec.priority),
                max_attempts: Some(spec.retry.max_attempts),
                run_at: time(run_at),
                ..nothing
            },
            Change::Started { worker } => ChangeView { worker: Some(worker.as_str()), ..nothing },
            Change::Progressed(progress) => {
                ChangeView { progress: Some(ProgressView::of(progress)), ..nothing }
            }
            Change::Logged(lines) => {
                ChangeView { lines: Some(lines.iter().map(LineView::of).collect()), ..nothing }
            }
            Change::RetryScheduled { failure, run_at } => ChangeView {
                error: Some(FailureView::of(failure)),
                run_at: time(run_at),
                ..nothing
            },
            Change::Snoozed { run_at } => ChangeView { run_at: time(run_at), ..nothing },
            Change::Discarded { failure } => {
                ChangeView { error: Some(FailureView::of(failure)), ..nothing }
            }
            Change::Interrupted { why } | Change::Rescued { why } => {
                ChangeView { why: Some(why.as_str()), ..nothing }
            }
            Change::BecameAvailable
            | Change::Completed { .. }
            | Change::CancelAsked
            | Change::Cancelled
            | Change::Retried
            | Change::Deleted => nothing,
        }
    }
}

/// `{"done","total","message"}`; `total` and `message` may be null.
#[derive(Debug, Serialize)]
pub struct ProgressView<'a> {
    done: u64,
    total: Option<u64>,
    message: Option<&'a str>,
}

impl<'a> ProgressView<'a> {
    fn of(progress: &'a Progress) -> Self {
        let Progress { done, total, message } = progress;
        ProgressView { done: *done, total: *total, message: message.as_deref() }
    }
}

/// `{"at","stream","text"}`; `stream` is `log`, `stdout` or `stderr`.
#[derive(Debug, Serialize)]
pub struct LineView<'a> {
    at: Shown<Time>,
    stream: &'static str,
    text: &'a str,
}

impl<'a> LineView<'a> {
    fn of(line: &'a LogLine) -> Self {
        LineView { at: Shown(line.at), stream: line.stream.as_str(), text: &line.text }
    }
}

/// `{"class","message"}`; `class` is `error`, `timeout`, `panic` or `lost`.
#[derive(Debug, Serialize)]
pub struct FailureView<'a> {
    class: &'static str,
    message: &'a str,
}

impl<'a> FailureView<'a> {
    fn of(failure: &'a Failure) -> Self {
        FailureView { class: failure.class.as_str(), message: &failure.message }
    }
}

/// A row of a list, and the answer to a submission: no payload, no result, no attempts.
#[derive(Debug, Serialize)]
pub struct JobRow<'a> {
    id: JobId,
    kind: &'a str,
    queue: &'a QueueName,
    state: &'static str,
    priority: i16,
    tags: &'a [Tag],
    attempt: u16,
    max_attempts: u16,
    enqueued_at: Shown<Time>,
    run_at: Shown<Time>,
    finished_at: Option<Shown<Time>>,
    progress: Option<ProgressView<'a>>,
    error: Option<FailureView<'a>>,
    cancel_asked: bool,
    idempotency_key: Option<&'a str>,
    seq: u64,
    /// Only in the answer to a submission whose key was already taken.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    existing: bool,
}

impl<'a> JobRow<'a> {
    /// The row of one job.
    pub fn of(job: &'a Job) -> Self {
        JobRow {
            id: job.id,
            kind: job.labels.kind.as_str(),
            queue: &job.labels.queue,
            state: job.status.state.as_str(),
            priority: job.spec.priority,
            tags: &job.labels.tags,
            attempt: job.status.attempt,
            max_attempts: job.status.max_attempts,
            enqueued_at: Shown(job.enqueued_at),
            run_at: Shown(job.run_at),
            finished_at: job.finished_at().map(Shown),
            progress: job.progress.as_ref().map(ProgressView::of),
            error: job.last_failure().map(FailureView::of),
            cancel_asked: job.status.cancel_asked,
            idempotency_key: job.spec.idempotency_key.as_ref().map(|key| key.as_str()),
            seq: job.seq,
            existing: false,
        }
    }

    /// The row of a job that an earlier submission with the same key made.
    pub fn of_existing(job: &'a Job) -> Self {
        JobRow { existing: true, ..JobRow::of(job) }
    }
}

/// Everything known of one job but its log: the row plus payload, result, attempts and timeline.
#[derive(Debug, Serialize)]
pub struct JobView<'a> {
    #[serde(flatten)]
    row: JobRow<'a>,
    payload: &'a RawValue,
    result: Option<&'a RawValue>,
    timeout_ms: Option<u64>,
    backoff: BackoffView,
    attempts: Vec<AttemptJson<'a>>,
    timeline: Vec<MomentView<'a>>,
    /// The place in the log the job was read at; absent where that is told elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Shown<Cursor>>,
}

#[derive(Debug, Serialize)]
struct BackoffView {
    base_ms: u64,
    cap_ms: u64,
}

impl<'a> JobView<'a> {
    /// The view of one job.
    pub fn of(job: &'a Job) -> Self {
        let Backoff { base_ms, cap_ms } = job.spec.retry.backoff;
        JobView {
            row: JobRow::of(job),
            payload: raw(&job.spec.payload),
            result: job.result().map(raw),
            timeout_ms: job.spec.timeout_ms,
            backoff: BackoffView { base_ms, cap_ms },
            attempts: job.attempts().iter().map(AttemptJson::of).collect(),
            timeline: job.history.iter().map(MomentView::of).collect(),
            cursor: None,
        }
    }

    /// The view with the place in the log it was read at.
    pub fn at(self, cursor: Cursor) -> Self {
        JobView { cursor: Some(Shown(cursor)), ..self }
    }
}

/// The text as it came in, without a copy.
fn raw(json: &Json) -> &RawValue {
    // The text was checked when it came in, so the fallback is never taken.
    serde_json::from_str(json.as_str()).unwrap_or(RawValue::NULL)
}

#[derive(Debug, Serialize)]
struct AttemptJson<'a> {
    number: u16,
    worker: &'a str,
    started_at: Shown<Time>,
    ended_at: Option<Shown<Time>>,
    duration_ms: Option<u64>,
    /// Null while it runs.
    outcome: Option<&'static str>,
    error: Option<FailureView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

impl<'a> AttemptJson<'a> {
    fn of(attempt: &AttemptView<'a>) -> Self {
        let (outcome, error, why) = match &attempt.end {
            None => (None, None, None),
            Some((_, end)) => {
                let (error, why) = match end {
                    AttemptEnd::Failed(failure) => (Some(FailureView::of(failure)), None),
                    AttemptEnd::Interrupted(why) | AttemptEnd::Rescued(why) => {
                        (None, Some(why.as_str()))
                    }
                    AttemptEnd::Completed | AttemptEnd::Snoozed | AttemptEnd::Cancelled => {
                        (None, None)
                    }
                };
                (Some(outcome_word(end)), error, why)
            }
        };
        AttemptJson {
            number: attempt.number,
            worker: attempt.worker.as_str(),
            started_at: Shown(attempt.started_at),
            ended_at: attempt.end.as_ref().map(|(at, _)| Shown(*at)),
            duration_ms: attempt.duration().map(millis),
            outcome,
            error,
            why,
        }
    }
}

/// The public word for the end of an attempt.
pub fn outcome_word(end: &AttemptEnd<'_>) -> &'static str {
    match end {
        AttemptEnd::Completed => "completed",
        AttemptEnd::Failed(_) => "failed",
        AttemptEnd::Snoozed => "snoozed",
        AttemptEnd::Cancelled => "cancelled",
        AttemptEnd::Interrupted(_) => "interrupted",
        AttemptEnd::Rescued(_) => "lost",
    }
}

/// One entry of a job's timeline; `job.enqueued` is not in it, it is the job's `enqueued_at`.
#[derive(Debug, Serialize)]
struct MomentView<'a> {
    seq: u64,
    at: Shown<Time>,
    r#type: Shown<EventType>,
    state: Shown<State>,
    attempt: u16,
    #[serde(flatten)]
    more: ChangeView<'a>,
}

impl<'a> MomentView<'a> {
    fn of(moment: &'a Moment) -> Self {
        MomentView {
            seq: moment.seq,
            at: Shown(moment.at),
            r#type: Shown(moment.change.event_type()),
            state: Shown(moment.state),
            attempt: moment.attempt,
            more: ChangeView::of(&moment.change),
        }
    }
}

/// A job's log: `{"lines":[{"at","stream","text"}],"dropped","cursor"}`, oldest line first.
#[derive(Debug, Serialize)]
pub struct LogView<'a> {
    lines: Vec<LineView<'a>>,
    /// Older lines that were not kept.
    dropped: u64,
    cursor: Shown<Cursor>,
}

impl<'a> LogView<'a> {
    /// The log of one job, read at a place.
    pub fn of(job: &'a Job, cursor: Cursor) -> Self {
        let lines = job.log.iter().map(LineView::of).collect();
        LogView { lines, dropped: job.log_dropped, cursor: Shown(cursor) }
    }
}

/// What a job is after a control: `{"id","state","attempt","max_attempts","cancel_asked"}`.
#[derive(Debug, Serialize)]
pub struct StatusView {
    id: JobId,
    state: &'static str,
    attempt: u16,
    max_attempts: u16,
    cancel_asked: bool,
}

impl StatusView {
    /// The view of a status.
    pub fn of(id: JobId, status: Status) -> Self {
        let Status { state, attempt, max_attempts, cancel_asked } = status;
        StatusView { id, state: state.as_str(), attempt, max_attempts, cancel_asked }
    }
}

/// Whole milliseconds, as JSON has them.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "tests/view.rs"]
mod tests;
