//! The clock that stores and engines use: that of the system, or one that a test sets. It has two readings, because the
//! time of day can be set while the server runs.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crate::job::Time;

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, which people see and schedules follow. It jumps when the clock of the system is set.
    fn now(&self) -> Time;

    /// A time that only ever moves forward, at the rate of real time, and is not affected when the clock is set. It
    /// equals the time of day at some moment of this process, and is only for measuring how long something took or
    /// lasts: leases, time limits, waits.
    fn steady(&self) -> Time;
}

/// How far the time of day moved compared with the time that elapsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockJump {
    /// The clock was set forward, or the machine was suspended.
    Forward(Duration),
    /// The clock was set back.
    Back(Duration),
}

impl ClockJump {
    /// A time of day from before the jump, moved along with the clock, so that it stays as far away as it was.
    pub fn applied_to(self, time: Time) -> Time {
        match self {
            ClockJump::Forward(by) => time.after(by),
            ClockJump::Back(by) => time.before(by),
        }
    }
}

/// Notices when the clock of the system was set, by comparing both readings with the last ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClockWatch {
    last: Option<(Time, Time)>,
}

impl ClockWatch {
    /// The shortest jump that is reported. Clocks are corrected all the time by amounts too small to matter.
    pub const SHORTEST: Duration = Duration::from_secs(1);

    /// Compares the current readings with those of the last call.
    pub fn check(&mut self, now: Time, steady: Time) -> Option<ClockJump> {
        let (was, steady_was) = self.last.replace((now, steady))?;
        let expected = was.after(steady.since(steady_was));
        let (ahead, behind) = (now.since(expected), expected.since(now));
        if ahead >= Self::SHORTEST {
            Some(ClockJump::Forward(ahead))
        } else if behind >= Self::SHORTEST {
            Some(ClockJump::Back(behind))
        } else {
            None
        }
    }
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::of(SystemTime::now())
    }

    fn steady(&self) -> Time {
        static ORIGIN: OnceLock<(Instant, Time)> = OnceLock::new();
        let (origin, at) = ORIGIN.get_or_init(|| (Instant::now(), Time::of(SystemTime::now())));
        at.after(origin.elapsed())
    }
}

/// Checks that the clock of the system is usable: not before 1970, where libraries that we need panic, and not after
/// the year 9999, where RFC 3339 has no times.
///
/// # Errors
/// Says what time the clock shows and what is needed.
pub fn check_system() -> Result<(), String> {
    check(SystemTime::now())
}

fn check(now: SystemTime) -> Result<(), String> {
    let at = Time::of(now);
    if (Time::default()..Time::MAX).contains(&at) {
        return Ok(());
    }
    Err(format!("the system clock says {at}: set it to a time from 1970 to 9999"))
}

/// A clock that only moves when a test moves it.
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    now: Arc<AtomicI64>,
    steady: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Time) -> Self {
        let reading = || Arc::new(AtomicI64::new(now.millis()));
        ManualClock { now: reading(), steady: reading() }
    }

    /// Lets time pass.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
        self.steady.store(self.steady().after(by).millis(), Ordering::SeqCst);
    }

    /// Sets the time of day, as an administrator sets the clock of a machine; no time passes.
    pub fn set(&self, now: Time) {
        self.now.store(now.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_millis(self.now.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Time {
        Time::from_millis(self.steady.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_clock_that_nothing_can_be_served_by_is_refused_with_what_it_says() {
        let year = Duration::from_secs(365 * 86_400);
        let said = |now| check(now).unwrap_err();
        assert!(said(UNIX_EPOCH - Duration::from_nanos(1)).contains("1969-12-31T23:59:59.999Z"));
        assert!(said(UNIX_EPOCH - year * 60).contains("from 1970 to 9999"));
        assert!(said(UNIX_EPOCH - year * 100_000).contains("from 1970 to 9999"));
        assert!(said(UNIX_EPOCH + year * 100_000).contains("9999-12-30"));
        assert_eq!(check(UNIX_EPOCH), Ok(()));
        assert_eq!(check(UNIX_EPOCH + year * 8_000), Ok(()));
        assert_eq!(check_system(), Ok(()));
    }

    #[test]
    fn a_jump_of_the_clock_is_noticed_and_passing_time_is_not() {
        let secs = Duration::from_secs;
        let clock = ManualClock::at(Time::from_millis(1_800_000_000_000));
        let mut watch = ClockWatch::default();
        let mut check = || watch.check(clock.now(), clock.steady());
        assert_eq!(check(), None, "there is nothing to compare with yet");
        clock.advance(secs(3_600));
        assert_eq!(check(), None);
        let steady = clock.steady();
        clock.set(clock.now().after(secs(600)));
        assert_eq!(clock.steady(), steady);
        clock.advance(secs(5));
        assert_eq!(check(), Some(ClockJump::Forward(secs(600))));
        assert_eq!(check(), None, "it is reported once");
        clock.set(clock.now().before(secs(4 * 366 * 86_400)));
        assert_eq!(check(), Some(ClockJump::Back(secs(4 * 366 * 86_400))));
        clock.set(clock.now().after(Duration::from_millis(999)));
        assert_eq!(check(), None, "a correction by less than a second");
    }

    #[test]
    fn a_jump_moves_a_wait_along_with_the_clock() {
        let at = Time::from_millis(10_000);
        assert_eq!(ClockJump::Forward(Duration::from_secs(5)).applied_to(at).millis(), 15_000);
        assert_eq!(ClockJump::Back(Duration::from_secs(5)).applied_to(at).millis(), 5_000);
    }

    #[test]
    fn the_steady_clock_of_the_system_does_not_go_back() {
        let readings: Vec<Time> = (0..1_000).map(|_| SystemClock.steady()).collect();
        assert!(readings.is_sorted());
    }
}
