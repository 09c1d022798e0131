//! Delays between attempts, random so that clients do not move in step.

use std::time::Duration;

/// Delays that double up to a cap. Each is random between a half and the whole.
#[derive(Debug, Clone)]
pub struct RandomBackoff {
    base: Duration,
    cap: Duration,
    failures: u32,
}

impl RandomBackoff {
    /// Creates a backoff whose first delay is at most `base`.
    pub const fn new(base: Duration, cap: Duration) -> RandomBackoff {
        RandomBackoff { base, cap, failures: 0 }
    }

    /// Returns the next delay.
    pub fn next_delay(&mut self) -> Duration {
        let whole = self.base.saturating_mul(1 << self.failures.min(20)).min(self.cap);
        self.failures += 1;
        jittered(whole)
    }

    /// Begins again after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random delay between a half and the whole.
pub fn jittered(whole: Duration) -> Duration {
    whole.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_begin_again_after_a_success() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(2));
        let mut backoff = RandomBackoff::new(base, cap);
        for round in 0..40 {
            let whole = base.saturating_mul(1 << round.min(20)).min(cap);
            let delay = backoff.next_delay();
            assert!((whole / 2..=whole).contains(&delay), "{round}: {delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= base);
    }
}
