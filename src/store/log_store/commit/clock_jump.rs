//! Corrects the times in memory after the clock was set: while the process runs, and at a start after the clock was
//! ahead. Nothing is written. The records keep the times that the clock showed.

use super::core::Core;
use super::index::Index;
use crate::clock::{ClockJump, ClockWatch};
use crate::job::{JobId, State, Time};
use crate::store::clock_changes::end_of_delay;

impl Core {
    /// Corrects what was read from the log for a clock that was ahead when it was written.
    pub fn correct_times(&mut self, now: Time) {
        let waits = std::mem::take(&mut self.future_waits);
        let behind = waits.newest.since(now);
        if behind >= ClockWatch::SHORTEST {
            tracing::warn!(
                behind_ms = behind.as_millis() as u64,
                "the clock shows a time before the newest event: it was ahead then, or is behind now"
            );
        }
        let mut corrected = 0;
        for (id, began) in waits.began {
            self.index.change_if_waiting(id, |run_at| {
                corrected += 1;
                end_of_delay(began, run_at, now)
            });
        }
        if corrected > 0 {
            tracing::warn!(
                jobs = corrected,
                "the clock was ahead when these jobs began to wait, so their delays begin again now"
            );
        }
        self.index.leave_no_past_in_future(now);
    }

    /// Notices on a tick that the clock was set, and corrects all times that depend on it.
    pub fn watch_clock(&mut self, now: Time, steady: Time) -> Option<ClockJump> {
        let jump = self.watch.check(now, steady, &mut self.schedules)?;
        self.index.move_delays(jump);
        match jump {
            ClockJump::Forward(_) => {}
            ClockJump::Back(_) => {
                self.journal.correct_times(now);
                self.index.leave_no_past_in_future(now);
            }
        }
        Some(jump)
    }
}

impl Index {
    fn change_if_waiting(&mut self, id: JobId, change: impl FnOnce(Time) -> Time) {
        let state = self.entries.get(&id).map(|entry| entry.status.state);
        if matches!(state, Some(State::Scheduled | State::Retryable)) {
            self.change(id, |entry| entry.run_at = change(entry.run_at));
        }
    }

    /// Moves the ends of all delays along with the clock.
    fn move_delays(&mut self, jump: ClockJump) {
        let delayed = self.sets.due.iter().map(|(_, id)| *id);
        let delayed = delayed.filter(|id| self.entries.get(id).is_some_and(|one| one.is_delayed));
        let delayed: Vec<JobId> = delayed.collect();
        for id in delayed {
            self.change(id, |entry| entry.run_at = jump.applied_to(entry.run_at));
        }
    }

    /// A job cannot have become available, or have finished, after now. Without this, available jobs would be claimed
    /// after all newer ones, and finished ones would stay until the clock gets there again.
    fn leave_no_past_in_future(&mut self, now: Time) {
        let early = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.status.state == State::Available && entry.run_at > now);
        let early: Vec<JobId> = early.map(|(id, _)| *id).collect();
        for id in early {
            self.change(id, |entry| entry.run_at = now);
        }
        for finished in self.sets.finished.values() {
            let mut latest = now;
            for id in finished.values().rev() {
                let Some(entry) = self.entries.get_mut(id) else { continue };
                if let Some((_, at)) = &mut entry.finished {
                    latest = latest.min(*at);
                    *at = latest;
                }
            }
        }
    }
}
