//! Which jobs and events somebody wants to see.

use std::fmt;
use std::str::FromStr;

use super::{Event, EventType, Fact, JobId, Kind, Labels, QueueName, State, Tag};

/// A filter on events. An empty list lets everything through; lists of one field mean "any of",
/// fields together mean "and".
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Queues.
    pub queues: Vec<QueueName>,
    /// Kinds.
    pub kinds: Vec<Kind>,
    /// Jobs.
    pub jobs: Vec<JobId>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Event types.
    pub types: Vec<EventType>,
}

impl Filter {
    /// Whether the event is wanted.
    pub fn matches(&self, event: &Event) -> bool {
        if !any_of(&self.types, &event.event_type()) {
            return false;
        }
        match &event.fact {
            Fact::Job { id, labels, .. } => {
                any_of(&self.jobs, id)
                    && any_of(&self.queues, &labels.queue)
                    && any_of(&self.kinds, &labels.kind)
                    && has_tag(&self.tags, labels)
            }
            Fact::Queue { queue, .. } => {
                any_of(&self.queues, queue)
                    && self.kinds.is_empty()
                    && self.jobs.is_empty()
                    && self.tags.is_empty()
            }
        }
    }
}

/// Which jobs to list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// States; empty means every state.
    pub states: Vec<State>,
    /// One queue.
    pub queue: Option<QueueName>,
    /// One kind.
    pub kind: Option<Kind>,
    /// One tag.
    pub tag: Option<Tag>,
    /// Where the page begins: after this place.
    pub after: Option<PageCursor>,
    /// Rows wanted; a store answers with at most [`JobQuery::MAX_LIMIT`].
    pub limit: usize,
}

impl JobQuery {
    /// The longest page.
    pub const MAX_LIMIT: usize = 500;

    /// Whether a job with these labels in this state is wanted.
    pub fn matches(&self, labels: &Labels, state: State) -> bool {
        any_of(&self.states, &state)
            && self.queue.as_ref().is_none_or(|queue| *queue == labels.queue)
            && self.kind.as_ref().is_none_or(|kind| *kind == labels.kind)
            && self.tag.as_ref().is_none_or(|tag| labels.tags.contains(tag))
    }
}

/// A place in a list of jobs, newest first: the last job of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCursor(pub JobId);

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PageCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(PageCursor)
            .map_err(|_| format!("{text:?} is not a page cursor: use `next` of the page before"))
    }
}

fn any_of<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

fn has_tag(wanted: &[Tag], labels: &Labels) -> bool {
    wanted.is_empty() || wanted.iter().any(|tag| labels.tags.contains(tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Change, QueueChange, Time};

    fn event(queue: &str, kind: &str) -> Event {
        let labels = Labels {
            queue: QueueName::parse(queue).unwrap(),
            kind: Kind::parse(kind).unwrap(),
            tags: Box::new([Tag::parse("red").unwrap()]),
        };
        let fact = Fact::Job {
            id: JobId::from_u128(7),
            labels: labels.into(),
            state: State::Available,
            attempt: 0,
            change: Change::Retried,
        };
        Event { seq: 1, at: Time::default(), fact }
    }

    #[test]
    fn fields_mean_and_lists_mean_any() {
        let all = Filter::default();
        assert!(all.matches(&event("mail", "echo")));
        let queues = vec![QueueName::parse("mail").unwrap(), QueueName::parse("web").unwrap()];
        let some = Filter { queues, kinds: vec![Kind::parse("echo").unwrap()], ..all };
        assert!(some.matches(&event("web", "echo")));
        assert!(!some.matches(&event("web", "sleep")));
        assert!(!some.matches(&event("other", "echo")));
    }

    #[test]
    fn tags_types_and_jobs_are_honoured() {
        let event = event("mail", "echo");
        let with = |filter: Filter| filter.matches(&event);
        assert!(with(Filter { tags: vec![Tag::parse("red").unwrap()], ..Default::default() }));
        assert!(!with(Filter { tags: vec![Tag::parse("blue").unwrap()], ..Default::default() }));
        assert!(with(Filter { types: vec![EventType::JobRetried], ..Default::default() }));
        assert!(!with(Filter { types: vec![EventType::JobStarted], ..Default::default() }));
        assert!(!with(Filter { jobs: vec![JobId::from_u128(8)], ..Default::default() }));
    }

    #[test]
    fn queue_events_pass_unless_a_job_field_is_asked_for() {
        let queue = QueueName::parse("mail").unwrap();
        let fact = Fact::Queue { queue: queue.clone(), change: QueueChange::Paused };
        let event = Event { seq: 1, at: Time::default(), fact };
        assert!(Filter { queues: vec![queue], ..Default::default() }.matches(&event));
        let kinds = vec![Kind::parse("echo").unwrap()];
        assert!(!Filter { kinds, ..Default::default() }.matches(&event));
    }
}
