//! Schedules: a row each, written again with every change, in the same step as its event and its job.

use std::collections::BTreeMap;

use super::group::Group;
use crate::job::{Schedule, ScheduleChange, ScheduleName, State};
use crate::store::formats::{self, Unreadable};
use crate::store::log::{Log, WriteBatch};
use crate::store::log_store::journal::codec::{seal, unseal};
use crate::store::schedules::{Changed, Schedules};
use crate::store::{ScheduleCommand, ScheduleError, StoreError, Ticked};

/// What the rows' keys begin with.
pub const PREFIX: &[u8] = b"s";

/// How long the value of each row is, so that no piece of a longer one is left behind.
pub type Rows = BTreeMap<ScheduleName, usize>;

/// Reads every row.
pub fn read(log: &dyn Log) -> Result<(Schedules, Rows), StoreError> {
    let (mut schedules, mut rows) = (Schedules::default(), Rows::default());
    for row in log.scan(PREFIX) {
        let (key, value) = row?;
        let schedule = decode(&value).map_err(|why| {
            let name = String::from_utf8_lossy(&key[PREFIX.len()..]).into_owned();
            why.at(format!("schedule {name} in {}", log.location()))
        })?;
        rows.insert(schedule.name.clone(), value.len());
        schedules.0.insert(schedule.name.clone(), schedule);
    }
    Ok((schedules, rows))
}

/// Writes a row; `before` is how long its value was, where there was one.
pub fn put(
    writes: &mut WriteBatch,
    schedule: &Schedule,
    before: usize,
) -> Result<usize, StoreError> {
    let raw = postcard::to_stdvec(schedule);
    let raw = raw.map_err(|error| StoreError::Corrupt(error.to_string()))?;
    let value = seal(formats::SCHEDULE, &raw);
    let len = value.len();
    writes.replace(key(&schedule.name), before, value);
    Ok(len)
}

fn key(name: &ScheduleName) -> Vec<u8> {
    [PREFIX, name.as_str().as_bytes()].concat()
}

fn decode(value: &[u8]) -> Result<Schedule, Unreadable> {
    let raw = unseal(formats::SCHEDULE, value)?;
    Ok(postcard::from_bytes(&raw).map_err(|error| error.to_string())?)
}

/// Whether a row is sound and stands under its name.
pub fn check(row: &[u8], value: &[u8]) -> Result<(), Unreadable> {
    let schedule = decode(value)?;
    match key(&schedule.name) == row {
        true => Ok(()),
        false => Err(format!("it holds schedule {}", schedule.name).into()),
    }
}

impl Group<'_> {
    /// Does what is asked of a schedule.
    pub fn schedule(
        &mut self,
        command: ScheduleCommand,
    ) -> Result<Result<Schedule, ScheduleError>, StoreError> {
        let limit = self.core.shared.limits.max_schedules;
        let next = (self.now, self.core.next_seq);
        let (schedule, changed) = match self.core.schedules.command(command, limit, next) {
            Ok(done) => done,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(changed) = changed {
            self.write_schedule(changed)?;
        }
        Ok(Ok(schedule))
    }

    /// Lets schedules whose time has come enqueue their jobs, at most `step` of them.
    pub fn fire_schedules(&mut self, step: usize, so_far: &mut Ticked) -> Result<(), StoreError> {
        let left = step.saturating_sub(so_far.fired + so_far.skipped);
        for (due, name) in self.core.schedules.due(self.now, left) {
            let index = &self.core.index;
            // Who is not in the index is archived, so finished, or gone.
            let state = |id| index.entries.get(&id).map(|entry| entry.status.state);
            let is_over = |id| state(id).is_none_or(State::is_final);
            let next = (self.now, self.core.next_seq);
            let Some(changed) = self.core.schedules.come(&name, due, next, is_over) else {
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
        let rows = &mut self.core.schedule_rows;
        let before = rows.remove(&schedule.name).unwrap_or_default();
        if change == ScheduleChange::Deleted {
            self.writes.remove(key(&schedule.name), before);
        } else {
            let len = put(&mut self.writes, &schedule, before)?;
            self.core.schedule_rows.insert(schedule.name.clone(), len);
        }
        if let Some(timer) = schedule.timer().filter(|_| change != ScheduleChange::Deleted) {
            self.core.expect(timer);
        }
        Ok(())
    }
}
