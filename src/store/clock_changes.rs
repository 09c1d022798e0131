//! What a store does on each tick when the clock was set, and for schedules whose time zone was unknown. All stores
//! share it.

use std::time::Duration;

use super::schedules::Schedules;
use crate::clock::{ClockJump, ClockWatch};
use crate::job::{Change, Job, Time};

/// How often the time zones that were unknown are looked up again.
const ZONE_INTERVAL: Duration = Duration::from_secs(60);

/// What a store remembers of the clock from one tick to the next.
#[derive(Debug, Clone, Copy, Default)]
pub struct TickWatch {
    clock: ClockWatch,
    /// When time zones were last looked up, by the steady clock.
    zones: Option<Time>,
}

impl TickWatch {
    /// Compares the readings of the clock with those of the last tick. After a jump, all schedules are counted again;
    /// otherwise, now and then, those that have no next time.
    pub fn check(
        &mut self,
        now: Time,
        steady: Time,
        schedules: &mut Schedules,
    ) -> Option<ClockJump> {
        let jump = self.clock.check(now, steady);
        if jump.is_some() {
            schedules.reconsider(now);
        } else if self.zones.is_none_or(|looked_up| steady.since(looked_up) >= ZONE_INTERVAL) {
            schedules.reconsider_idle(now);
            self.zones = Some(steady);
        }
        jump
    }
}

/// How far in the future a new job must have been submitted for its wait to count as a delay. Whoever chose its time
/// then had a clock that was wrong in the same way.
const LONG_AHEAD: Duration = Duration::from_secs(86_400);

/// What a job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The end of a delay that the server chose.
    Delay,
    /// The time that was submitted; whether as a time or as a delay is not recorded.
    Submitted,
}

impl Wait {
    /// The wait that a change begins, if it begins one.
    pub fn begun_by(change: &Change, at: Time) -> Option<Wait> {
        let wait = if change.starts_delay() { Wait::Delay } else { Wait::Submitted };
        change.run_at(at).map(|_| wait)
    }

    /// What a stored job waits for.
    pub fn of(job: &Job) -> Wait {
        if job.is_delayed() { Wait::Delay } else { Wait::Submitted }
    }

    /// Whether the clock was ahead when the wait began, so that it has to begin again.
    pub fn began_ahead(self, began: Time, now: Time) -> bool {
        match self {
            Wait::Delay => began > now,
            Wait::Submitted => began > now.after(LONG_AHEAD),
        }
    }
}

/// When a delay ends that began at `began` and was to end at `ends`, if the clock now shows `now`. A clock that shows a
/// time before the beginning was set back meanwhile: then the delay begins again, and never lasts longer than it would
/// have.
pub fn end_of_delay(began: Time, ends: Time, now: Time) -> Time {
    if began <= now { ends } else { ends.min(now.after(ends.since(began))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_begins_again_when_the_clock_shows_a_time_before_it() {
        let at = Time::from_millis;
        for (began, ends, now, expected) in [
            (100, 150, 100, 150),
            (100, 150, 149, 150),
            (100, 150, 9_000, 150),
            (100, 150, 99, 149),
            (9_000, 9_050, 100, 150),
            (9_000, 9_000, 100, 100),
        ] {
            assert_eq!(end_of_delay(at(began), at(ends), at(now)), at(expected), "{began} {now}");
        }
    }
}
