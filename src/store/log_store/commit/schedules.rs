//! Commands about schedules, and the jobs that schedules enqueue, applied to a group.

use super::group::CommitGroup;
use crate::job::{Actor, Schedule, ScheduleChange, State};
use crate::store::log_store::journal::named_rows;
use crate::store::schedules::Changed;
use crate::store::{ScheduleCommand, ScheduleError, StoreError, Ticked};

impl CommitGroup<'_> {
    /// Executes a command about a schedule in the name of an actor.
    pub fn schedule(
        &mut self,
        command: ScheduleCommand,
        by: Option<Actor>,
    ) -> Result<Schedule, ScheduleError> {
        let limit = self.core.shared.limits.max_schedules;
        let next = (self.now, self.core.next_seq);
        let (schedule, changed) = self.core.schedules.command(command, by.as_ref(), limit, next)?;
        if let Some(changed) = changed {
            self.in_the_name_of(by, |group| group.write_schedule(changed))?;
        }
        Ok(schedule)
    }

    /// Fires at most `step` of the schedules that are due.
    pub fn fire_schedules(&mut self, step: usize, so_far: &mut Ticked) -> Result<(), StoreError> {
        let left = step.saturating_sub(so_far.fired + so_far.skipped);
        for (due, name) in self.core.schedules.due(self.now, left) {
            let index = &self.core.index;
            // A job that is not in the index is archived, so it has finished, or was removed.
            let state = |id| index.entries.get(&id).map(|entry| entry.status.state);
            let is_over = |id| state(id).is_none_or(State::is_final);
            let next = (self.now, self.core.next_seq);
            let Some(changed) = self.core.schedules.fire_or_skip(&name, due, next, is_over) else {
                continue;
            };
            match changed.job {
                Some(_) => so_far.fired += 1,
                None => so_far.skipped += 1,
            }
            self.write_schedule(changed)?;
        }
        Ok(())
    }

    fn write_schedule(&mut self, changed: Changed) -> Result<(), StoreError> {
        let fact = changed.fact();
        let Changed { schedule, change, job } = changed;
        if let Some(job) = job {
            self.insert(job)?;
        }
        self.event(fact)?;
        self.schedules_changed = true;
        let (writes, lengths) = (&mut self.writes, &mut self.core.rows);
        if change == ScheduleChange::Deleted {
            named_rows::remove(writes, lengths, &schedule);
        } else {
            named_rows::put(writes, lengths, &schedule)?;
        }
        if let Some(timer) = schedule.timer().filter(|_| change != ScheduleChange::Deleted) {
            self.core.expect_tick(timer);
        }
        Ok(())
    }
}
