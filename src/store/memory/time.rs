//! What a tick and a restart do: due jobs, expired leases, retention.

use std::time::Duration;

use super::content::{Content, Held};
use crate::clock::ClockJump;
use crate::job::{Change, Interruption, Job, JobId, State, Step, Time};
use crate::store::clock_changes::{Wait, end_of_delay};
use crate::store::{Keep, Ticked};

impl Content {
    pub(super) fn tick(&mut self, now: Time, steady: Time) -> Ticked {
        let step = self.limits.tick_step;
        let clock_jump = self.watch_clock(now, steady);

        let (fired, skipped) = self.fire_schedules(now, step);
        let due = self.due(now);
        let lost = self.expired_leases(steady);
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

        let timers = self.jobs.keys().filter_map(|id| self.timer_of(*id, now, steady));
        let unfinished = (pruned < old.len()).then_some(now);
        let next = timers.chain(self.schedules.timer()).chain(unfinished).min();
        Ticked { fired, skipped, due: due.len(), rescued: lost.len(), pruned, clock_jump, next }
    }

    /// Rescues the jobs that the process of the server was running, because it has ended, and gives remote workers the
    /// time of their leases to go on.
    pub(super) fn end_process(&mut self, now: Time, steady: Time) {
        let running: Vec<(JobId, u64)> =
            self.leases.iter().map(|(id, held)| (*id, held.token)).collect();
        for (id, token) in running {
            match self.job(id).and_then(Job::kept_for) {
                Some(ttl) => {
                    self.leases.insert(id, Held { token, expires: steady.after(ttl) });
                }
                None => self.rescue(now, id, Interruption::Crash),
            }
        }
    }

    pub(super) fn is_available(&self, id: JobId) -> bool {
        self.job(id).is_some_and(|job| job.status.state == State::Available)
    }

    /// When a job is due by the time of day: its `run_at` while it waits, and the end of its lease while it runs.
    pub(super) fn timer_of(&self, id: JobId, now: Time, steady: Time) -> Option<Time> {
        let job = self.job(id)?;
        match job.status.state {
            State::Scheduled | State::Retryable => Some(job.run_at),
            State::Running => {
                let left = self.leases.get(&id).map(|held| held.expires.since(steady));
                left.map(|left| now.after(left))
            }
            State::Available | State::Completed | State::Discarded | State::Cancelled => None,
        }
    }

    /// Waiting jobs whose time has come, the earliest first.
    fn due(&self, now: Time) -> Vec<JobId> {
        let waiting = self.jobs.values().filter(|job| {
            matches!(job.status.state, State::Scheduled | State::Retryable) && job.run_at <= now
        });
        let mut due: Vec<(Time, JobId)> = waiting.map(|job| (job.run_at, job.id)).collect();
        due.sort();
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Running jobs whose lease has expired, the earliest first.
    fn expired_leases(&self, steady: Time) -> Vec<JobId> {
        let expired = self.leases.iter().filter(|(_, held)| held.expires <= steady);
        let mut expired: Vec<(Time, JobId)> =
            expired.map(|(id, held)| (held.expires, *id)).collect();
        expired.sort();
        expired.into_iter().map(|(_, id)| id).collect()
    }

    /// Notices that the clock was set, and corrects all times that depend on it.
    fn watch_clock(&mut self, now: Time, steady: Time) -> Option<ClockJump> {
        let jump = self.watch.check(now, steady, &mut self.schedules)?;
        let submitted_with_delay = &self.submitted_with_delay;
        for job in self.jobs.values_mut() {
            let is_new = job.history.iter().all(|one| one.change.run_at(one.at).is_none());
            let is_delayed = job.is_delayed() || (is_new && submitted_with_delay.contains(&job.id));
            match job.status.state {
                State::Scheduled | State::Retryable if is_delayed => {
                    job.run_at = jump.applied_to(job.run_at);
                }
                State::Available => job.run_at = job.run_at.min(now),
                State::Scheduled
                | State::Retryable
                | State::Running
                | State::Completed
                | State::Discarded
                | State::Cancelled => {}
            }
        }
        Some(jump)
    }

    /// Begins delays again that began while the clock was ahead. The next process does not know which new jobs were
    /// submitted with a delay.
    pub(super) fn correct_times(&mut self, now: Time) {
        (self.watch, self.submitted_with_delay) = Default::default();
        for job in self.jobs.values_mut() {
            match job.status.state {
                State::Scheduled | State::Retryable => {
                    let began = job.wait_began();
                    let is_corrected = job.run_at < began;
                    if Wait::of(job).began_ahead(began, now) && !is_corrected {
                        job.run_at = end_of_delay(began, job.run_at, now);
                    }
                }
                State::Available => job.run_at = job.run_at.min(now),
                State::Running | State::Completed | State::Discarded | State::Cancelled => {}
            }
        }
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
        let ends = finished.iter().map(|job| job.finished_at().unwrap_or(now)).collect();
        let ends = without_future(ends, now);
        let past = finished.into_iter().zip(ends).enumerate();
        let past = past.filter(|(place, (_, at))| *place < surplus || is_past(*at, keep.age, now));
        past.map(|(_, (job, _))| job).collect()
    }

    fn trim_log(&mut self, now: Time) {
        let keep = self.limits.retention.events;
        let surplus = surplus(self.log.len(), keep.count);
        self.log.drain(..surplus);
        let times = without_future(self.log.iter().map(|event| event.at).collect(), now);
        let past = times.partition_point(|at| is_past(*at, keep.age, now));
        self.log.drain(..past);
    }
}

/// Times of things that happened one after the other, corrected for a clock that was ahead: none was later than the
/// next one, or than now.
fn without_future(mut times: Vec<Time>, now: Time) -> Vec<Time> {
    let mut latest = now;
    for at in times.iter_mut().rev() {
        latest = latest.min(*at);
        *at = latest;
    }
    times
}

/// How many of `have` are more than `count`.
fn surplus(have: usize, count: u64) -> usize {
    have.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX))
}

fn is_past(at: Time, age: Duration, now: Time) -> bool {
    at.after(age) <= now
}
