//! The scope of a request: a role, and the queues, kinds and jobs that it is restricted to.

use crate::job::{JobId, JobQuery, Kind, LinkSubject, QueueName, Role};

/// What a request may do: a role, and what it is restricted to. `None` means without restriction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// What it may do.
    pub role: Role,
    /// The queues whose jobs it may see and change.
    pub queues: Option<Vec<QueueName>>,
    /// The kinds whose jobs it may see and change.
    pub kinds: Option<Vec<Kind>>,
    /// The jobs that it may see and change.
    pub jobs: Option<Vec<JobId>>,
}

impl Scope {
    /// A scope without restrictions.
    pub fn of(role: Role) -> Scope {
        Scope { role, queues: None, kinds: None, jobs: None }
    }

    /// The scope of the holder of a share link.
    pub fn shared(subject: &LinkSubject) -> Scope {
        let nothing = Scope::of(Role::Viewer);
        match subject {
            LinkSubject::Job(id) => Scope { jobs: Some(vec![*id]), ..nothing },
            LinkSubject::Queue(queue) => Scope { queues: Some(vec![queue.clone()]), ..nothing },
        }
    }

    /// Whether it is restricted to some queues, kinds or jobs.
    pub fn is_restricted(&self) -> bool {
        self.queues.is_some() || self.kinds.is_some() || self.jobs.is_some()
    }

    /// Whether a job is in the scope.
    pub fn allows_job(&self, queue: &QueueName, kind: &Kind, id: JobId) -> bool {
        self.allows_labels(queue, kind) && self.jobs.as_ref().is_none_or(|jobs| jobs.contains(&id))
    }

    /// Whether a new job of this queue and kind is in the scope. No scope can name its id.
    pub fn allows_new_job(&self, queue: &QueueName, kind: &Kind) -> bool {
        self.allows_labels(queue, kind) && self.jobs.is_none()
    }

    fn allows_labels(&self, queue: &QueueName, kind: &Kind) -> bool {
        self.queues.as_ref().is_none_or(|queues| queues.contains(queue))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    /// The query for the part of its jobs that is in the scope; `None` when no job can be. A query cannot name jobs, so a
    /// scope that does lists none.
    #[must_use]
    pub fn narrow_query(&self, query: JobQuery) -> Option<JobQuery> {
        if self.jobs.is_some() {
            return None;
        }
        Some(JobQuery {
            queues: both(query.queues, self.queues.as_deref())?,
            kinds: both(query.kinds, self.kinds.as_deref())?,
            ..query
        })
    }
}

/// The values that are wanted and allowed; `None` when there are none. An empty list of wanted values means all.
fn both<T: PartialEq + Clone>(wanted: Vec<T>, allowed: Option<&[T]>) -> Option<Vec<T>> {
    let Some(allowed) = allowed else { return Some(wanted) };
    let both: Vec<T> = if wanted.is_empty() {
        allowed.to_vec()
    } else {
        wanted.into_iter().filter(|one| allowed.contains(one)).collect()
    };
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> QueueName {
        QueueName::parse(name).unwrap()
    }

    #[test]
    fn a_restricted_scope_narrows_queries_to_its_part() {
        let echo = Kind::parse("echo").unwrap();
        let scope = Scope {
            queues: Some(vec![queue("mail"), queue("web")]),
            kinds: Some(vec![echo.clone()]),
            ..Scope::of(Role::Operator)
        };
        assert!(scope.is_restricted() && !Scope::of(Role::Admin).is_restricted());
        let narrowed = |queues: &[&str]| {
            let queues: Vec<QueueName> = queues.iter().map(|name| queue(name)).collect();
            let query = scope.narrow_query(JobQuery { queues, ..JobQuery::default() });
            query.map(|query| {
                assert_eq!(query.kinds, std::slice::from_ref(&echo));
                query.queues
            })
        };
        assert_eq!(narrowed(&[]), Some(vec![queue("mail"), queue("web")]));
        assert_eq!(narrowed(&["web", "other"]), Some(vec![queue("web")]));
        assert_eq!(narrowed(&["other"]), None);
        let id = JobId::from_u128(7);
        let sleep = Kind::parse("sleep").unwrap();
        assert!(scope.allows_job(&queue("mail"), &echo, id));
        assert!(!scope.allows_job(&queue("other"), &echo, id));
        assert!(!scope.allows_job(&queue("mail"), &sleep, id));
    }

    #[test]
    fn a_scope_of_one_job_sees_only_this_job() {
        let (this, other) = (JobId::from_u128(7), JobId::from_u128(8));
        let scope = Scope { jobs: Some(vec![this]), ..Scope::of(Role::Viewer) };
        let (mail, echo) = (queue("mail"), Kind::parse("echo").unwrap());
        assert!(scope.allows_job(&mail, &echo, this) && !scope.allows_job(&mail, &echo, other));
        assert!(!scope.allows_new_job(&mail, &echo));
        assert_eq!(scope.narrow_query(JobQuery::default()), None);
    }

    #[test]
    fn a_scope_without_restrictions_changes_nothing() {
        let scope = Scope::of(Role::Viewer);
        let query = JobQuery { queues: vec![queue("mail")], ..JobQuery::default() };
        assert_eq!(scope.narrow_query(query.clone()), Some(query));
    }
}
