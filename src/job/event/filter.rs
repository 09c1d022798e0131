//! Filters on events.

use crate::job::{Actor, Change, Event, EventType, Fact, JobId, Kind, Labels, QueueName, Tag};

/// A filter on events. An empty list matches everything; the values of one field are alternatives, and all fields
/// must match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// The queues.
    pub queues: Vec<QueueName>,
    /// The kinds.
    pub kinds: Vec<Kind>,
    /// The ids of jobs.
    pub jobs: Vec<JobId>,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The event types.
    pub types: Vec<EventType>,
    /// The actors that caused the events. Events without an actor match only an empty list.
    pub by: Vec<Actor>,
}

impl Filter {
    /// Whether the event matches.
    pub fn matches(&self, event: &Event) -> bool {
        if !any_of(&self.types, &event.event_type()) || !self.is_by(event.by.as_ref()) {
            return false;
        }
        match &event.fact {
            Fact::Job { id, labels, change, .. } => {
                // A move also concerns the queue that the job leaves.
                let left = matches!(change, Change::Moved { from } if self.queues.contains(from));
                any_of(&self.jobs, id)
                    && (left || any_of(&self.queues, &labels.queue))
                    && any_of(&self.kinds, &labels.kind)
                    && has_tag(&self.tags, labels)
            }
            Fact::Queue { queue, .. } => {
                any_of(&self.queues, queue)
                    && self.kinds.is_empty()
                    && self.jobs.is_empty()
                    && self.tags.is_empty()
            }
            Fact::Kind { kind, .. } => {
                any_of(&self.kinds, kind)
                    && self.queues.is_empty()
                    && self.jobs.is_empty()
                    && self.tags.is_empty()
            }
            Fact::Schedule { .. } | Fact::Access { .. } | Fact::Worker { .. } => {
                self.has_no_job_field()
            }
        }
    }

    fn is_by(&self, actor: Option<&Actor>) -> bool {
        self.by.is_empty() || actor.is_some_and(|actor| self.by.contains(actor))
    }

    /// Whether no field is given that only jobs and queues have.
    fn has_no_job_field(&self) -> bool {
        self.queues.is_empty()
            && self.kinds.is_empty()
            && self.jobs.is_empty()
            && self.tags.is_empty()
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
    use crate::job::{
        AccessChange, AccessSubject, KindChange, QueueChange, ScheduleChange, ScheduleName, State,
        Time, UserName,
    };

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
        Event { seq: 1, at: Time::default(), by: None, fact }
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
    fn a_move_matches_the_filters_of_both_queues() {
        let mut moved = event("web", "echo");
        let Fact::Job { change, .. } = &mut moved.fact else { unreachable!() };
        *change = Change::Moved { from: QueueName::parse("mail").unwrap() };
        for (queue, expected) in [("mail", true), ("web", true), ("other", false)] {
            let queues = vec![QueueName::parse(queue).unwrap()];
            assert_eq!(
                Filter { queues, ..Default::default() }.matches(&moved),
                expected,
                "{queue}"
            );
        }
    }

    #[test]
    fn queue_events_pass_unless_a_job_field_is_asked_for() {
        let queue = QueueName::parse("mail").unwrap();
        let fact = Fact::Queue { queue: queue.clone(), change: QueueChange::Paused };
        let event = Event { seq: 1, at: Time::default(), by: None, fact };
        assert!(Filter { queues: vec![queue], ..Default::default() }.matches(&event));
        let kinds = vec![Kind::parse("echo").unwrap()];
        assert!(!Filter { kinds, ..Default::default() }.matches(&event));
    }

    #[test]
    fn schedule_events_pass_unless_anything_of_a_job_is_asked_for() {
        let schedule = ScheduleName::parse("nightly").unwrap();
        let fact = Fact::Schedule { schedule, change: ScheduleChange::Paused };
        let event = Event { seq: 1, at: Time::default(), by: None, fact };
        let with = |filter: Filter| filter.matches(&event);
        assert!(with(Filter::default()));
        assert!(with(Filter { types: vec![EventType::SchedulePaused], ..Default::default() }));
        assert!(!with(Filter { types: vec![EventType::ScheduleFired], ..Default::default() }));
        assert!(!with(Filter { queues: vec![QueueName::default()], ..Default::default() }));
        assert!(!with(Filter { jobs: vec![JobId::from_u128(8)], ..Default::default() }));
        let tags = vec![Tag::parse("schedule:nightly").unwrap()];
        assert!(!with(Filter { tags, ..Default::default() }));
        let kinds = vec![Kind::parse("echo").unwrap()];
        assert!(!with(Filter { kinds, ..Default::default() }));
    }

    #[test]
    fn kind_events_pass_unless_another_kind_or_a_field_of_jobs_is_asked_for() {
        let kind = |name: &str| Kind::parse(name).unwrap();
        let fact = Fact::Kind { kind: kind("resize"), change: KindChange::Set };
        let event = Event { seq: 1, at: Time::default(), by: None, fact };
        let of = |name: &str| Filter { kinds: vec![kind(name)], ..Filter::default() };
        assert!(Filter::default().matches(&event) && of("resize").matches(&event));
        assert!(!of("echo").matches(&event));
        let queues = vec![QueueName::default()];
        assert!(!Filter { queues, ..of("resize") }.matches(&event));
        let jobs = vec![JobId::from_u128(8)];
        assert!(!Filter { jobs, ..of("resize") }.matches(&event));
        let tags = vec![Tag::parse("red").unwrap()];
        assert!(!Filter { tags, ..of("resize") }.matches(&event));
    }

    #[test]
    fn an_actor_is_compared_with_those_that_are_asked_for() {
        let actor = |text: &str| text.parse::<Actor>().unwrap();
        let by = |texts: &[&str]| Filter {
            by: texts.iter().map(|text| actor(text)).collect(),
            ..Filter::default()
        };
        let (nobody, mut anna) = (event("mail", "echo"), event("mail", "echo"));
        anna.by = Some(actor("user:anna"));
        for (filter, of_nobody, of_anna) in [
            (by(&[]), true, true),
            (by(&["user:anna"]), false, true),
            (by(&["token:anna"]), false, false),
            (by(&["token:ci", "user:anna"]), false, true),
        ] {
            assert_eq!((filter.matches(&nobody), filter.matches(&anna)), (of_nobody, of_anna));
        }
    }

    #[test]
    fn events_about_users_pass_unless_anything_of_a_job_is_asked_for() {
        let subject = AccessSubject::User(UserName::parse("anna").unwrap());
        let fact = Fact::Access { subject, change: AccessChange::UserPasswordSet };
        let event = Event { seq: 1, at: Time::default(), by: None, fact };
        let types = vec![EventType::UserPasswordSet];
        assert!(Filter::default().matches(&event));
        assert!(Filter { types, ..Filter::default() }.matches(&event));
        let queues = vec![QueueName::default()];
        assert!(!Filter { queues, ..Filter::default() }.matches(&event));
        let jobs = vec![JobId::from_u128(8)];
        assert!(!Filter { jobs, ..Filter::default() }.matches(&event));
    }
}
