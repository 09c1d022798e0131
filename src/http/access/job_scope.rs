//! Restricted credentials at the endpoints of jobs: what they may submit, which jobs exist for them, and which events
//! they are sent. Without restrictions, every check succeeds at once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::principal::{Principal, Restrictions, forbidden};
use crate::access::Scope;
use crate::engine::Engine;
use crate::http::Problem;
use crate::http::view::{EventView, PolledEvent, SharedEventView, shared_event_json};
use crate::job::{
    Change, Event, Fact, Filter, Job, JobId, JobQuery, Kind, Labels, LinkSubject, QueueName, Role,
};

/// What of the jobs and events a reader or a submitter may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum JobScope {
    /// Everything.
    #[default]
    Everything,
    /// All jobs, queues and schedules, but not the events about users, tokens, sessions and links.
    AllJobs,
    /// The jobs that a restricted scope names, and the queues of these.
    Only(Arc<Scope>),
    /// What a share link shows.
    Shared(LinkSubject),
}

impl JobScope {
    /// The scope of a request.
    pub fn of(principal: Option<&Principal>) -> JobScope {
        let Some(principal) = principal else { return JobScope::Everything };
        if let Some(link) = principal.link() {
            JobScope::Shared(link.subject.clone())
        } else if principal.scope.is_restricted() {
            JobScope::Only(Arc::new(principal.scope.clone()))
        } else if principal.role() == Role::Admin {
            JobScope::Everything
        } else {
            JobScope::AllJobs
        }
    }

    /// The restricted scope, if it is one.
    pub fn restricted(&self) -> Option<Cow<'_, Scope>> {
        match self {
            JobScope::Everything | JobScope::AllJobs => None,
            JobScope::Only(scope) => Some(Cow::Borrowed(scope)),
            JobScope::Shared(subject) => Some(Cow::Owned(Scope::shared(subject))),
        }
    }

    /// Whether it is restricted to some jobs.
    pub fn is_restricted(&self) -> bool {
        match self {
            JobScope::Everything | JobScope::AllJobs => false,
            JobScope::Only(_) | JobScope::Shared(_) => true,
        }
    }

    /// Whether a job is in the scope.
    pub fn allows(&self, id: JobId, labels: &Labels) -> bool {
        match self {
            JobScope::Everything | JobScope::AllJobs => true,
            JobScope::Only(scope) => scope.allows_job(&labels.queue, &labels.kind, id),
            JobScope::Shared(LinkSubject::Job(job)) => *job == id,
            JobScope::Shared(LinkSubject::Queue(queue)) => *queue == labels.queue,
        }
    }

    /// Whether jobs of a kind may be in the scope.
    pub fn allows_kind(&self, kind: &Kind) -> bool {
        self.restricted()
            .is_none_or(|scope| scope.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind)))
    }

    /// Whether all jobs of a queue are in the scope.
    pub fn allows_queue(&self, queue: &QueueName) -> bool {
        self.restricted().is_none_or(|scope| scope_has_queue(&scope, queue))
    }

    /// Refuses the submission of a job, or its move to a queue, outside of the scope.
    ///
    /// # Errors
    /// 403 with what the scope is restricted to.
    pub fn check_submission(&self, queue: &QueueName, kind: &Kind) -> Result<(), Problem> {
        let Some(scope) = self.restricted() else { return Ok(()) };
        if scope.allows_new_job(queue, kind) {
            return Ok(());
        }
        Err(forbidden(format!(
            "a job of the kind {kind} in the queue {queue} is not allowed; these credentials are restricted to {}",
            Restrictions(&scope)
        )))
    }

    /// Refuses a claim of jobs outside of the scope.
    ///
    /// # Errors
    /// 403 with what the scope is restricted to.
    pub fn check_claim(
        &self,
        queues: &BTreeSet<QueueName>,
        kinds: &BTreeSet<Kind>,
    ) -> Result<(), Problem> {
        let Some(scope) = self.restricted() else { return Ok(()) };
        let has_queue =
            |queue: &QueueName| scope.queues.as_ref().is_none_or(|all| all.contains(queue));
        let has_kind = |kind: &Kind| scope.kinds.as_ref().is_none_or(|all| all.contains(kind));
        let queue = queues.iter().find(|queue| !has_queue(queue));
        let kind = kinds.iter().find(|kind| !has_kind(kind));
        let outside = match (queue, kind) {
            (Some(queue), _) => format!("of the queue {queue}"),
            (None, Some(kind)) => format!("of the kind {kind}"),
            (None, None) if scope.jobs.is_none() => return Ok(()),
            (None, None) => "of whole queues".to_owned(),
        };
        Err(forbidden(format!(
            "claiming jobs {outside} is not allowed; these credentials are restricted to {}",
            Restrictions(&scope)
        )))
    }

    /// Refuses an action on a job outside of the scope as if it did not exist. Without restrictions, the job is not
    /// read.
    ///
    /// The action follows the check, and something may happen between them. That is sound: a job keeps its id and its kind,
    /// and only a move to another queue can take it out of the scope. An action that comes after such a move has the effect
    /// of one that came just before it, when it was allowed, and its answer has only the state of the job.
    ///
    /// # Errors
    /// 404, or the store cannot read the job.
    pub async fn check_job(&self, engine: &Engine, id: JobId) -> Result<(), Problem> {
        self.job_in_scope(engine, id).await.map(drop)
    }

    /// The same for a move, which may not leave the scope either.
    ///
    /// # Errors
    /// 404, 403, or the store cannot read the job.
    pub async fn check_move(
        &self,
        engine: &Engine,
        id: JobId,
        queue: &QueueName,
    ) -> Result<(), Problem> {
        match self.job_in_scope(engine, id).await? {
            Some(job) => self.check_submission(queue, &job.labels.kind),
            None => Ok(()),
        }
    }

    async fn job_in_scope(&self, engine: &Engine, id: JobId) -> Result<Option<Job>, Problem> {
        if !self.is_restricted() {
            return Ok(None);
        }
        let (job, _) = engine.job(id).await?;
        let job = job.filter(|job| self.allows(id, &job.labels));
        job.map(Some).ok_or_else(|| Problem::no_such_job(&id.to_string()))
    }

    /// The part of a list of jobs that is in the scope; `None` when no job can be.
    #[must_use]
    pub fn narrow(&self, query: JobQuery) -> Option<JobQuery> {
        match self.restricted() {
            Some(scope) => scope.narrow_query(query),
            None => Some(query),
        }
    }

    /// Whether a reader of the stream is sent an event.
    pub fn shows(&self, event: &Event) -> bool {
        match self {
            JobScope::Everything => true,
            JobScope::AllJobs => match &event.fact {
                Fact::Job { .. }
                | Fact::Queue { .. }
                | Fact::Schedule { .. }
                | Fact::Kind { .. }
                | Fact::Worker { .. } => true,
                Fact::Access { .. } => false,
            },
            JobScope::Only(scope) => is_in_scope(scope, event),
            JobScope::Shared(subject) => is_shared(subject, event),
        }
    }

    /// What of a filter a reader may use. A filter tells something about the events that it lets pass, and the holder of a
    /// share link sees only a part of them.
    #[must_use]
    pub fn readable(&self, filter: Filter) -> Filter {
        match self {
            JobScope::Everything | JobScope::AllJobs | JobScope::Only(_) => filter,
            JobScope::Shared(_) => Filter { types: filter.types, ..Filter::default() },
        }
    }

    /// An event in an answer to a poll.
    pub fn view<'a>(&self, event: &'a Event) -> PolledEvent<'a> {
        match self {
            JobScope::Everything | JobScope::AllJobs | JobScope::Only(_) => {
                PolledEvent::Whole(EventView::of(event).into())
            }
            JobScope::Shared(_) => PolledEvent::Shared(SharedEventView::of(event)),
        }
    }

    /// An event as this reader sees it, if that differs from how all others see it.
    pub fn own_json(&self, event: &Event) -> Option<String> {
        match self {
            JobScope::Everything | JobScope::AllJobs | JobScope::Only(_) => None,
            JobScope::Shared(_) => Some(shared_event_json(event)),
        }
    }
}

/// Whether a restricted scope has all jobs of a queue.
fn scope_has_queue(scope: &Scope, queue: &QueueName) -> bool {
    let queues = scope.queues.as_ref();
    scope.kinds.is_none()
        && scope.jobs.is_none()
        && queues.is_some_and(|queues| queues.contains(queue))
}

fn is_in_scope(scope: &Scope, event: &Event) -> bool {
    match &event.fact {
        Fact::Job { id, labels, change, .. } => {
            // A reader must learn that a job has left its queues.
            let has_left = || matches!(change, Change::Moved { from } if scope.allows_job(from, &labels.kind, *id));
            scope.allows_job(&labels.queue, &labels.kind, *id) || has_left()
        }
        Fact::Queue { queue, .. } => scope_has_queue(scope, queue),
        Fact::Schedule { .. } | Fact::Access { .. } | Fact::Kind { .. } | Fact::Worker { .. } => {
            false
        }
    }
}

/// Whether the holder of a share link is sent an event. That of a queue does not show the output of its jobs.
fn is_shared(subject: &LinkSubject, event: &Event) -> bool {
    match (subject, &event.fact) {
        (LinkSubject::Job(job), Fact::Job { id, .. }) => job == id,
        (LinkSubject::Queue(queue), Fact::Job { labels, change, .. }) => {
            let is_output = matches!(change, Change::Logged(_) | Change::Progressed(_));
            let has_left = matches!(change, Change::Moved { from } if from == queue);
            !is_output && (*queue == labels.queue || has_left)
        }
        (LinkSubject::Queue(shared), Fact::Queue { queue, .. }) => shared == queue,
        (LinkSubject::Job(_), Fact::Queue { .. })
        | (
            _,
            Fact::Schedule { .. } | Fact::Access { .. } | Fact::Kind { .. } | Fact::Worker { .. },
        ) => false,
    }
}
