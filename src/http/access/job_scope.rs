//! Restricted credentials at the endpoints of jobs: what they may submit, which jobs exist for them, and which events
//! they are sent. Without restrictions, every check succeeds at once.

use std::sync::Arc;

use super::principal::{Principal, Restrictions, forbidden};
use crate::access::Scope;
use crate::engine::Engine;
use crate::http::Problem;
use crate::job::{Change, Event, Fact, Job, JobId, JobQuery, Kind, Labels, QueueName, Role};

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
}

impl JobScope {
    /// The scope of a request.
    pub fn of(principal: Option<&Principal>) -> JobScope {
        match principal {
            None => JobScope::Everything,
            Some(principal) if principal.scope.is_restricted() => {
                JobScope::Only(Arc::new(principal.scope.clone()))
            }
            Some(principal) if principal.role() == Role::Admin => JobScope::Everything,
            Some(_) => JobScope::AllJobs,
        }
    }

    /// The restricted scope, if it is one.
    fn restricted(&self) -> Option<&Scope> {
        match self {
            JobScope::Everything | JobScope::AllJobs => None,
            JobScope::Only(scope) => Some(scope),
        }
    }

    /// Whether it is restricted to some jobs.
    pub fn is_restricted(&self) -> bool {
        self.restricted().is_some()
    }

    /// Whether a job is in the scope.
    pub fn allows(&self, id: JobId, labels: &Labels) -> bool {
        self.restricted().is_none_or(|scope| scope.allows_job(&labels.queue, &labels.kind, id))
    }

    /// Whether jobs of a kind may be in the scope.
    pub fn allows_kind(&self, kind: &Kind) -> bool {
        let kinds = self.restricted().and_then(|scope| scope.kinds.as_ref());
        kinds.is_none_or(|kinds| kinds.contains(kind))
    }

    /// Refuses what shows the server as a whole, such as statistics, to restricted credentials.
    ///
    /// # Errors
    /// 403.
    pub fn check_whole_server(&self) -> Result<(), Problem> {
        match self.restricted() {
            None => Ok(()),
            Some(scope) => Err(forbidden(format!(
                "this needs credentials without restrictions; these are restricted to {}",
                Restrictions(scope)
            ))),
        }
    }

    /// Refuses the submission of a job, or its move to a queue, outside of the scope.
    ///
    /// # Errors
    /// 403 with what the scope is restricted to.
    pub fn check_submission(&self, queue: &QueueName, kind: &Kind) -> Result<(), Problem> {
        let Some(scope) = self.restricted() else { return Ok(()) };
        if scope.allows_new_job(queue, kind) && scope.jobs.is_none() {
            return Ok(());
        }
        Err(forbidden(format!(
            "a job of the kind {kind} in the queue {queue} is not allowed; these credentials are restricted to {}",
            Restrictions(scope)
        )))
    }

    /// Refuses an action on a job outside of the scope as if it did not exist. Without restrictions, the job is not
    /// read.
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
        if matches!(self, JobScope::Everything) {
            return true;
        }
        match &event.fact {
            Fact::Job { id, labels, change, .. } => {
                // A reader must learn that a job has left its queues.
                let has_left = || match (change, self.restricted()) {
                    (Change::Moved { from }, Some(scope)) => {
                        scope.allows_job(from, &labels.kind, *id)
                    }
                    _ => false,
                };
                self.allows(*id, labels) || has_left()
            }
            Fact::Queue { queue, .. } => self.restricted().is_none_or(|scope| {
                let queues = scope.queues.as_ref();
                scope.kinds.is_none()
                    && scope.jobs.is_none()
                    && queues.is_some_and(|queues| queues.contains(queue))
            }),
            Fact::Schedule { .. } => !self.is_restricted(),
            Fact::Access { .. } => false,
        }
    }
}
