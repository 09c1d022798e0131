//! The public names of event types, and patterns of them. Names are promises: they can be added, but never change.

use std::fmt;
use std::str::FromStr;

/// The type of an event, with a public name in the past tense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // each is the name of the change that the event carries
pub enum EventType {
    JobEnqueued,
    JobAvailable,
    JobStarted,
    JobProgressed,
    JobLogged,
    JobCompleted,
    JobRetryScheduled,
    JobSnoozed,
    JobDiscarded,
    JobCancelAsked,
    JobCancelled,
    JobInterrupted,
    JobRescued,
    JobRetried,
    JobDeleted,
    JobMoved,
    JobReprioritised,
    QueuePaused,
    QueueResumed,
    QueueConcurrencySet,
    QueueRateLimitSet,
    ScheduleSet,
    ScheduleDeleted,
    SchedulePaused,
    ScheduleResumed,
    ScheduleFired,
    ScheduleSkipped,
    UserAdded,
    UserRoleSet,
    UserPasswordSet,
    UserDisabled,
    UserEnabled,
    UserDeleted,
    TokenAdded,
    TokenRevoked,
    SessionOpened,
    SessionClosed,
    LinkAdded,
    LinkRevoked,
    KindSet,
    KindAnnounced,
    KindDeleted,
    WorkerConnected,
    WorkerLeft,
    WorkerQuieted,
    WorkerStopping,
    WorkerResumed,
}

impl EventType {
    /// All types.
    pub const ALL: [EventType; 47] = [
        EventType::JobEnqueued,
        EventType::JobAvailable,
        EventType::JobStarted,
        EventType::JobProgressed,
        EventType::JobLogged,
        EventType::JobCompleted,
        EventType::JobRetryScheduled,
        EventType::JobSnoozed,
        EventType::JobDiscarded,
        EventType::JobCancelAsked,
        EventType::JobCancelled,
        EventType::JobInterrupted,
        EventType::JobRescued,
        EventType::JobRetried,
        EventType::JobDeleted,
        EventType::JobMoved,
        EventType::JobReprioritised,
        EventType::QueuePaused,
        EventType::QueueResumed,
        EventType::QueueConcurrencySet,
        EventType::QueueRateLimitSet,
        EventType::ScheduleSet,
        EventType::ScheduleDeleted,
        EventType::SchedulePaused,
        EventType::ScheduleResumed,
        EventType::ScheduleFired,
        EventType::ScheduleSkipped,
        EventType::UserAdded,
        EventType::UserRoleSet,
        EventType::UserPasswordSet,
        EventType::UserDisabled,
        EventType::UserEnabled,
        EventType::UserDeleted,
        EventType::TokenAdded,
        EventType::TokenRevoked,
        EventType::SessionOpened,
        EventType::SessionClosed,
        EventType::LinkAdded,
        EventType::LinkRevoked,
        EventType::KindSet,
        EventType::KindAnnounced,
        EventType::KindDeleted,
        EventType::WorkerConnected,
        EventType::WorkerLeft,
        EventType::WorkerQuieted,
        EventType::WorkerStopping,
        EventType::WorkerResumed,
    ];

    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::JobEnqueued => "job.enqueued",
            EventType::JobAvailable => "job.available",
            EventType::JobStarted => "job.started",
            EventType::JobProgressed => "job.progressed",
            EventType::JobLogged => "job.logged",
            EventType::JobCompleted => "job.completed",
            EventType::JobRetryScheduled => "job.retry_scheduled",
            EventType::JobSnoozed => "job.snoozed",
            EventType::JobDiscarded => "job.discarded",
            EventType::JobCancelAsked => "job.cancel_asked",
            EventType::JobCancelled => "job.cancelled",
            EventType::JobInterrupted => "job.interrupted",
            EventType::JobRescued => "job.rescued",
            EventType::JobRetried => "job.retried",
            EventType::JobDeleted => "job.deleted",
            EventType::JobMoved => "job.moved",
            EventType::JobReprioritised => "job.reprioritised",
            EventType::QueuePaused => "queue.paused",
            EventType::QueueResumed => "queue.resumed",
            EventType::QueueConcurrencySet => "queue.concurrency_set",
            EventType::QueueRateLimitSet => "queue.rate_limit_set",
            EventType::ScheduleSet => "schedule.set",
            EventType::ScheduleDeleted => "schedule.deleted",
            EventType::SchedulePaused => "schedule.paused",
            EventType::ScheduleResumed => "schedule.resumed",
            EventType::ScheduleFired => "schedule.fired",
            EventType::ScheduleSkipped => "schedule.skipped",
            EventType::UserAdded => "user.added",
            EventType::UserRoleSet => "user.role_set",
            EventType::UserPasswordSet => "user.password_set",
            EventType::UserDisabled => "user.disabled",
            EventType::UserEnabled => "user.enabled",
            EventType::UserDeleted => "user.deleted",
            EventType::TokenAdded => "token.added",
            EventType::TokenRevoked => "token.revoked",
            EventType::SessionOpened => "session.opened",
            EventType::SessionClosed => "session.closed",
            EventType::LinkAdded => "link.added",
            EventType::LinkRevoked => "link.revoked",
            EventType::KindSet => "kind.set",
            EventType::KindAnnounced => "kind.announced",
            EventType::KindDeleted => "kind.deleted",
            EventType::WorkerConnected => "worker.connected",
            EventType::WorkerLeft => "worker.left",
            EventType::WorkerQuieted => "worker.quieted",
            EventType::WorkerStopping => "worker.stopping",
            EventType::WorkerResumed => "worker.resumed",
        }
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventType {
    type Err = crate::job::Invalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let accepted =
            "expected an event type such as job.enqueued, job.started, job.completed, queue.paused";
        let found = EventType::ALL.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| crate::job::Invalid::new("type", text, accepted))
    }
}

impl EventType {
    /// The types that match a pattern, which is a type or a glob such as `job.*`, in which `*` matches any text.
    /// The list is never empty.
    ///
    /// # Errors
    /// When no type matches.
    pub fn matching(pattern: &str) -> Result<Vec<EventType>, crate::job::Invalid> {
        if !pattern.contains('*') {
            return pattern.parse().map(|kind| vec![kind]);
        }
        let named = EventType::ALL.into_iter().filter(|kind| glob(pattern, kind.as_str()));
        let named: Vec<EventType> = named.collect();
        let accepted = "expected a pattern of event types such as job.*, queue.*, *.completed";
        if named.is_empty() {
            Err(crate::job::Invalid::new("type", pattern, accepted))
        } else {
            Ok(named)
        }
    }
}

/// Whether a text matches a pattern in which `*` matches any text. Each part is matched at its first occurrence, so no
/// pattern takes long.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_survive_text_and_are_past_tense_names() {
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse::<EventType>().unwrap(), kind);
            let of = kind.as_str().split('.').next();
            let known =
                ["job", "queue", "schedule", "user", "token", "session", "link", "kind", "worker"];
            assert!(of.is_some_and(|of| known.contains(&of)), "{kind}");
        }
        assert!("job.finish".parse::<EventType>().is_err());
    }

    #[test]
    fn a_glob_names_every_type_it_fits() {
        let names = |pattern: &str| {
            let kinds = EventType::matching(pattern).unwrap();
            kinds.into_iter().map(EventType::as_str).collect::<Vec<_>>()
        };
        assert_eq!(names("job.*").len(), 17);
        assert_eq!(names("*").len(), EventType::ALL.len());
        assert_eq!(
            names("queue.*"),
            ["queue.paused", "queue.resumed", "queue.concurrency_set", "queue.rate_limit_set"]
        );
        assert_eq!(
            names("*.re*ed"),
            [
                "job.retry_scheduled",
                "job.rescued",
                "job.retried",
                "job.reprioritised",
                "queue.resumed",
                "schedule.resumed",
                "token.revoked",
                "link.revoked",
                "worker.resumed"
            ]
        );
        assert_eq!(names("job.started"), ["job.started"]);
        for bad in ["job.x*", "", "job.*.*", "*job.started*x"] {
            assert!(EventType::matching(bad).is_err(), "{bad:?}");
        }
    }
}
