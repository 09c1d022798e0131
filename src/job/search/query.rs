//! Queries for lists of jobs by labels, time of submission and content. A query holds everything that a page of a list
//! needs, so it is the URL of the list.

use std::fmt;
use std::str::FromStr;

use crate::job::{Job, JobId, Kind, Labels, QueueName, State, Tag, Term, Time};

/// A query for jobs, newest first. An empty list matches every value; the values of one field are alternatives, and all
/// fields and terms must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// The states.
    pub states: Vec<State>,
    /// The queues.
    pub queues: Vec<QueueName>,
    /// The kinds.
    pub kinds: Vec<Kind>,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The earliest time of submission. It is compared with the time in the id, so that a list can end there without
    /// examining older jobs.
    pub since: Option<Time>,
    /// The time before which jobs were submitted, compared in the same way.
    pub until: Option<Time>,
    /// The earliest time at which the job ended. Jobs that have not ended do not match.
    pub ended_since: Option<Time>,
    /// The time before which it ended.
    pub ended_until: Option<Time>,
    /// The conditions on the content of the record.
    pub terms: Vec<Term>,
    /// The cursor after which the page begins.
    pub after: Option<PageCursor>,
    /// The number of rows; a store returns at most [`JobQuery::MAX_LIMIT`].
    pub limit: usize,
    /// The most jobs that one request examines, if that is fewer than the store would examine.
    pub most_examined: Option<u64>,
}

impl JobQuery {
    /// The most rows of a page.
    pub const MAX_LIMIT: usize = 500;
    /// The most terms of a search.
    pub const MAX_TERMS: usize = 20;

    /// Whether a job with these labels in this state can match; its id and its record decide too.
    pub fn matches(&self, labels: &Labels, state: State) -> bool {
        any_of(&self.states, &state)
            && any_of(&self.queues, &labels.queue)
            && any_of(&self.kinds, &labels.kind)
            && (self.tags.is_empty() || self.tags.iter().any(|tag| labels.tags.contains(tag)))
    }

    /// Whether a job can match by its labels, its state and its time of submission; its record decides too.
    pub fn admits(&self, job: &Job) -> bool {
        self.since.is_none_or(|since| job.id >= JobId::first_of(since))
            && self.until.is_none_or(|until| job.id < JobId::first_of(until))
            && self.matches(&job.labels, job.status.state)
            && self.admits_end(job.finished_at())
    }

    /// Whether a job can match that ended at this time; `None` if it has not ended.
    pub fn admits_end(&self, ended_at: Option<Time>) -> bool {
        if self.ended_since.is_none() && self.ended_until.is_none() {
            return true;
        }
        ended_at.is_some_and(|at| {
            self.ended_since.is_none_or(|since| at >= since)
                && self.ended_until.is_none_or(|until| at < until)
        })
    }

    /// Whether jobs can match of which the first ended at `first` and the last at `last`.
    pub fn admits_ends_between(&self, first: Time, last: Time) -> bool {
        self.ended_since.is_none_or(|since| last >= since)
            && self.ended_until.is_none_or(|until| first < until)
    }

    /// The number of rows, within the limits of a page.
    pub fn rows(&self) -> usize {
        self.limit.clamp(1, JobQuery::MAX_LIMIT)
    }

    /// The most jobs to examine, of a store that examines at most `step` jobs for a request.
    pub fn step(&self, step: usize) -> u64 {
        let step = u64::try_from(step).unwrap_or(u64::MAX);
        self.most_examined.map_or(step, |most| most.min(step)).max(1)
    }

    /// The id below which all jobs of the page are, if there is one.
    pub fn below(&self) -> Option<JobId> {
        let after = self.after.map(|PageCursor(id)| id);
        let until = self.until.map(JobId::first_of);
        after.into_iter().chain(until).min()
    }

    /// The smallest id that a job of the list can have.
    pub fn lowest(&self) -> JobId {
        self.since.map_or(JobId::from_u128(0), JobId::first_of)
    }

    /// The same query from the first page.
    pub fn from_the_start(self) -> JobQuery {
        JobQuery { after: None, ..self }
    }

    /// Whether the query has no conditions and lists all jobs.
    pub fn is_everything(&self) -> bool {
        let JobQuery {
            states,
            queues,
            kinds,
            tags,
            since,
            until,
            ended_since,
            ended_until,
            terms,
            after: _,
            limit: _,
            most_examined: _,
        } = self;
        states.is_empty()
            && queues.is_empty()
            && kinds.is_empty()
            && tags.is_empty()
            && since.is_none()
            && until.is_none()
            && ended_since.is_none()
            && ended_until.is_none()
            && terms.is_empty()
    }
}

/// A position in a list of jobs, newest first: the last job of the previous page.
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
        text.parse().map(PageCursor).map_err(|_| {
            format!("{text:?} is not a page cursor: use the `next` value of the previous page")
        })
    }
}

fn any_of<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_begins_below_its_cursor_and_below_the_end_of_its_time() {
        let (early, late) = (Time::from_millis(1_000), Time::from_millis(2_000));
        let id = JobId::first_of(early);
        let query = JobQuery { until: Some(late), ..JobQuery::default() };
        assert_eq!(query.below(), Some(JobId::first_of(late)));
        let query = JobQuery { after: Some(PageCursor(id)), since: Some(early), ..query };
        assert_eq!((query.below(), query.lowest()), (Some(id), id));
        assert!(!query.is_everything() && JobQuery::default().is_everything());
    }

    #[test]
    fn only_jobs_that_ended_in_the_range_are_admitted() {
        let at = Time::from_millis;
        let query = JobQuery {
            ended_since: Some(at(1_000)),
            ended_until: Some(at(2_000)),
            ..JobQuery::default()
        };
        let admitted = [None, Some(999), Some(1_000), Some(1_999), Some(2_000)]
            .map(|end| query.admits_end(end.map(at)));
        assert_eq!(admitted, [false, false, true, true, false]);
        let spans = [(0, 999), (0, 1_000), (1_999, 5_000), (2_000, 5_000), (0, 5_000)]
            .map(|(first, last)| query.admits_ends_between(at(first), at(last)));
        assert_eq!(spans, [false, true, true, false, true]);
        assert!(!query.is_everything() && JobQuery::default().admits_end(None));
    }

    #[test]
    fn values_of_one_field_mean_any_of_and_fields_mean_and() {
        let queue = |name| QueueName::parse(name).unwrap();
        let labels = Labels {
            queue: queue("mail"),
            kind: Kind::parse("http").unwrap(),
            tags: Box::new([Tag::parse("red").unwrap()]),
        };
        let query = JobQuery { queues: vec![queue("web"), queue("mail")], ..JobQuery::default() };
        assert!(query.matches(&labels, State::Running));
        let query = JobQuery { tags: vec![Tag::parse("blue").unwrap()], ..query };
        assert!(!query.matches(&labels, State::Running));
    }
}
