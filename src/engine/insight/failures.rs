//! Failure groups: discarded and retrying jobs, grouped by kind, class and error pattern. Events keep the groups up to
//! date, so that no page has to scan jobs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::job::{
    Change, Event, Fact, Failure, FailureClass, Job, JobId, Kind, State, Time, error_line,
    fingerprint, pattern,
};

/// Jobs that failed in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// The id: 16 hexadecimal digits, which never change for the same kind, class and pattern.
    pub id: String,
    /// The kind of its jobs.
    pub kind: Kind,
    /// The failure class.
    pub class: FailureClass,
    /// What the error messages have in common.
    pub pattern: String,
    /// The line of the newest message that says what happened, at most 300 characters of it.
    pub message: String,
    /// The job that failed last.
    pub example: JobId,
    /// The number of discarded jobs.
    pub dead: u64,
    /// The number of jobs that wait for their next attempt.
    pub retrying: u64,
    /// The first known failure.
    pub first_at: Time,
    /// The newest failure.
    pub last_at: Time,
    /// Failed attempts in each of the last [`FailureGroup::MINUTES`] minutes; the current one is the last.
    pub minutes: Vec<u32>,
    /// Failed attempts in each of the last [`FailureGroup::HOURS`] hours; the current one is the last.
    pub hours: Vec<u32>,
}

impl FailureGroup {
    /// The length of [`FailureGroup::minutes`].
    pub const MINUTES: usize = 60;
    /// The length of [`FailureGroup::hours`].
    pub const HOURS: usize = 24;
}

/// A list of failure groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FailureList {
    /// The groups that failed last, newest first.
    pub groups: Vec<FailureGroup>,
    /// The number of all groups.
    pub total: usize,
    /// Whether jobs that failed before this process started are still being counted.
    pub counting: bool,
    /// Discarded and retrying jobs that are in no group because too many jobs have failed.
    pub beyond: u64,
}

/// The most groups. A new group replaces the group without jobs that failed longest ago. When all groups have jobs,
/// new errors go into one group for each kind and class.
const MAX_GROUPS: usize = 1_000;
/// The pattern of that group.
const OTHER_ERRORS: &str = "(other errors)";
/// The most jobs whose group is remembered. They take about 40 MB.
const MAX_JOBS: usize = 1_000_000;
/// How long after its last failure a group without jobs is removed, in milliseconds.
const FORGET_AFTER: i64 = 24 * 3_600 * 1_000;
/// The most characters of a message that are kept.
const MAX_MESSAGE: usize = 300;

/// All failure groups and their jobs.
pub struct Failures {
    groups: HashMap<u64, FailureCounts>,
    /// The group of each discarded or retrying job.
    jobs: BTreeMap<JobId, Member>,
    /// The last failure and its group, because equal failures often follow each other.
    last: Option<(Kind, Failure, u64)>,
    counting: bool,
    beyond: u64,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    group: u64,
    is_discarded: bool,
}

struct FailureCounts {
    kind: Kind,
    class: FailureClass,
    pattern: String,
    message: String,
    example: JobId,
    dead: u64,
    retrying: u64,
    first_at: Time,
    last_at: Time,
    minutes: Ring,
    hours: Ring,
}

/// Counts in the newest intervals of time; older ones are dropped.
struct Ring {
    /// The length of an interval in milliseconds.
    length: i64,
    /// The number of the newest interval.
    newest: i64,
    counts: Box<[u32]>,
}

impl Ring {
    fn new(length: i64, stretches: usize) -> Self {
        Ring { length, newest: 0, counts: vec![0; stretches].into() }
    }

    fn add(&mut self, at: Time) {
        let len = self.counts.len() as i64;
        let number = at.millis().div_euclid(self.length);
        if number > self.newest {
            let passed = (number - self.newest).min(len);
            for gone in number - passed + 1..=number {
                self.counts[gone.rem_euclid(len) as usize] = 0;
            }
            self.newest = number;
        }
        if number > self.newest - len {
            self.counts[number.rem_euclid(len) as usize] += 1;
        }
    }

    /// The counts, oldest first; `now` is in the last interval.
    fn read(&self, now: Time) -> Vec<u32> {
        let len = self.counts.len() as i64;
        let last = now.millis().div_euclid(self.length).max(self.newest);
        let count = |number: i64| {
            let is_known = number > self.newest - len && number <= self.newest;
            if is_known { self.counts[number.rem_euclid(len) as usize] } else { 0 }
        };
        (last - len + 1..=last).map(count).collect()
    }
}

impl Failures {
    pub fn new() -> Self {
        Failures {
            groups: HashMap::new(),
            jobs: BTreeMap::new(),
            last: None,
            counting: true,
            beyond: 0,
        }
    }

    /// Marks that all jobs that failed earlier have been added.
    pub fn counted(&mut self) {
        self.counting = false;
    }

    pub fn add(&mut self, event: &Event) {
        let Fact::Job { id, labels, state, change, .. } = &event.fact else { return };
        match change {
            Change::RetryScheduled { failure, .. } | Change::Discarded { failure } => {
                let group = self.group_of(&labels.kind, failure, *id, event.at);
                if let Some(group) = self.groups.get_mut(&group) {
                    group.failed(*id, failure, event.at);
                }
                self.enter(*id, group, *state == State::Discarded);
            }
            Change::BecameAvailable | Change::Retried | Change::Cancelled | Change::Deleted => {
                self.leave(*id);
            }
            Change::Enqueued { .. }
            | Change::Started { .. }
            | Change::Progressed(_)
            | Change::Logged(_)
            | Change::Completed { .. }
            | Change::Snoozed { .. }
            | Change::CancelAsked
            | Change::Interrupted { .. }
            | Change::Rescued { .. }
            | Change::Moved { .. }
            | Change::Reprioritised { .. } => {}
        }
    }

    /// Adds a job that failed before the observer started. `seen` is the last event that was added; later changes
    /// of the job arrive as events.
    pub fn add_stored(&mut self, job: &Job, seen: u64) {
        let is_discarded = match job.status.state {
            State::Discarded => true,
            State::Retryable => false,
            State::Scheduled
            | State::Available
            | State::Running
            | State::Completed
            | State::Cancelled => return,
        };
        if job.seq > seen || self.jobs.contains_key(&job.id) {
            return;
        }
        let (Some(failure), Some(last)) = (job.last_failure(), job.history.last()) else { return };
        let group = self.group_of(&job.labels.kind, failure, job.id, last.at);
        if let Some(group) = self.groups.get_mut(&group) {
            group.first_at = group.first_at.min(last.at);
            if last.at > group.last_at {
                group.shows(job.id, failure, last.at);
            }
        }
        self.enter(job.id, group, is_discarded);
    }

    /// The number of known discarded jobs and of known retrying jobs.
    pub fn totals(&self) -> (u64, u64) {
        let sum = |count: fn(&FailureCounts) -> u64| self.groups.values().map(count).sum();
        (sum(|group| group.dead), sum(|group| group.retrying))
    }

    /// Sets how many failed jobs are in no group.
    pub fn set_beyond(&mut self, jobs: u64) {
        self.beyond = jobs;
    }

    /// Whether no more jobs can be added.
    pub fn is_full(&self) -> bool {
        self.jobs.len() >= MAX_JOBS
    }

    /// Some of the jobs after a given one, ordered by id.
    pub fn some_after(&self, after: Option<JobId>, max: usize) -> Vec<JobId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.jobs.range((from, Bound::Unbounded)).take(max).map(|(id, _)| *id).collect()
    }

    /// The jobs of a group after a given one, ordered by id: at most `max`, after looking at no more than `look` jobs
    /// of any group. Also returns the last job that was looked at, to continue from; `None` at the end.
    pub fn members(
        &self,
        group: u64,
        after: Option<JobId>,
        max: usize,
        look: usize,
    ) -> (Vec<JobId>, Option<JobId>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let (mut found, mut last) = (Vec::new(), None);
        for (id, member) in self.jobs.range((from, Bound::Unbounded)).take(look) {
            last = Some(*id);
            if member.group == group {
                found.push(*id);
                if found.len() == max {
                    break;
                }
            }
        }
        (found, last)
    }

    /// The jobs of a group that were submitted last: at most `max`, among the `look` newest of any group.
    pub fn newest_members(&self, group: u64, max: usize, look: usize) -> Vec<JobId> {
        let newest = self.jobs.iter().rev().take(look);
        let own = newest.filter(|(_, member)| member.group == group);
        own.take(max).map(|(id, _)| *id).collect()
    }

    /// Removes a job that was deleted or is neither discarded nor retrying any more.
    pub fn leave(&mut self, id: JobId) {
        let Some(member) = self.jobs.remove(&id) else { return };
        if let Some(group) = self.groups.get_mut(&member.group) {
            let count = if member.is_discarded { &mut group.dead } else { &mut group.retrying };
            *count = count.saturating_sub(1);
        }
    }

    /// The groups that failed last, at most `max`.
    pub fn list(&self, max: usize, now: Time) -> FailureList {
        let mut newest: Vec<(&u64, &FailureCounts)> = self.groups.iter().collect();
        newest.sort_unstable_by_key(|(id, group)| (std::cmp::Reverse(group.last_at), **id));
        let groups = newest.into_iter().take(max).map(|(id, group)| group.view(*id, now));
        FailureList {
            groups: groups.collect(),
            total: self.groups.len(),
            counting: self.counting,
            beyond: self.beyond,
        }
    }

    /// A group.
    pub fn group(&self, id: u64, now: Time) -> Option<FailureGroup> {
        self.groups.get(&id).map(|group| group.view(id, now))
    }

    /// Removes groups that have no jobs and failed long ago.
    pub fn forget_old(&mut self, now: Time) {
        let is_old = |group: &FailureCounts| {
            now.millis().saturating_sub(group.last_at.millis()) > FORGET_AFTER
        };
        self.groups.retain(|_, group| group.has_jobs() || !is_old(group));
    }

    fn group_of(&mut self, kind: &Kind, failure: &Failure, job: JobId, at: Time) -> u64 {
        if let Some((last_kind, last, group)) = &self.last
            && last_kind == kind
            && last == failure
            && self.groups.contains_key(group)
        {
            return *group;
        }
        let mut common = pattern(&failure.message);
        let name = |common: &str| fingerprint(kind.as_str(), failure.class.as_str(), common);
        let mut id = name(&common);
        if !self.groups.contains_key(&id) && !self.make_room() {
            common = OTHER_ERRORS.into();
            id = name(&common);
        }
        self.groups.entry(id).or_insert_with(|| FailureCounts {
            kind: kind.clone(),
            class: failure.class,
            pattern: common,
            message: shown_line(failure),
            example: job,
            dead: 0,
            retrying: 0,
            first_at: at,
            last_at: at,
            minutes: Ring::new(60_000, FailureGroup::MINUTES),
            hours: Ring::new(3_600_000, FailureGroup::HOURS),
        });
        self.last = Some((kind.clone(), failure.clone(), id));
        id
    }

    /// Makes room for one more group, if necessary by removing one without jobs. Returns whether there is room.
    fn make_room(&mut self) -> bool {
        if self.groups.len() < MAX_GROUPS {
            return true;
        }
        let empty = self.groups.iter().filter(|(_, group)| !group.has_jobs());
        let oldest = empty.min_by_key(|(_, group)| group.last_at).map(|(id, _)| *id);
        oldest.is_some_and(|id| self.groups.remove(&id).is_some())
    }

    fn enter(&mut self, id: JobId, group: u64, is_discarded: bool) {
        self.leave(id);
        if self.is_full() {
            return;
        }
        if let Some(group) = self.groups.get_mut(&group) {
            let count = if is_discarded { &mut group.dead } else { &mut group.retrying };
            *count += 1;
        }
        self.jobs.insert(id, Member { group, is_discarded });
    }
}

impl FailureCounts {
    fn failed(&mut self, job: JobId, failure: &Failure, at: Time) {
        self.shows(job, failure, at.max(self.last_at));
        self.first_at = self.first_at.min(at);
        self.minutes.add(at);
        self.hours.add(at);
    }

    /// Makes this the newest failure of the group.
    fn shows(&mut self, job: JobId, failure: &Failure, at: Time) {
        self.example = job;
        self.last_at = at;
        if self.message != error_line(&failure.message) {
            self.message = shown_line(failure);
        }
    }

    fn has_jobs(&self) -> bool {
        self.dead + self.retrying > 0
    }

    fn view(&self, id: u64, now: Time) -> FailureGroup {
        FailureGroup {
            id: format!("{id:016x}"),
            kind: self.kind.clone(),
            class: self.class,
            pattern: self.pattern.clone(),
            message: self.message.clone(),
            example: self.example,
            dead: self.dead,
            retrying: self.retrying,
            first_at: self.first_at,
            last_at: self.last_at,
            minutes: self.minutes.read(now),
            hours: self.hours.read(now),
        }
    }
}

fn shown_line(failure: &Failure) -> String {
    let line = error_line(&failure.message);
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
