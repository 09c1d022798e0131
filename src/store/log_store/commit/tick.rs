//! The verb `tick`: jobs become due, expired leases are rescued, finished jobs are pruned, and the journal is
//! trimmed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::group::{CommitGroup, InRun};
use crate::job::{Change, Interruption, JobId, State, Step, Time};
use crate::store::log::Mark;
use crate::store::log_store::archive::keys;
use crate::store::log_store::archive::runs::Run;
use crate::store::log_store::journal::codec::Record;
use crate::store::{Keep, StoreError, Ticked};

/// The most chunks whose jobs one tick copies forward.
const MAX_CARRIED_CHUNKS: usize = 8;

/// The least number of chunks that a group removes from a shared log.
const MIN_SHARED_TRIM: usize = 64;

/// The result of a tick.
pub enum TickOutcome {
    Done(Ticked),
    /// A job to be pruned is being archived: the tick continues when that is done.
    Deferred(Ticked),
}

#[derive(Default)]
struct PruneProgress {
    gone: usize,
    more: bool,
    met_archiver: bool,
}

/// A run that holds jobs past their retention.
struct ExpiredRun {
    run: Arc<Run>,
    /// For each state, how many jobs exceed its count.
    too_many: Vec<u64>,
    /// The estimated number of expired jobs, from the header of the run.
    about: u64,
    /// The latest time at which its jobs can have finished; see [`CommitGroup::latest_finishes`].
    latest: Time,
}

impl CommitGroup<'_> {
    /// Does a bounded part of all that is due. `so_far` is what the same tick did before it was deferred.
    pub fn tick(&mut self, mut so_far: Ticked) -> Result<TickOutcome, StoreError> {
        let step = self.core.shared.limits.tick_step;
        let now = self.now;

        if let Some(jump) = self.core.watch_clock(now, self.steady) {
            so_far.clock_jump = Some(jump);
        }
        self.fire_schedules(step, &mut so_far)?;
        let due = first_ended(&self.core.index.sets.due, now, step);
        for id in &due {
            self.become_available(*id)?;
        }
        let lost = first_ended(&self.core.index.lease_ends, self.steady, step);
        for id in &lost {
            self.rescue(*id, Interruption::LeaseExpired)?;
        }
        so_far.due += due.len();
        so_far.rescued += lost.len();
        let unsettled = self.has_open_runs();
        let mut pruned = self.prune(step.saturating_sub(so_far.pruned))?;
        pruned.more |= unsettled;
        so_far.pruned += pruned.gone;
        if pruned.met_archiver {
            return Ok(TickOutcome::Deferred(so_far));
        }
        let more_to_trim = self.trim()?;

        let lease_end = self.core.index.lease_ends.first();
        let lease_end = lease_end.map(|(at, _)| now.after(at.since(self.steady)));
        let timers = self.core.index.sets.due.first().map(|(at, _)| *at).into_iter();
        let timers = timers.chain(lease_end);
        let unfinished = (pruned.more || more_to_trim).then_some(now);
        let scheduled = self.core.schedules.timer();
        so_far.next = timers.chain(scheduled).chain(unfinished).min();
        self.core.next_tick = so_far.next;
        Ok(TickOutcome::Done(so_far))
    }

    fn become_available(&mut self, id: JobId) -> Result<(), StoreError> {
        let Some(entry) = self.core.index.entries.get(&id) else { return Ok(()) };
        let Ok(status) = entry.status.step(Step::Due) else { return Ok(()) };
        self.change(id, status, Change::BecameAvailable).map(drop)
    }

    /// Removes about `step` finished jobs that are past their retention.
    fn prune(&mut self, step: usize) -> Result<PruneProgress, StoreError> {
        let keep = self.core.limits_in_force.retention;
        let bounds = [
            (State::Completed, keep.completed),
            (State::Cancelled, keep.cancelled),
            (State::Discarded, keep.discarded),
        ];
        let mut pruned = self.prune_archive(&bounds, step)?;
        let step = step.saturating_sub(pruned.gone);
        let mut old: Vec<(u64, JobId)> = Vec::new();
        for (state, keep) in bounds {
            old.extend(self.past_retention(state, keep, step + 1));
        }
        old.sort_unstable();
        pruned.more |= old.len() > step;
        for (_, id) in old.into_iter().take(step) {
            if self.core.index.entries.get(&id).is_some_and(|entry| entry.archiving) {
                pruned.met_archiver = true;
                break;
            }
            self.prune_job(id)?;
            pruned.gone += 1;
        }
        Ok(pruned)
    }

    /// Finished jobs of one state in the index that are too old or too many, the oldest first.
    fn past_retention(&self, state: State, keep: Keep, max: usize) -> Vec<(u64, JobId)> {
        let index = &self.core.index;
        let Some(finished) = index.sets.finished.get(&state) else { return Vec::new() };
        // Archived jobs finished earlier, so the surplus is taken from them first.
        let archived = index.in_state(state) - finished.len() as u64;
        let surplus = index.in_state(state).saturating_sub(keep.count).saturating_sub(archived);
        let past = |id: &JobId| {
            let finished = index.entries.get(id).and_then(|entry| entry.finished);
            finished.is_some_and(|(_, at)| at.after(keep.age) <= self.now)
        };
        (0..)
            .zip(finished)
            .take_while(|(n, (_, id))| *n < surplus || past(id))
            .take(max)
            .map(|(_, (seq, id))| (*seq, *id))
            .collect()
    }

    /// Removes expired jobs from the archive. A run is rewritten only when enough of it has expired.
    fn prune_archive(
        &mut self,
        bounds: &[(State, Keep)],
        step: usize,
    ) -> Result<PruneProgress, StoreError> {
        let tuning = self.core.shared.tuning;
        let mut pruned = PruneProgress::default();
        for expired in self.expired_runs(bounds) {
            let ExpiredRun { run, too_many, about: gone, latest } = expired;
            if gone * 100 < run.len() * tuning.rewrite_percent {
                continue;
            }
            if pruned.gone >= step {
                pruned.more = true;
                break;
            }
            let max = (step - pruned.gone).max(tuning.drop_at_once);
            if gone == run.len() && run.keyed == 0 && gone <= max as u64 {
                self.drop_run(&run);
                pruned.gone += gone as usize;
                continue;
            }
            let went = self.prune_run(&run, latest, bounds, too_many, max)?;
            pruned.gone += went;
            if went == max {
                pruned.more = true;
                break;
            }
        }
        Ok(pruned)
    }

    /// For each run, the latest time at which its jobs can have finished, whatever their records say: now, or when the
    /// first job of a later run finished. Otherwise a job that finished while the clock was years ahead would keep
    /// everything behind it for years.
    fn latest_finishes(&self) -> Vec<Time> {
        let mut latest = self.now;
        let runs = self.core.archive.runs.values().rev().map(|run| {
            let first = run.finished.values().map(|(first, _)| *first).min();
            let of_earlier = first.map_or(latest, |first| first.min(latest));
            std::mem::replace(&mut latest, of_earlier)
        });
        let mut all: Vec<Time> = runs.collect();
        all.reverse();
        all
    }

    /// The runs that hold expired jobs.
    fn expired_runs(&self, bounds: &[(State, Keep)]) -> Vec<ExpiredRun> {
        let mut surplus: Vec<u64> = bounds
            .iter()
            .map(|(state, keep)| self.core.index.in_state(*state).saturating_sub(keep.count))
            .collect();
        let youngest = bounds.iter().map(|(_, keep)| keep.age).min().unwrap_or_default();
        let mut found = Vec::new();
        for (run, latest) in self.core.archive.runs.values().zip(self.latest_finishes()) {
            let is_young =
                |(first, _): &(Time, Time)| (*first).min(latest).after(youngest) > self.now;
            if surplus.iter().all(|left| *left == 0) && run.finished.values().all(is_young) {
                break; // later runs hold jobs that finished later
            }
            let (mut about, mut too_many) = (0, Vec::with_capacity(bounds.len()));
            for ((state, keep), surplus) in bounds.iter().zip(&mut surplus) {
                let here = run.in_state(*state);
                too_many.push((*surplus).min(here));
                let is_past = latest.after(keep.age) <= self.now;
                let aged = if is_past { here } else { run.aged(*state, keep.age, self.now) };
                about += aged.max((*surplus).min(here));
                *surplus = surplus.saturating_sub(here);
            }
            if about > 0 {
                found.push(ExpiredRun { run: run.clone(), too_many, about, latest });
            }
        }
        found
    }

    /// Rewrites a run without its expired jobs: those that are too old, and of each state the `too_many` that finished
    /// first. The header only allows an estimate of how many are too old; here every job is checked.
    fn prune_run(
        &mut self,
        run: &Arc<Run>,
        latest: Time,
        bounds: &[(State, Keep)],
        mut too_many: Vec<u64>,
        max: usize,
    ) -> Result<usize, StoreError> {
        let now = self.now;
        let place = InRun::Stored(run.clone());
        let mut jobs = std::mem::take(self.jobs_of(&place)?);
        jobs.sort_by_key(|job| job.seq);
        let mut gone = 0;
        jobs.retain(|job| {
            let bound = bounds.iter().zip(&mut too_many);
            let bound = bound.into_iter().find(|((state, _), _)| *state == job.status.state);
            let Some(((_, keep), left)) = bound else { return true };
            let finished = job.finished_at().map(|at| at.min(latest));
            let too_old = finished.is_some_and(|at| at.after(keep.age) <= now);
            if gone == max || (*left == 0 && !too_old) {
                return true;
            }
            *left = left.saturating_sub(1);
            gone += 1;
            keys::remove(&mut self.writes, job);
            false
        });
        *self.jobs_of(&place)? = jobs;
        Ok(gone)
    }

    /// Trims the log to its retention and removes chunks that are no longer needed. Returns whether there is more to
    /// remove now.
    fn trim(&mut self) -> Result<bool, StoreError> {
        let shared = self.core.shared.clone();
        let head = shared.head.load(Ordering::Acquire);
        let keep = self.core.limits_in_force.retention.events;
        let expired = self.core.journal.expired_up_to(head, self.now, keep);
        let oldest = expired.max(shared.oldest.load(Ordering::Acquire));
        shared.oldest.store(oldest, Ordering::Release);
        if shared.pins.prevent_removal(self.steady, shared.limits.max_export) {
            return Ok(false);
        }
        // A trim is a chunk of its own where others have to follow it, so it has to be worth one.
        if self.core.shared.node.is_some() {
            if self.core.journal.removable(oldest) < MIN_SHARED_TRIM {
                return self.carry_forward(oldest);
            }
            if self.core.others_read_snapshots()? {
                return Ok(false);
            }
        }
        let before = self.core.journal.len();
        self.core.journal.trim(oldest, &mut self.writes);
        if self.core.journal.len() < before {
            return Ok(true);
        }
        self.carry_forward(oldest)
    }

    /// Copies the jobs that keep the oldest chunks in use to the end of the journal, when the journal is much larger
    /// than the jobs in it.
    fn carry_forward(&mut self, expired: u64) -> Result<bool, StoreError> {
        let mut carried = false;
        for _ in 0..MAX_CARRIED_CHUNKS {
            let Some(chunk) = self.core.journal.blocked_front(expired) else { break };
            if self.core.journal.bytes < self.core.shared.tuning.carry_above
                || !self.core.journal.is_mostly_dead()
            {
                break;
            }
            let Some(stored) = self.core.shared.chunk(chunk)? else { break };
            for record in stored.records {
                let id = match &record {
                    Record::Event(event) => match &event.fact {
                        crate::job::Fact::Job { id, .. } => *id,
                        crate::job::Fact::Queue { .. }
                        | crate::job::Fact::Schedule { .. }
                        | crate::job::Fact::Access { .. }
                        | crate::job::Fact::Kind { .. }
                        | crate::job::Fact::Worker { .. } => continue,
                    },
                    Record::Carried(job) => job.id,
                    Record::Pruned(_) | Record::Note(_) => continue,
                };
                let Some(entry) = self.core.index.entries.get(&id) else { continue };
                if entry.trail.first() != chunk || entry.archiving {
                    continue;
                }
                let trail: Vec<u64> = entry.trail.iter().collect();
                if trail.iter().any(|chunk| self.is_fresh(*chunk)) {
                    continue; // this group has changed it, so the next tick copies it
                }
                if let Some(job) =
                    crate::store::log_store::read::records::fold(&self.core.shared, id, &trail)?
                {
                    self.carry(job)?;
                    self.writes.mark(Mark::Carry);
                    carried = true;
                }
            }
            if self.core.journal.blocked_front(expired) == Some(chunk) {
                break;
            }
            self.core.journal.trim(expired, &mut self.writes);
        }
        Ok(carried)
    }
}

/// The first timers that have ended.
fn first_ended(
    timers: &std::collections::BTreeSet<(Time, JobId)>,
    now: Time,
    max: usize,
) -> Vec<JobId> {
    timers.iter().take_while(|(at, _)| *at <= now).take(max).map(|(_, id)| *id).collect()
}
