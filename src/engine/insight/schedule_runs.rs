//! The newest runs of each schedule and what became of their jobs, for the strips on the pages of schedules. They are counted
//! from the events, as the history of charts is, and stored with it: a run stays known when its job was removed by
//! retention, and no page has to look for the jobs of a schedule among all jobs.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{
    Change, Event, Fact, JobId, ScheduleChange, ScheduleName, State, Time, stable_hash,
};
use crate::store::{HistoryKey, HistoryRow, HistorySeries, HistoryStep};

/// How many runs of a schedule are kept.
pub const KEPT_RUNS: usize = 20;
/// How the tag begins that the jobs of a schedule have. Events of all other jobs are passed over by it.
const TAG_PREFIX: &str = "schedule:";

/// A job that a schedule submitted, and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRun {
    /// The job.
    pub job: JobId,
    /// The scheduled time that it is for; `None` when somebody requested the run.
    pub due: Option<Time>,
    /// When it was submitted.
    pub at: Time,
    /// Its state; `None` when somebody has deleted it.
    pub state: Option<State>,
    /// When its newest attempt started.
    pub started_at: Option<Time>,
    /// When it reached a final state.
    pub ended_at: Option<Time>,
}

/// The value of a row.
#[derive(Serialize, Deserialize)]
struct StoredRuns {
    schedule: ScheduleName,
    runs: VecDeque<ScheduleRun>,
}

/// The newest runs of all schedules.
#[derive(Debug, Default)]
pub struct ScheduleRuns {
    /// The last event that they know; `None` until it is known what the store has.
    through: Option<u64>,
    schedules: HashMap<ScheduleName, VecDeque<ScheduleRun>>,
    /// The schedules of the jobs in those runs.
    jobs: HashMap<JobId, ScheduleName>,
    /// The schedules whose row in the store is out of date, or has to go.
    changed: BTreeSet<ScheduleName>,
}

impl ScheduleRun {
    fn new(job: JobId, due: Option<Time>, at: Time) -> ScheduleRun {
        ScheduleRun {
            job,
            due,
            at,
            state: Some(State::Available),
            started_at: None,
            ended_at: None,
        }
    }

    /// How long the newest attempt ran, once the job has ended.
    pub fn took(&self) -> Option<Duration> {
        Some(self.ended_at?.since(self.started_at?))
    }

    /// The run after an event of its job.
    fn after(self, change: &Change, state: State, at: Time) -> ScheduleRun {
        let started_at = if matches!(change, Change::Started { .. }) {
            Some(at)
        } else {
            self.started_at.filter(|_| state.is_final() || state == State::Running)
        };
        let ended_at = state.is_final().then(|| self.ended_at.unwrap_or(at));
        let state = if matches!(change, Change::Deleted) { None } else { Some(state) };
        ScheduleRun { state, started_at, ended_at, ..self }
    }
}

impl ScheduleRuns {
    /// Goes on where the store's rows end, which have counted the events up to `through`. A store of an older version has
    /// no such rows, so that all events that are read again count.
    pub fn resume(&mut self, through: u64, rows: &[HistoryRow]) {
        let rows = rows.iter().filter(|(key, _)| key.step == HistoryStep::ScheduleRuns);
        let rows = rows.filter_map(|(_, value)| postcard::from_bytes::<StoredRuns>(value).ok());
        for StoredRuns { schedule, runs } in rows {
            self.jobs.extend(runs.iter().map(|run| (run.job, schedule.clone())));
            self.schedules.insert(schedule, runs);
        }
        self.through = Some(if self.schedules.is_empty() { 0 } else { through });
    }

    /// Adds what an event says about a run, unless it was added before.
    pub fn add(&mut self, event: &Event) {
        let Some(through) = self.through.as_mut().filter(|through| event.seq > **through) else {
            return;
        };
        *through = event.seq;
        match &event.fact {
            Fact::Job { id, labels, state, change, .. } => {
                if labels.tags.iter().any(|tag| tag.as_str().starts_with(TAG_PREFIX)) {
                    self.job_changed(*id, change, *state, event.at);
                }
            }
            Fact::Schedule { schedule, change } => match change {
                ScheduleChange::Fired { due, job, next_at: _ } => {
                    self.fired(schedule, ScheduleRun::new(*job, *due, event.at));
                }
                ScheduleChange::Deleted => self.deleted(schedule),
                ScheduleChange::Set { .. }
                | ScheduleChange::Paused
                | ScheduleChange::Resumed { .. }
                | ScheduleChange::Skipped { .. } => {}
            },
            Fact::Queue { .. } | Fact::Access { .. } | Fact::Kind { .. } | Fact::Worker { .. } => {}
        }
    }

    /// The runs of a schedule, oldest first.
    pub fn of(&self, schedule: &ScheduleName) -> Vec<ScheduleRun> {
        self.schedules.get(schedule).into_iter().flatten().copied().collect()
    }

    /// The rows that have changed since the last call. The row of a deleted schedule has no value.
    pub fn take_changed(&mut self) -> Vec<HistoryRow> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|schedule| self.row(schedule)).collect()
    }

    fn row(&self, schedule: ScheduleName) -> Option<HistoryRow> {
        let number = stable_hash([schedule.as_str()]);
        let key =
            HistoryKey { step: HistoryStep::ScheduleRuns, series: HistorySeries::Server, number };
        let Some(runs) = self.schedules.get(&schedule) else { return Some((key, Vec::new())) };
        let stored = StoredRuns { schedule, runs: runs.clone() };
        Some((key, postcard::to_stdvec(&stored).ok()?))
    }

    fn fired(&mut self, schedule: &ScheduleName, run: ScheduleRun) {
        let runs = self.schedules.entry(schedule.clone()).or_default();
        if runs.len() == KEPT_RUNS
            && let Some(oldest) = runs.pop_front()
        {
            self.jobs.remove(&oldest.job);
        }
        runs.push_back(run);
        self.jobs.insert(run.job, schedule.clone());
        self.changed.insert(schedule.clone());
    }

    fn job_changed(&mut self, job: JobId, change: &Change, state: State, at: Time) {
        let Some(schedule) = self.jobs.get(&job) else { return };
        let runs = self.schedules.get_mut(schedule);
        let run = runs.and_then(|runs| runs.iter_mut().rev().find(|run| run.job == job));
        let Some(run) = run else { return };
        let after = run.after(change, state, at);
        if after != *run {
            *run = after;
            self.changed.insert(schedule.clone());
        }
    }

    fn deleted(&mut self, schedule: &ScheduleName) {
        let Some(runs) = self.schedules.remove(schedule) else { return };
        for run in runs {
            self.jobs.remove(&run.job);
        }
        self.changed.insert(schedule.clone());
    }
}

#[cfg(test)]
mod tests;
