//! The clock that stores and engines use: that of the system, or one that a test sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use crate::job::Time;

/// A source of the current time.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Time;
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::of(SystemTime::now())
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
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Time) -> Self {
        ManualClock(Arc::new(AtomicI64::new(now.millis())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: std::time::Duration) {
        let later = self.now().after(by);
        self.0.store(later.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

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
}
