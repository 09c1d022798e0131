//! Jobs as JSON: the row of a list, the whole job, its log, and its status after a control.
//! Payload and result are the text that came in, untouched.

use serde::Serialize;
use serde_json::value::RawValue;

use super::event::{ChangeView, FailureView, LineView, ProgressView};
use super::{Shown, millis};
use crate::engine::WaitReason;
use crate::job::{
    AttemptEnd, AttemptView, Backoff, Cursor, EventType, Job, JobId, Json, LogLine, Moment,
    QueueName, State, Status, Tag, Time,
};

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
            error: last_error(job),
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

/// Of the last attempt that failed; a job that came through in the end has none.
fn last_error(job: &Job) -> Option<FailureView<'_>> {
    let failure = job.last_failure().filter(|_| job.status.state != State::Completed);
    failure.map(FailureView::of)
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
    /// Why it is not running, while it waits; only where one job is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<WhyView>,
    /// The place in the log the job was read at; absent where that is told elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Shown<Cursor>>,
}

/// Why a job is not running.
#[derive(Debug, Serialize)]
struct WhyView {
    code: &'static str,
    text: String,
    /// Jobs of its queue that go before it, counted up to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<u64>,
}

impl WhyView {
    fn of(why: &WaitReason) -> Self {
        WhyView { code: why.code(), text: why.to_string(), ahead: why.ahead() }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct BackoffView {
    base_ms: u64,
    cap_ms: u64,
}

impl BackoffView {
    pub(super) fn of(Backoff { base_ms, cap_ms }: Backoff) -> Self {
        BackoffView { base_ms, cap_ms }
    }
}

impl<'a> JobView<'a> {
    /// The view of one job.
    pub fn of(job: &'a Job) -> Self {
        JobView {
            row: JobRow::of(job),
            payload: raw(&job.spec.payload),
            result: job.result().map(raw),
            timeout_ms: job.spec.timeout_ms,
            backoff: BackoffView::of(job.spec.retry.backoff),
            attempts: job.attempts().iter().map(AttemptJson::of).collect(),
            timeline: job.history.iter().map(MomentView::of).collect(),
            why: None,
            cursor: None,
        }
    }

    /// The view with the reason why it is not running.
    pub fn because(self, why: Option<&WaitReason>) -> Self {
        JobView { why: why.map(WhyView::of), ..self }
    }

    /// The view of a job that an earlier submission with the same key made.
    pub fn existing(self) -> Self {
        JobView { row: JobRow { existing: true, ..self.row }, ..self }
    }

    /// The view with the place in the log it was read at.
    pub fn at(self, cursor: Cursor) -> Self {
        JobView { cursor: Some(Shown(cursor)), ..self }
    }
}

/// The text as it came in, without a copy.
pub(super) fn raw(json: &Json) -> &RawValue {
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

/// A job's log: `{"lines":[{"line","at","stream","text"}],"dropped","cursor"}`, oldest line first.
#[derive(Debug, Serialize)]
pub struct LogView<'a> {
    lines: Vec<NumberedView<'a>>,
    /// Older lines that were not kept.
    dropped: u64,
    cursor: Shown<Cursor>,
}

impl<'a> LogView<'a> {
    /// The lines after number `after` of one job's log, read at a place.
    pub fn of(job: &'a Job, after: u64, cursor: Cursor) -> Self {
        let lines = (job.log_dropped + 1..).zip(&job.log).filter(|(number, _)| *number > after);
        let lines = lines.map(|(number, line)| NumberedView::of(number, line)).collect();
        LogView { lines, dropped: job.log_dropped, cursor: Shown(cursor) }
    }
}

/// `{"line","at","stream","text"}`; a job's lines are numbered from 1, also over attempts.
#[derive(Debug, Serialize)]
pub struct NumberedView<'a> {
    line: u64,
    #[serde(flatten)]
    what: LineView<'a>,
}

impl<'a> NumberedView<'a> {
    /// A line with its number.
    pub fn of(number: u64, line: &'a LogLine) -> Self {
        NumberedView { line: number, what: LineView::of(line) }
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
