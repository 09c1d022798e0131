//! Events as JSON: the fields that every event has, and those that each type adds.
//! They are used in the event stream and in the timeline of a job.

use serde::Serialize;

use super::encode::{Displayed, to_json};
use crate::job::{
    AccessChange, AccessSubject, Actor, Change, Concurrency, Event, Fact, Failure, JobId, Kind,
    LinkId, LinkSubject, LogLine, Progress, QueueChange, QueueName, RateRule, Role, ScheduleChange,
    ScheduleName, SessionId, Tag, Time, TokenId, TokenName, UserName, WorkerChange, WorkerName,
    error_line,
};

/// Writes one event, in the same form for every transport:
/// `{"seq","at","type","job":{"id","queue","kind","state","attempt","tags"}, …}` or
/// `{"seq","at","type":"queue.paused","queue"}`; `by` is who caused it, such as `{"user":"anna"}`. Payload and result are
/// never included.
pub fn event_json(event: &Event) -> String {
    to_json(&EventView::of(event))
}

/// The JSON of an event; see [`event_json`].
#[derive(Debug, Serialize)]
pub struct EventView<'a> {
    seq: u64,
    at: Displayed<Time>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<EventJob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a QueueName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'a ScheduleName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a Kind>,
    #[serde(flatten)]
    access: Option<AccessEventView<'a>>,
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
    /// Creates the view of an event.
    pub fn of(event: &'a Event) -> Self {
        let (mut queue, mut schedule, mut kind, mut access) = (None, None, None, None);
        let (job, more) = match &event.fact {
            Fact::Job { id, labels, state, attempt, change } => {
                let job = EventJob {
                    id: *id,
                    queue: &labels.queue,
                    kind: labels.kind.as_str(),
                    state: state.as_str(),
                    attempt: *attempt,
                    tags: &labels.tags,
                };
                (Some(job), Some(ChangeView::of(change)))
            }
            Fact::Queue { queue: name, change } => {
                queue = Some(name);
                (None, ChangeView::of_queue(*change))
            }
            Fact::Schedule { schedule: name, change } => {
                schedule = Some(name);
                (None, ChangeView::of_schedule(*change))
            }
            Fact::Access { subject, change } => {
                access = Some(AccessEventView::of(subject, *change));
                (None, None)
            }
            Fact::Kind { kind: name, .. } => {
                kind = Some(name);
                (None, None)
            }
            Fact::Worker { worker, change } => (None, Some(ChangeView::of_worker(worker, *change))),
        };
        let r#type = event.event_type().as_str();
        let (at, by) = (Displayed(event.at), event.by.as_ref());
        EventView { seq: event.seq, at, r#type, by, job, queue, schedule, kind, access, more }
    }
}

/// The fields of events about users, tokens, sessions and share links.
#[derive(Debug, Default, Serialize)]
struct AccessEventView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a UserName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<EventToken<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<EventSession<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<EventLink<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// Null means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Option<Displayed<Time>>>,
}

#[derive(Debug, Serialize)]
struct EventToken<'a> {
    id: &'a TokenId,
    name: &'a TokenName,
}

#[derive(Debug, Serialize)]
struct EventSession<'a> {
    id: &'a SessionId,
    of: &'a Actor,
}

#[derive(Debug, Serialize)]
struct EventLink<'a> {
    id: &'a LinkId,
    to: &'a LinkSubject,
}

impl<'a> AccessEventView<'a> {
    fn of(subject: &'a AccessSubject, change: AccessChange) -> Self {
        let nothing = AccessEventView::default();
        let subject = match subject {
            AccessSubject::User(name) => AccessEventView { user: Some(name), ..nothing },
            AccessSubject::Token { id, name } => {
                AccessEventView { token: Some(EventToken { id, name }), ..nothing }
            }
            AccessSubject::Session { id, of } => {
                AccessEventView { session: Some(EventSession { id, of }), ..nothing }
            }
            AccessSubject::Link { id, to } => {
                AccessEventView { link: Some(EventLink { id, to }), ..nothing }
            }
        };
        match change {
            AccessChange::UserAdded { role } | AccessChange::UserRoleSet { role } => {
                AccessEventView { role: Some(role), ..subject }
            }
            AccessChange::TokenAdded { role, expires_at } => AccessEventView {
                role: Some(role),
                expires_at: Some(expires_at.map(Displayed)),
                ..subject
            },
            AccessChange::LinkAdded { expires_at } => {
                AccessEventView { expires_at: Some(Some(Displayed(expires_at))), ..subject }
            }
            AccessChange::UserPasswordSet
            | AccessChange::UserDisabled
            | AccessChange::UserEnabled
            | AccessChange::UserDeleted
            | AccessChange::TokenRevoked
            | AccessChange::SessionOpened
            | AccessChange::SessionClosed
            | AccessChange::LinkRevoked => subject,
        }
    }
}

/// The fields that only some types of events have.
#[derive(Debug, Default, Serialize)]
pub(super) struct ChangeView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<i16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Displayed<Time>>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a QueueName>,
    /// Null means the configured value.
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<Option<Concurrency>>,
    /// Null means the configured value.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<Option<RateRule>>,
    /// Null means that the schedule was fired by a request.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<Option<Displayed<Time>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    /// Null means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Option<Displayed<Time>>>,
}

impl<'a> ChangeView<'a> {
    fn of_queue(change: QueueChange) -> Option<Self> {
        match change {
            QueueChange::Paused | QueueChange::Resumed => None,
            QueueChange::ConcurrencySet { concurrency } => {
                Some(ChangeView { concurrency: Some(concurrency), ..ChangeView::default() })
            }
            QueueChange::RateLimitSet { rate_limit } => {
                Some(ChangeView { rate_limit: Some(rate_limit), ..ChangeView::default() })
            }
        }
    }

    fn of_schedule(change: ScheduleChange) -> Option<Self> {
        let nothing = ChangeView::default();
        let next = |at: Option<Time>| Some(at.map(Displayed));
        match change {
            ScheduleChange::Deleted | ScheduleChange::Paused => None,
            ScheduleChange::Set { next_at } | ScheduleChange::Resumed { next_at } => {
                Some(ChangeView { next_at: next(next_at), ..nothing })
            }
            ScheduleChange::Fired { due, job, next_at } => Some(ChangeView {
                due: next(due),
                job_id: Some(job),
                next_at: next(next_at),
                ..nothing
            }),
            ScheduleChange::Skipped { due, why, next_at } => Some(ChangeView {
                due: next(Some(due)),
                why: Some(why.as_str()),
                next_at: next(next_at),
                ..nothing
            }),
        }
    }

    fn of_worker(worker: &'a WorkerName, change: WorkerChange) -> Self {
        let why = match change {
            WorkerChange::Left { why } => Some(why.as_str()),
            WorkerChange::Connected
            | WorkerChange::Quieted
            | WorkerChange::Stopping
            | WorkerChange::Resumed => None,
        };
        ChangeView { worker: Some(worker.as_str()), why, ..ChangeView::default() }
    }

    pub(super) fn of(change: &'a Change) -> Self {
        let nothing = ChangeView::default();
        let time = |at: &Time| Some(Displayed(*at));
        match change {
            Change::Enqueued { spec, run_at } => ChangeView {
                priority: Some(spec.priority),
                max_attempts: Some(spec.retry.max_attempts),
                run_at: time(run_at),
                ..nothing
            },
            Change::Started { worker } => {
                ChangeView { worker: Some(worker.name().as_str()), ..nothing }
            }
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
            Change::Moved { from } => ChangeView { from: Some(from), ..nothing },
            Change::Reprioritised { priority } => {
                ChangeView { priority: Some(*priority), ..nothing }
            }
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
    pub(super) fn of(progress: &'a Progress) -> Self {
        let Progress { done, total, message } = progress;
        ProgressView { done: *done, total: *total, message: message.as_deref() }
    }
}

/// `{"at","stream","text"}`; `stream` is `log`, `stdout` or `stderr`.
#[derive(Debug, Serialize)]
pub struct LineView<'a> {
    at: Displayed<Time>,
    stream: &'static str,
    text: &'a str,
}

impl<'a> LineView<'a> {
    pub(super) fn of(line: &'a LogLine) -> Self {
        LineView { at: Displayed(line.at), stream: line.stream.as_str(), text: &line.text }
    }
}

/// `{"class","message"}`; `class` is `error`, `timeout`, `panic` or `lost`.
#[derive(Debug, Serialize)]
pub struct FailureView<'a> {
    class: &'static str,
    message: &'a str,
    /// The line that says what happened, if it is not the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
}

impl<'a> FailureView<'a> {
    pub(super) fn of(failure: &'a Failure) -> Self {
        let message = failure.message.trim();
        let summary = error_line(message);
        let summary = Some(summary).filter(|line| !message.starts_with(*line));
        FailureView { class: failure.class.as_str(), message: &failure.message, summary }
    }
}
