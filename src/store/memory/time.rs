//! What a tick and a restart do: due jobs, expired leases, retention.

use std::time::Duration;

use super::content::Content;
use crate::job::{Change, Interruption, Job, JobId, State, Step, Time};
use crate::store::{Keep, Ticked};

impl Content {
    pub(super) fn tick(&mut self, now: Time) -> Ticked {
        let step = self.limits.tick_step;

        let (fired, skipped) = self.fire_schedules(now, step);
        let due = self.ended(now, |state| matches!(state, State::Scheduled | State::Retryable));
        let lost = self.ended(now, |state| state == State::Running);
        let due: Vec<JobId> = due.into_iter().take(step).collect();
        for id in &due {
            self.become_available(now, *id);
        }
        let lost: Vec<JobId> = lost.into_iter().take(step).collect();
        for id in &lost {
            self.rescue(now, *id, Interruption::LeaseExpired);
        }
        let old = self.past_retention(now);
        let pruned = old.len().min(step);
        for id in &old[..pruned] {
            self.forget(*id);
        }
        self.trim_log(now);

        let timers = self.jobs.keys().filter_map(|id| self.timer_of(*id));
        let unfinished = (pruned < old.len()).then_some(now);
        let next = timers.chain(self.schedules.timer()).chain(unfinished).min();
        Ticked { fired, skipped, due: due.len(), rescued: lost.len(), pruned, next }
    }

    /// Rescues every running job, because the process that ran it has ended.
    pub(super) fn rescue_all(&mut self, now: Time) {
        let running: Vec<JobId> = self.leases.keys().copied().collect();
        for id in running {
            self.rescue(now, id, Interruption::Crash);
        }
    }

    pub(super) fn is_available(&self, id: JobId) -> bool {
        self.job(id).is_some_and(|job| job.status.state == State::Available)
    }

    /// When a job is due: its `run_at` while it waits, and the end of its lease while it runs.
    pub(super) fn timer_of(&self, id: JobId) -> Option<Time> {
        let job = self.job(id)?;
        match job.status.state {
            State::Scheduled | State::Retryable => Some(job.run_at),
            State::Running => self.leases.get(&id).map(|held| held.expires),
            State::Available | State::Completed | State::Discarded | State::Cancelled => None,
        }
    }

    /// Jobs in some states whose timer has ended, the earliest first.
    fn ended(&self, now: Time, wanted: impl Fn(State) -> bool) -> Vec<JobId> {
        let mut ended: Vec<(Time, JobId)> = self
            .jobs
            .values()
            .filter(|job| wanted(job.status.state))
            .filter_map(|job| Some((self.timer_of(job.id)?, job.id)))
            .filter(|(timer, _)| *timer <= now)
            .collect();
        ended.sort();
        ended.into_iter().map(|(_, id)| id).collect()
    }

    fn become_available(&mut self, now: Time, id: JobId) {
        let Some(Ok(status)) = self.job(id).map(|job| job.status.step(Step::Due)) else { return };
        self.change(now, id, status, Change::BecameAvailable);
    }

    fn rescue(&mut self, now: Time, id: JobId, why: Interruption) {
        let Some(Ok((status, change))) = self.job(id).map(|job| job.status.rescued(why)) else {
            return;
        };
        self.change(now, id, status, change);
    }

    /// The finished jobs to remove, in the order in which they finished.
    fn past_retention(&self, now: Time) -> Vec<JobId> {
        let keep = self.limits.retention;
        let mut old: Vec<&Job> = Vec::new();
        old.extend(self.past(now, State::Completed, keep.completed));
        old.extend(self.past(now, State::Cancelled, keep.cancelled));
        old.extend(self.past(now, State::Discarded, keep.discarded));
        old.sort_by_key(|job| job.seq);
        old.into_iter().map(|job| job.id).collect()
    }

    /// Jobs of one final state that are too old or too many.
    fn past(&self, now: Time, state: State, keep: Keep) -> Vec<&Job> {
        let mut finished: Vec<&Job> =
            self.jobs.values().filter(|job| job.status.state == state).collect();
        finished.sort_by_key(|job| job.seq);
        let surplus = surplus(finished.len(), keep.count);
        let past = finished.into_iter().enumerate().filter(|(place, job)| {
            *place < surplus || job.finished_at().is_some_and(|at| is_past(at, keep.age, now))
        });
        past.map(|(_, job)| job).collect()
    }

    fn trim_log(&mut self, now: Time) {
        let keep = self.limits.retention.events;
        let surplus = surplus(self.log.len(), keep.count);
        self.log.drain(..surplus);
        while self.log.front().is_some_and(|event| is_past(event.at, keep.age, now)) {
            self.log.pop_front();
        }
    }
}

/// How many of `have` are more than `count`.
fn surplus(have: usize, count: u64) -> usize {
    have.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX))
}

fn is_past(at: Time, age: Duration, now: Time) -> bool {
    at.after(age) <= now
}
