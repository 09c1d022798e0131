//! Commands about schedules, and the firing of schedules that are due.

use super::content::Content;
use crate::job::{Actor, Schedule, Time};
use crate::store::schedules::Changed;
use crate::store::{ScheduleCommand, ScheduleError};

impl Content {
    pub(super) fn schedule(
        &mut self,
        now: Time,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError> {
        let limit = self.limits.max_schedules;
        let next = (now, self.last_seq + 1);
        let (schedule, changed) = self.schedules.command(command, by.as_ref(), limit, next)?;
        if let Some(changed) = changed {
            self.in_the_name_of(by, |content| content.write_schedule(now, changed));
        }
        Ok(schedule)
    }

    /// Fires at most `step` of the schedules that are due. Returns how many enqueued a job, and how many skipped the
    /// time.
    pub(super) fn fire_schedules(&mut self, now: Time, step: usize) -> (usize, usize) {
        let (mut fired, mut skipped) = (0, 0);
        for (due, name) in self.schedules.due(now, step) {
            let jobs = &self.jobs;
            let is_over = |id| jobs.get(&id).is_none_or(|job| job.status.state.is_final());
            let next = (now, self.last_seq + 1);
            let Some(changed) = self.schedules.fire_or_skip(&name, due, next, is_over) else {
                continue;
            };
            match changed.job {
                Some(_) => fired += 1,
                None => skipped += 1,
            }
            self.write_schedule(now, changed);
        }
        (fired, skipped)
    }

    fn write_schedule(&mut self, now: Time, changed: Changed) {
        let fact = changed.fact();
        if let Some(job) = changed.job {
            self.enqueue_one(now, job);
        }
        self.append(now, fact);
    }
}
