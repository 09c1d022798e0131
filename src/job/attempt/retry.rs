//! The retry policy: exponential backoff with full jitter and a cap.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many attempts a job may take, and the delays between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// The total number of attempts, including the first; at least 1.
    pub max_attempts: u16,
    /// The backoff between attempts.
    pub backoff: Backoff,
}

/// A backoff: the delay before retry *n* is a random duration below `min(cap, base × 2^(n-1))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The upper bound of the first delay, in milliseconds.
    pub base_ms: u64,
    /// The upper bound of every delay, in milliseconds.
    pub cap_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy { max_attempts: 10, backoff: Backoff { base_ms: 1_000, cap_ms: 3_600_000 } }
    }
}

impl Backoff {
    /// The delay after failed attempt number `attempt`, counted from 1. `chance` in `0.0..1.0` chooses the delay below
    /// the bound. This full jitter keeps jobs that failed together from being retried together.
    pub fn delay(self, attempt: u16, chance: f64) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(63);
        let bound = self.base_ms.saturating_mul(1 << doublings).min(self.cap_ms);
        Duration::from_millis((bound as f64 * chance.clamp(0.0, 1.0)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let backoff = Backoff { base_ms: 100, cap_ms: 1_000 };
        let bounds: Vec<u64> = (1..=6).map(|n| backoff.delay(n, 1.0).as_millis() as u64).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn chance_picks_the_delay_below_the_bound() {
        let backoff = Backoff { base_ms: 1_000, cap_ms: 60_000 };
        assert_eq!(backoff.delay(2, 0.0), Duration::ZERO);
        assert_eq!(backoff.delay(2, 0.25), Duration::from_millis(500));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let backoff = Backoff { base_ms: u64::MAX, cap_ms: u64::MAX };
        assert!(backoff.delay(u16::MAX, 1.0) > Duration::from_secs(1));
    }
}
