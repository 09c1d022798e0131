//! The events of the audit log in words.

use crate::job::{
    AccessChange, AccessSubject, Change, Fact, JobId, KindChange, LinkSubject, QueueChange,
    ScheduleChange, Time, WorkerChange, WorkerLeft, WorkerName,
};
use crate::ui::parts::filters::{escaped_segment, query_link};
use crate::ui::parts::time_format::TimeText;

/// An event in words, with what it is about.
pub struct EventText {
    /// The words before the subject: `Paused queue`, or `Worker`.
    pub text: String,
    /// What the event is about.
    pub subject: Option<SubjectLink>,
    /// The words of the sentence behind the subject: `connected`. Usually there are none.
    pub after: &'static str,
    /// Details behind the subject.
    pub more: String,
    /// Until when what was created is valid.
    pub until: Option<TimeText>,
}

/// What an event is about, with the address of its page.
pub struct SubjectLink {
    /// Its name.
    pub text: String,
    /// The address of its page; empty if it has none.
    pub href: String,
}

/// Describes an event that somebody caused.
pub fn event_text(fact: &Fact, now: Time) -> EventText {
    match fact {
        Fact::Job { id, labels, change, .. } => {
            let (text, more) = of_job(change, labels.queue.as_str());
            let name = format!("{} {}", labels.kind, id.short());
            let is_due = matches!(change, Change::BecameAvailable);
            let after = if is_due { "became due" } else { "" };
            EventText { after, more, ..EventText::of(text, name, format!("jobs/{id}")) }
        }
        Fact::Queue { queue, change } => {
            let (text, more) = of_queue(*change);
            let href = format!("queues/{}", escaped_segment(queue.as_str()));
            EventText { more, ..EventText::of(text, queue.to_string(), href) }
        }
        Fact::Schedule { schedule, change } => {
            let (text, more) = of_schedule(*change);
            let href = format!("schedules/of/{}", escaped_segment(schedule.as_str()));
            EventText { more, ..EventText::of(text, schedule.to_string(), href) }
        }
        Fact::Access { subject, change } => of_access(subject, *change, now),
        Fact::Kind { kind, change } => {
            let text = match change {
                KindChange::Set => "Declared kind",
                KindChange::Announced => "Announced kind",
                KindChange::Deleted => "Deleted the declaration of kind",
            };
            EventText::of(text, kind.to_string(), String::new())
        }
        Fact::Worker { worker, change } => of_worker(worker, *change),
    }
}

impl EventText {
    fn of(text: &str, subject: String, href: String) -> EventText {
        EventText {
            text: text.to_owned(),
            subject: Some(SubjectLink { text: subject, href }),
            after: "",
            more: String::new(),
            until: None,
        }
    }
}

fn of_worker(worker: &WorkerName, change: WorkerChange) -> EventText {
    let (text, after, more) = match change {
        WorkerChange::Connected => ("Worker", "connected", ""),
        WorkerChange::Left { why: WorkerLeft::SignedOff } => ("Worker", "disconnected", ""),
        WorkerChange::Left { why: WorkerLeft::Silent } => {
            ("Worker", "disconnected", "without signing off")
        }
        WorkerChange::Left { why: WorkerLeft::Replaced } => {
            ("Worker", "disconnected", "because another one connected with its name")
        }
        WorkerChange::Quieted => ("Quieted worker", "", ""),
        WorkerChange::Stopping => ("Told worker", "to stop", ""),
        WorkerChange::Resumed => ("Resumed worker", "", ""),
    };
    let href = query_link("workers", "q", worker.as_str());
    EventText { after, more: more.to_owned(), ..EventText::of(text, worker.to_string(), href) }
}

fn of_job(change: &Change, queue: &str) -> (&'static str, String) {
    let nothing = String::new();
    match change {
        Change::Enqueued { .. } => ("Submitted job", format!("to queue {queue}")),
        Change::CancelAsked => ("Requested the cancellation of job", nothing),
        Change::Cancelled => ("Cancelled job", nothing),
        Change::Retried => ("Retried job", nothing),
        Change::Deleted => ("Deleted job", nothing),
        Change::Moved { from } => ("Moved job", format!("from queue {from} to queue {queue}")),
        Change::Reprioritised { priority } => {
            ("Changed the priority of job", format!("to {priority}"))
        }
        Change::BecameAvailable => ("Job", nothing),
        Change::Started { worker } => ("Started job", format!("on {worker}")),
        Change::Progressed(_) => ("Reported progress of job", nothing),
        Change::Logged(_) => ("Wrote to the log of job", nothing),
        Change::Completed { .. } => ("Completed job", nothing),
        Change::RetryScheduled { .. } => ("Failed an attempt of job", nothing),
        Change::Snoozed { .. } => ("Snoozed job", nothing),
        Change::Discarded { .. } => ("Discarded job", nothing),
        Change::Interrupted { .. } => ("Interrupted job", nothing),
        Change::Rescued { .. } => ("Rescued job", nothing),
    }
}

fn of_queue(change: QueueChange) -> (&'static str, String) {
    match change {
        QueueChange::Paused => ("Paused queue", String::new()),
        QueueChange::Resumed => ("Resumed queue", String::new()),
        QueueChange::ConcurrencySet { concurrency: Some(concurrency) } => {
            ("Set the concurrency of queue", format!("to {concurrency}"))
        }
        QueueChange::ConcurrencySet { concurrency: None } => {
            ("Restored the configured concurrency of queue", String::new())
        }
        QueueChange::RateLimitSet { rate_limit: Some(rule) } => {
            ("Set the rate limit of queue", format!("to {rule}"))
        }
        QueueChange::RateLimitSet { rate_limit: None } => {
            ("Restored the configured rate limit of queue", String::new())
        }
    }
}

fn of_schedule(change: ScheduleChange) -> (&'static str, String) {
    let job = |job: JobId| format!("as job {}", job.short());
    match change {
        ScheduleChange::Set { .. } => ("Saved schedule", String::new()),
        ScheduleChange::Deleted => ("Deleted schedule", String::new()),
        ScheduleChange::Paused => ("Paused schedule", String::new()),
        ScheduleChange::Resumed { .. } => ("Resumed schedule", String::new()),
        ScheduleChange::Fired { due: None, job: id, .. } => ("Ran schedule", job(id)),
        ScheduleChange::Fired { due: Some(_), job: id, .. } => ("Fired schedule", job(id)),
        ScheduleChange::Skipped { .. } => ("Skipped a run of schedule", String::new()),
    }
}

fn of_access(subject: &AccessSubject, change: AccessChange, now: Time) -> EventText {
    let link = |text: String, href: String| SubjectLink { text, href };
    let (thing, subject) = match subject {
        AccessSubject::User(name) => {
            ("user", link(name.to_string(), format!("users/{}", escaped_segment(name.as_str()))))
        }
        AccessSubject::Token { id: _, name } => ("token", link(name.to_string(), "tokens".into())),
        AccessSubject::Session { id, of: _ } => ("session", link(id.to_string(), String::new())),
        AccessSubject::Link { id: _, to: LinkSubject::Job(job) } => {
            ("share link", link(format!("to job {}", job.short()), format!("jobs/{job}")))
        }
        AccessSubject::Link { id: _, to: LinkSubject::Queue(queue) } => {
            let href = format!("queues/{}", escaped_segment(queue.as_str()));
            ("share link", link(format!("to queue {queue}"), href))
        }
    };
    let until = match change {
        AccessChange::TokenAdded { role: _, expires_at } => expires_at,
        AccessChange::LinkAdded { expires_at } => Some(expires_at),
        AccessChange::UserAdded { .. }
        | AccessChange::UserRoleSet { .. }
        | AccessChange::UserPasswordSet
        | AccessChange::UserDisabled
        | AccessChange::UserEnabled
        | AccessChange::UserDeleted
        | AccessChange::TokenRevoked
        | AccessChange::SessionOpened
        | AccessChange::SessionClosed
        | AccessChange::LinkRevoked => None,
    };
    let (verb, more) = match change {
        AccessChange::UserAdded { role } => ("Added", format!("with the role {role}")),
        AccessChange::UserRoleSet { role } => ("Changed the role of", format!("to {role}")),
        AccessChange::UserPasswordSet => ("Set the password of", String::new()),
        AccessChange::UserDisabled => ("Disabled", String::new()),
        AccessChange::UserEnabled => ("Enabled", String::new()),
        AccessChange::UserDeleted => ("Deleted", String::new()),
        AccessChange::TokenAdded { role, expires_at: _ } => {
            ("Created", format!("with the role {role}"))
        }
        AccessChange::TokenRevoked => ("Revoked", String::new()),
        AccessChange::SessionOpened => ("Opened", String::new()),
        AccessChange::SessionClosed => ("Ended", String::new()),
        AccessChange::LinkAdded { expires_at: _ } => ("Created", String::new()),
        AccessChange::LinkRevoked => ("Revoked", String::new()),
    };
    let until = until.map(|at| TimeText::new(at, now));
    EventText { text: format!("{verb} {thing}"), subject: Some(subject), after: "", more, until }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Kind, QueueName};

    /// The sentence that a reader of the page sees.
    fn read_aloud(fact: &Fact) -> String {
        let EventText { text, subject, after, more, until: _ } = event_text(fact, Time::default());
        let subject = subject.map_or_else(String::new, |subject| subject.text);
        let parts = [text, subject, after.to_owned(), more];
        let words: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        words.join(" ")
    }

    #[test]
    fn what_workers_did_reads_as_a_sentence() {
        let left = |why| WorkerChange::Left { why };
        for (change, sentence) in [
            (WorkerChange::Connected, "Worker web-1 connected"),
            (left(WorkerLeft::SignedOff), "Worker web-1 disconnected"),
            (left(WorkerLeft::Silent), "Worker web-1 disconnected without signing off"),
            (
                left(WorkerLeft::Replaced),
                "Worker web-1 disconnected because another one connected with its name",
            ),
            (WorkerChange::Quieted, "Quieted worker web-1"),
            (WorkerChange::Stopping, "Told worker web-1 to stop"),
            (WorkerChange::Resumed, "Resumed worker web-1"),
        ] {
            let worker = WorkerName::parse("web-1").unwrap();
            assert_eq!(read_aloud(&Fact::Worker { worker, change }), sentence);
        }
    }

    #[test]
    fn other_events_read_as_sentences_too() {
        let queue = QueueName::parse("mail").unwrap();
        let paused = Fact::Queue { queue: queue.clone(), change: QueueChange::Paused };
        assert_eq!(read_aloud(&paused), "Paused queue mail");
        let change = QueueChange::ConcurrencySet { concurrency: None };
        let restored = Fact::Queue { queue, change };
        assert_eq!(read_aloud(&restored), "Restored the configured concurrency of queue mail");
        let kind = Kind::parse("resize").unwrap();
        let deleted = Fact::Kind { kind, change: KindChange::Deleted };
        assert_eq!(read_aloud(&deleted), "Deleted the declaration of kind resize");
    }
}
