//! Commands about schedules, and the rules that apply them, which all stores share.

use std::collections::BTreeMap;

use super::StoreError;
use crate::job::{
    Actor, DueAction, Fact, JobId, NewJob, Origin, Schedule, ScheduleChange, ScheduleName,
    ScheduleSpec, Time,
};

/// A command about a schedule, from a person, a program or the configuration.
#[derive(Debug, Clone)]
pub enum ScheduleCommand {
    /// Create it, or change its spec. The same spec again changes nothing.
    Set(ScheduleName, Box<ScheduleSpec>),
    /// Delete it, on behalf of this origin. Its jobs stay.
    Delete(ScheduleName, Origin),
    /// Pause it. It survives a restart.
    Pause(ScheduleName),
    /// Resume it. The times that have passed are not made up for.
    Resume(ScheduleName),
    /// Enqueue its job now, even if it is paused or the previous job is not finished.
    Fire(ScheduleName),
}

/// Why a schedule was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// There is no such schedule.
    #[error("there is no such schedule")]
    NotFound,
    /// There would be more schedules than the limit allows.
    #[error("the limit of {limit} schedules is reached")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The configuration declares it, so only the configuration can change it.
    #[error(
        "this schedule is declared in the configuration and can only be changed there; it can be \
         paused here"
    )]
    Declared,
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The schedules of a store.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedules(pub BTreeMap<ScheduleName, Schedule>);

/// What a store writes when a schedule has changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// The schedule as it is now, or was before it was deleted.
    pub schedule: Schedule,
    /// The change for the event, which follows the one of the job.
    pub change: ScheduleChange,
    /// The job that is enqueued first, if any.
    pub job: Option<NewJob>,
}

impl Changed {
    fn of(schedule: &Schedule, change: ScheduleChange) -> Option<Changed> {
        Some(Changed { schedule: schedule.clone(), change, job: None })
    }

    /// The fact for the event.
    pub fn fact(&self) -> Fact {
        Fact::Schedule { schedule: self.schedule.name.clone(), change: self.change }
    }
}

impl Schedules {
    /// Executes a command of an actor, at a time and with the number of the next event. Returns the schedule as it is afterwards,
    /// or as it was before it was deleted, and what to write.
    pub fn command(
        &mut self,
        command: ScheduleCommand,
        by: Option<&Actor>,
        limit: usize,
        (now, seq): (Time, u64),
    ) -> Result<(Schedule, Option<Changed>), ScheduleError> {
        let changed = match command {
            ScheduleCommand::Set(name, spec) => return self.set(name, *spec, limit, now),
            ScheduleCommand::Delete(name, by) => {
                let schedule = self.get(&name)?;
                if schedule.spec.origin == Origin::Config && by == Origin::Api {
                    return Err(ScheduleError::Declared);
                }
                let changed = Changed::of(schedule, ScheduleChange::Deleted);
                let schedule = schedule.clone();
                self.0.remove(&name);
                return Ok((schedule, changed));
            }
            ScheduleCommand::Pause(name) => {
                let schedule = self.get(&name)?;
                let was = schedule.paused;
                schedule.pause();
                (schedule.clone(), (!was).then_some(ScheduleChange::Paused), None)
            }
            ScheduleCommand::Resume(name) => {
                let schedule = self.get(&name)?;
                let was = schedule.paused;
                if was {
                    schedule.resume(now);
                }
                let change = ScheduleChange::Resumed { next_at: schedule.next_at };
                (schedule.clone(), was.then_some(change), None)
            }
            ScheduleCommand::Fire(name) => {
                let schedule = self.get(&name)?;
                let (job, change) = fire(schedule, None, (now, seq));
                let job = NewJob { by: by.cloned(), ..job };
                (schedule.clone(), Some(change), Some(job))
            }
        };
        let (schedule, change, job) = changed;
        let changed = change.map(|change| Changed { schedule: schedule.clone(), change, job });
        Ok((schedule, changed))
    }

    fn set(
        &mut self,
        name: ScheduleName,
        spec: ScheduleSpec,
        limit: usize,
        now: Time,
    ) -> Result<(Schedule, Option<Changed>), ScheduleError> {
        let count = self.0.len();
        let schedule = match self.0.get_mut(&name) {
            Some(schedule) if schedule.spec == spec => return Ok((schedule.clone(), None)),
            Some(schedule)
                if schedule.spec.origin == Origin::Config && spec.origin == Origin::Api =>
            {
                return Err(ScheduleError::Declared);
            }
            Some(schedule) => {
                schedule.set(spec, now);
                &*schedule
            }
            None if count >= limit => return Err(ScheduleError::TooMany { limit }),
            None => self.0.entry(name.clone()).or_insert(Schedule::new(name, spec, now)),
        };
        let changed = Changed::of(schedule, ScheduleChange::Set { next_at: schedule.next_at });
        Ok((schedule.clone(), changed))
    }

    /// The schedules that are due, at most `max`, by time and then by name. Each is listed once, however many times
    /// it has missed.
    pub fn due(&self, now: Time, max: usize) -> Vec<(Time, ScheduleName)> {
        let due = self.0.values().filter_map(|one| Some((one.timer()?, &one.name)));
        let mut due: Vec<_> = due.filter(|(at, _)| *at <= now).collect();
        due.sort();
        due.into_iter().take(max).map(|(at, name)| (at, name.clone())).collect()
    }

    /// Counts the next time of every schedule again; see [`Schedule::reconsider`].
    pub fn reconsider(&mut self, now: Time) {
        self.0.values_mut().for_each(|schedule| schedule.reconsider(now));
    }

    /// Counts the next time again of those that have none, because their time zone may be known by now.
    pub fn reconsider_idle(&mut self, now: Time) {
        let idle = self.0.values_mut().filter(|schedule| schedule.next_at.is_none());
        idle.for_each(|schedule| schedule.reconsider(now));
    }

    /// When the next one is due.
    pub fn timer(&self) -> Option<Time> {
        self.0.values().filter_map(Schedule::timer).min()
    }

    /// Fires or skips a schedule that is due at the time `due`.
    pub fn fire_or_skip(
        &mut self,
        name: &ScheduleName,
        due: Time,
        (now, seq): (Time, u64),
        is_over: impl FnOnce(JobId) -> bool,
    ) -> Option<Changed> {
        let schedule = self.0.get_mut(name)?;
        let last_is_over = schedule.last.is_none_or(|last| is_over(last.job));
        match schedule.due(due, now, last_is_over) {
            DueAction::Run(due) => {
                let (job, change) = fire(schedule, Some(due), (now, seq));
                Some(Changed { schedule: schedule.clone(), change, job: Some(job) })
            }
            DueAction::Skip(why) => {
                schedule.skipped(now);
                let next_at = schedule.next_at;
                Changed::of(schedule, ScheduleChange::Skipped { due, why, next_at })
            }
        }
    }

    fn get(&mut self, name: &ScheduleName) -> Result<&mut Schedule, ScheduleError> {
        self.0.get_mut(name).ok_or(ScheduleError::NotFound)
    }
}

fn fire(
    schedule: &mut Schedule,
    due: Option<Time>,
    (now, seq): (Time, u64),
) -> (NewJob, ScheduleChange) {
    let job = schedule.job(now, seq);
    schedule.fired(due, job.id, now);
    let change = ScheduleChange::Fired { due, job: job.id, next_at: schedule.next_at };
    (job, change)
}
