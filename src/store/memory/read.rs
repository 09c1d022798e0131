//! Reads: one job, a page of jobs, counters, a part of the log.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::content::Content;
use crate::job::{Cursor, Event, Job, JobId, JobQuery, Matcher, PageCursor, Reading, State, Time};
use crate::store::claim_limits::ClaimLimits;
use crate::store::search::Budget;
use crate::store::{Events, Page, QueueStats, Stats};

impl Content {
    pub(super) fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub(super) fn ahead(&self, id: JobId, most: u64) -> Option<u64> {
        let place = |job: &Job| (Reverse(job.spec.priority), job.run_at, job.id);
        let ready = |job: &&Job| job.status.state == State::Available;
        let job = self.jobs.get(&id).filter(ready)?;
        let others = self.jobs.values().filter(ready);
        let before = others
            .filter(|other| other.labels.queue == job.labels.queue && place(other) < place(job));
        Some((before.count() as u64).min(most))
    }

    /// Continues a page for one turn. Returns whether it is complete.
    pub(super) fn list(
        &self,
        query: &JobQuery,
        page: &mut Page,
        matcher: &mut Matcher<'_>,
        budget: &Budget,
    ) -> bool {
        let turn = budget.turn();
        let may_continue = || budget.may_continue();
        let mut reading = Reading::new(&may_continue);
        let mut bytes: usize = 0;
        let after = page.next.take().or(query.after);
        let from = JobQuery { after, ..query.clone() };
        if from.below().is_some_and(|below| below <= query.lowest()) {
            return true; // there is no id between the two
        }
        let below = from.below().map_or(Bound::Unbounded, Bound::Excluded);
        let jobs = self.jobs.range((Bound::Included(query.lowest()), below)).rev();
        for (looked, (id, job)) in jobs.enumerate() {
            let here = PageCursor(JobId::from_u128(id.as_u128().saturating_add(1)));
            if page.examined >= query.step(self.limits.search_step) {
                page.next = Some(here);
                return true;
            }
            if looked > 0 && turn.is_over() {
                page.next = Some(here);
                return false;
            }
            let Ok(found) = matcher.finds(job, &mut reading) else {
                page.next = Some(here);
                return true;
            };
            page.examined += 1;
            if found {
                bytes = bytes.saturating_add(job.bytes());
                let is_too_much = !page.jobs.is_empty() && bytes > self.limits.read_bytes;
                if page.jobs.len() == query.rows() || is_too_much {
                    page.next = page.jobs.last().map(|last| PageCursor(last.id));
                    return true;
                }
                page.jobs.push(job.clone().without_content());
            }
        }
        true
    }

    pub(super) fn stats(&self, steady: Time) -> Stats {
        let mut states: BTreeMap<State, u64> =
            State::ALL.into_iter().map(|state| (state, 0)).collect();
        let mut kinds: BTreeMap<_, BTreeMap<State, u64>> = BTreeMap::new();
        let mut queues: BTreeMap<_, QueueStats> = BTreeMap::new();
        for queue in self.known_queues() {
            let stats = queues.entry(queue.clone()).or_default();
            stats.settings = self.queues.get(queue).copied().unwrap_or_default();
            let new = ClaimLimits::new(self.limits.queues.get(queue));
            let limits = self.claim_limits.get(queue).unwrap_or(&new);
            stats.configured = limits.configured();
            stats.concurrency = limits.concurrency();
            stats.rate_wait = limits.rate_wait(steady);
        }
        for job in self.jobs.values() {
            let (state, labels) = (job.status.state, &job.labels);
            *states.entry(state).or_default() += 1;
            *kinds.entry(labels.kind.clone()).or_default().entry(state).or_default() += 1;
            let queue = queues.entry(labels.queue.clone()).or_default();
            *queue.states.entry(state).or_default() += 1;
            if state == State::Available {
                let since = queue.waiting_since.get_or_insert(job.run_at);
                *since = job.run_at.min(*since);
            }
        }
        Stats { states, queues, kinds, cursor: self.head(), oldest: self.oldest() }
    }

    pub(super) fn events(&self, after: Cursor, max: usize) -> Events {
        let (oldest, head) = (self.oldest(), self.head());
        if after.epoch != self.epoch || after.seq < oldest.seq || after.seq > head.seq {
            return Events::Gap { oldest, head };
        }
        let rest = self.log.iter().filter(|event| event.seq > after.seq);
        let mut bytes: usize = 0;
        let few = rest.take(max).take_while(|event| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(event.bytes());
            is_first || bytes <= self.limits.read_bytes
        });
        Events::Some(few.cloned().map(Event::without_content).collect())
    }

    /// The cursor just before the oldest event in the log.
    pub(super) fn oldest(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.last_seq - self.log.len() as u64 }
    }
}
