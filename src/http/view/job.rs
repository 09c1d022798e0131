//! Jobs as JSON: the row of a list, the whole job, its log, and its status after an action.
//! Payload and result are written exactly as they were received, but for secrets in payloads.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::encode::{Displayed, millis};
use super::event::{ChangeView, FailureView, LineView, ProgressView};
use crate::engine::WaitReason;
use crate::job::secret::without_secrets;
use crate::job::{
    Actor, AttemptEnd, AttemptView, Backoff, Cursor, EventType, Job, JobId, Json, Kind, LogLine,
    Moment, QueueName, RetryPolicy, State, Status, Tag, Time,
};

/// A job in a list and in the answer to a submission, without payload, result and attempts.
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
    enqueued_at: Displayed<Time>,
    /// Absent when nobody was authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    enqueued_by: Option<&'a Actor>,
    run_at: Displayed<Time>,
    finished_at: Option<Displayed<Time>>,
    progress: Option<ProgressView<'a>>,
    error: Option<FailureView<'a>>,
    cancel_asked: bool,
    idempotency_key: Option<&'a str>,
    seq: u64,
    /// Only in the answer to a submission whose idempotency key existed already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    existing: bool,
}

impl<'a> JobRow<'a> {
    /// Creates the row of a job.
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
            enqueued_at: Displayed(job.enqueued_at),
            enqueued_by: job.enqueued_by.as_ref(),
            run_at: Displayed(job.run_at),
            finished_at: job.finished_at().map(Displayed),
            progress: job.progress.as_ref().map(ProgressView::of),
            error: last_error(job),
            cancel_asked: job.status.cancel_asked,
            idempotency_key: job.spec.idempotency_key.as_ref().map(|key| key.as_str()),
            seq: job.seq,
            existing: false,
        }
    }

    /// Creates the row of a job that was enqueued earlier with the same idempotency key.
    pub fn of_existing(job: &'a Job) -> Self {
        JobRow { existing: true, ..JobRow::of(job) }
    }
}

/// The error of the last failed attempt; none if the job completed in the end.
fn last_error(job: &Job) -> Option<FailureView<'_>> {
    let failure = job.last_failure().filter(|_| job.status.state != State::Completed);
    failure.map(FailureView::of)
}

/// One job without its log: the row with payload, result, attempts and timeline.
#[derive(Debug, Serialize)]
pub struct JobView<'a> {
    #[serde(flatten)]
    row: JobRow<'a>,
    payload: Cow<'a, RawValue>,
    result: Option<&'a RawValue>,
    timeout_ms: Option<u64>,
    backoff: BackoffView,
    attempts: Vec<AttemptJson<'a>>,
    timeline: Vec<MomentView<'a>>,
    /// The reason why it is waiting; only in the answer to a request for one job.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<WhyView>,
    /// The cursor at which the job was read; absent where the document has it elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Displayed<Cursor>>,
}

/// The reason why a job is waiting.
#[derive(Debug, Serialize)]
struct WhyView {
    code: &'static str,
    text: String,
    /// The number of jobs of its queue that come before it, counted up to 1,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead: Option<u64>,
}

impl WhyView {
    fn of(why: &WaitReason) -> Self {
        WhyView { code: why.code(), text: why.to_string(), ahead: why.ahead() }
    }
}

#[derive(Debug, Serialize)]
pub struct BackoffView {
    base_ms: u64,
    cap_ms: u64,
}

impl BackoffView {
    pub(super) fn of(Backoff { base_ms, cap_ms }: Backoff) -> Self {
        BackoffView { base_ms, cap_ms }
    }
}

/// A retry policy: `{"max_attempts","backoff","in_words"}`.
#[derive(Debug, Serialize)]
pub struct RetryView {
    max_attempts: u16,
    backoff: BackoffView,
    /// What it amounts to: "up to 25 attempts over about 20 days".
    in_words: String,
}

impl RetryView {
    /// Creates the view of a policy.
    pub fn of(retry: RetryPolicy) -> Self {
        let backoff = BackoffView::of(retry.backoff);
        RetryView { max_attempts: retry.max_attempts, backoff, in_words: retry.to_string() }
    }
}

impl<'a> JobView<'a> {
    /// Creates the view of a job.
    pub fn of(job: &'a Job) -> Self {
        JobView {
            row: JobRow::of(job),
            payload: shown_payload(&job.labels.kind, &job.spec.payload),
            result: job.result().map(raw),
            timeout_ms: job.spec.timeout_ms,
            backoff: BackoffView::of(job.spec.retry.backoff),
            attempts: job.attempts().iter().map(AttemptJson::of).collect(),
            timeline: job.history.iter().map(MomentView::of).collect(),
            why: None,
            cursor: None,
        }
    }

    /// Adds the reason why it is waiting.
    pub fn with_wait_reason(self, why: Option<&WaitReason>) -> Self {
        JobView { why: why.map(WhyView::of), ..self }
    }

    /// Marks the job as one that was enqueued earlier with the same idempotency key.
    pub fn existing(self) -> Self {
        JobView { row: JobRow { existing: true, ..self.row }, ..self }
    }

    /// Adds the cursor at which the job was read.
    pub fn at(self, cursor: Cursor) -> Self {
        JobView { cursor: Some(Displayed(cursor)), ..self }
    }
}

/// The text as it was received, without a copy.
/// The payload without secrets.
pub(super) fn shown_payload<'a>(kind: &Kind, payload: &'a Json) -> Cow<'a, RawValue> {
    match without_secrets(kind, payload) {
        Cow::Borrowed(payload) => Cow::Borrowed(raw(payload)),
        Cow::Owned(payload) => Cow::Owned(payload.raw()),
    }
}

pub(super) fn raw(json: &Json) -> &RawValue {
    // The text was validated when it was received, so the fallback is never used.
    serde_json::from_str(json.as_str()).unwrap_or(RawValue::NULL)
}

#[derive(Debug, Serialize)]
struct AttemptJson<'a> {
    number: u16,
    worker: &'a str,
    started_at: Displayed<Time>,
    ended_at: Option<Displayed<Time>>,
    duration_ms: Option<u64>,
    /// Null while it is running.
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
            started_at: Displayed(attempt.started_at),
            ended_at: attempt.end.as_ref().map(|(at, _)| Displayed(*at)),
            duration_ms: attempt.duration().map(millis),
            outcome,
            error,
            why,
        }
    }
}

/// The public name of the outcome of an attempt.
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

/// One entry in the timeline of a job. `job.enqueued` has no entry; the job has `enqueued_at` instead.
#[derive(Debug, Serialize)]
struct MomentView<'a> {
    seq: u64,
    at: Displayed<Time>,
    r#type: Displayed<EventType>,
    state: Displayed<State>,
    attempt: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a Actor>,
    #[serde(flatten)]
    more: ChangeView<'a>,
}

impl<'a> MomentView<'a> {
    fn of(moment: &'a Moment) -> Self {
        MomentView {
            seq: moment.seq,
            at: Displayed(moment.at),
            r#type: Displayed(moment.change.event_type()),
            state: Displayed(moment.state),
            attempt: moment.attempt,
            by: moment.by.as_ref(),
            more: ChangeView::of(&moment.change),
        }
    }
}

/// The log of a job, oldest line first: `{"lines":[{"line","at","stream","text"}],"dropped","cursor"}`.
#[derive(Debug, Serialize)]
pub struct LogView<'a> {
    lines: Vec<NumberedLineView<'a>>,
    /// The number of older lines that were dropped.
    dropped: u64,
    cursor: Displayed<Cursor>,
}

impl<'a> LogView<'a> {
    /// Creates the view of the lines after line `after`, read at `cursor`.
    pub fn of(job: &'a Job, after: u64, cursor: Cursor) -> Self {
        let lines = (job.log_dropped + 1..).zip(&job.log).filter(|(number, _)| *number > after);
        let lines = lines.map(|(number, line)| NumberedLineView::of(number, line)).collect();
        LogView { lines, dropped: job.log_dropped, cursor: Displayed(cursor) }
    }
}

/// A log line with its number: `{"line","at","stream","text"}`. Lines are numbered from 1 across all attempts of a job.
#[derive(Debug, Serialize)]
pub struct NumberedLineView<'a> {
    line: u64,
    #[serde(flatten)]
    what: LineView<'a>,
}

impl<'a> NumberedLineView<'a> {
    /// Creates the view of a line.
    pub fn of(number: u64, line: &'a LogLine) -> Self {
        NumberedLineView { line: number, what: LineView::of(line) }
    }
}

/// The status of a job after an action: `{"id","state","attempt","max_attempts","cancel_asked"}`.
#[derive(Debug, Serialize)]
pub struct StatusView {
    id: JobId,
    state: &'static str,
    attempt: u16,
    max_attempts: u16,
    cancel_asked: bool,
}

impl StatusView {
    /// Creates the view of a status.
    pub fn of(id: JobId, status: Status) -> Self {
        let Status { state, attempt, max_attempts, cancel_asked } = status;
        StatusView { id, state: state.as_str(), attempt, max_attempts, cancel_asked }
    }
}
