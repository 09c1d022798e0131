//! Measures how fast a client reads. Only time in which bytes wait for the client counts, so a stream without events is
//! never too slow.

use std::time::Duration;

use tokio::time::Instant;

/// The rate at which a client must read while bytes wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteBounds {
    /// How long it may read nothing at all.
    pub unwritable: Duration,
    /// How many bytes per second it must read, averaged over `window`; 0 turns the check off.
    pub min_rate: u64,
    /// The period over which the rate is averaged, counting only time in which bytes wait.
    pub window: Duration,
}

/// Why a client is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooSlow {
    /// It read no byte for [`WriteBounds::unwritable`].
    NoProgress,
    /// It read less than [`WriteBounds::min_rate`].
    BelowRate,
}

/// Measures one client. Bytes count as read when the kernel has accepted them, so send buffers are kept small.
#[derive(Debug, Default)]
pub struct WriteRate {
    /// Set while bytes wait.
    blocked: Option<Blocked>,
    /// The time at which bytes last stopped waiting.
    ended: Option<Instant>,
    /// How long bytes waited in this window before `blocked` began.
    waited: Duration,
    /// Bytes read in this window.
    taken: u64,
}

#[derive(Debug, Clone, Copy)]
struct Blocked {
    /// The time at which the client last read a byte.
    since: Instant,
    /// The time from which waiting counts for this window.
    counted_from: Instant,
}

impl WriteRate {
    /// Records that the kernel accepted bytes.
    pub fn took(&mut self, bytes: usize, now: Instant) {
        self.taken = self.taken.saturating_add(bytes as u64);
        if let Some(blocked) = self.blocked.take() {
            self.waited += now - blocked.counted_from;
            self.ended = Some(now);
        }
    }

    /// Records that the kernel accepts no more bytes for now, and bytes wait.
    pub fn blocks(&mut self, now: Instant, bounds: &WriteBounds) {
        if self.blocked.is_some() {
            return;
        }
        // Bytes sent long ago, or into empty buffers, say nothing about the current rate.
        if self.is_over(now, bounds) {
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
        self.blocked = Some(Blocked { since: now, counted_from: now });
    }

    /// Whether no bytes wait, and the last ones are too old to matter for the rate.
    pub fn is_over(&self, now: Instant, bounds: &WriteBounds) -> bool {
        self.blocked.is_none() && self.ended.is_none_or(|ended| now - ended > bounds.window)
    }

    /// Returns an error if the client is too slow. After a full window, a new one begins.
    pub fn check(&mut self, now: Instant, bounds: &WriteBounds) -> Result<(), TooSlow> {
        let Some(blocked) = &mut self.blocked else { return Ok(()) };
        if now - blocked.since >= bounds.unwritable {
            return Err(TooSlow::NoProgress);
        }
        let waited = self.waited + (now - blocked.counted_from);
        if waited >= bounds.window {
            let expected = waited.as_secs_f64() * bounds.min_rate as f64;
            if (self.taken as f64) < expected {
                return Err(TooSlow::BelowRate);
            }
            blocked.counted_from = now;
            (self.waited, self.taken) = (Duration::ZERO, 0);
        }
        Ok(())
    }

    /// When the result of [`WriteRate::check`] may change; `None` while no bytes wait.
    pub fn next_check(&self, bounds: &WriteBounds) -> Option<Instant> {
        let blocked = self.blocked?;
        let window = bounds.window.saturating_sub(self.waited);
        Some((blocked.since + bounds.unwritable).min(blocked.counted_from + window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: WriteBounds = WriteBounds {
        unwritable: Duration::from_secs(10),
        min_rate: 1_000,
        window: Duration::from_secs(30),
    };
    const SECOND: Duration = Duration::from_secs(1);

    /// Simulates a client that reads `bytes` after every `pause`; returns after how many seconds it is too slow.
    fn drip(bytes: usize, pause: Duration) -> Option<(u64, TooSlow)> {
        let (mut rate, begun) = (WriteRate::default(), Instant::now());
        let mut now = begun;
        rate.took(1_000_000, now); // what fits into empty buffers
        for _ in 0..100 {
            rate.blocks(now, &BOUNDS);
            let until = now + pause;
            while let Some(at) = rate.next_check(&BOUNDS).filter(|at| *at <= until) {
                if let Err(why) = rate.check(at, &BOUNDS) {
                    return Some(((at - begun).as_secs(), why));
                }
            }
            now = until;
            rate.took(bytes, now);
        }
        None
    }

    #[test]
    fn a_client_that_reads_nothing_or_too_little_is_too_slow_and_one_at_the_rate_is_not() {
        assert_eq!(drip(1, SECOND * 18), Some((10, TooSlow::NoProgress)));
        assert_eq!(drip(1, SECOND * 9), Some((30, TooSlow::BelowRate)));
        assert_eq!(drip(8_000, SECOND * 9), Some((30, TooSlow::BelowRate)));
        assert_eq!(drip(900, SECOND), Some((30, TooSlow::BelowRate)));
        assert_eq!(drip(1_100, SECOND), None);
        assert_eq!(drip(20_000, SECOND * 9), None);
    }

    #[test]
    fn silence_is_not_slow() {
        let (mut rate, mut now) = (WriteRate::default(), Instant::now());
        for _ in 0..1_000 {
            // A message, a second of waiting for the client, and an hour without messages.
            rate.blocks(now, &BOUNDS);
            now += SECOND;
            assert_eq!(rate.check(now, &BOUNDS), Ok(()));
            rate.took(20, now);
            assert_eq!(rate.next_check(&BOUNDS), None);
            now += SECOND * 3_600;
            assert_eq!(rate.check(now, &BOUNDS), Ok(()));
        }
    }

    #[test]
    fn a_good_window_does_not_pay_for_a_bad_one() {
        let (mut rate, begun) = (WriteRate::default(), Instant::now());
        let end = (1..).find_map(|second| {
            rate.blocks(begun + SECOND * (second - 1), &BOUNDS);
            let now = begun + SECOND * second;
            let checked = rate.check(now, &BOUNDS);
            rate.took(if second < 30 { 1_000_000 } else { 1 }, now);
            checked.err().map(|why| (second, why))
        });
        assert_eq!(end, Some((60, TooSlow::BelowRate)));
    }

    #[test]
    fn without_a_minimum_rate_only_the_write_timeout_applies() {
        let bounds = WriteBounds { min_rate: 0, ..BOUNDS };
        let (mut rate, mut now) = (WriteRate::default(), Instant::now());
        for _ in 0..100 {
            rate.blocks(now, &bounds);
            now += SECOND * 9;
            assert_eq!(rate.check(now, &bounds), Ok(()));
            rate.took(1, now);
        }
        rate.blocks(now, &bounds);
        assert_eq!(rate.check(now + SECOND * 10, &bounds), Err(TooSlow::NoProgress));
    }
}
