//! The retry policy: exponential backoff with a cap, and jitter with a floor.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::Kind;

/// How many attempts a job may take, and the delays between them. It is displayed as what it amounts to: "up to 25
/// attempts over about 20 days".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    /// The total number of attempts, including the first; at least 1.
    pub max_attempts: u16,
    /// The backoff between attempts.
    pub backoff: Backoff,
}

/// A backoff: the delay before retry *n* is a random duration between a half and the whole of
/// `min(cap, base × 2^(n-1))`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The upper bound of the first delay, in milliseconds.
    pub base_ms: u64,
    /// The upper bound of every delay, in milliseconds.
    pub cap_ms: u64,
}

impl Default for RetryPolicy {
    /// Survives an outage of a long weekend many times over, with about as many attempts over about as many days as
    /// Sidekiq and River. The first hour has nine attempts, and the longest delay is two and a half days.
    fn default() -> Self {
        let backoff = Backoff { base_ms: 10_000, cap_ms: 60 * 60 * 60 * 1_000 };
        RetryPolicy { max_attempts: 25, backoff }
    }
}

impl RetryPolicy {
    /// For built-in kinds that depend on nothing outside the server: what fails there fails again in a week.
    const QUICK: RetryPolicy =
        RetryPolicy { max_attempts: 5, backoff: Backoff { base_ms: 1_000, cap_ms: 60_000 } };

    /// The policy of jobs of a kind when the submission does not say.
    pub fn default_for(kind: &str) -> RetryPolicy {
        match kind {
            "echo" | "sleep" | "fail" => RetryPolicy::QUICK,
            _ => RetryPolicy::default(),
        }
    }

    /// The time from the first attempt to the last when all fail, on average and without the time that they run.
    pub fn span(self) -> Duration {
        let delays = (1..self.max_attempts).map(|attempt| self.backoff.delay(attempt, 0.5));
        delays.fold(Duration::ZERO, Duration::saturating_add)
    }
}

impl fmt::Display for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.max_attempts <= 1 {
            return f.write_str("one attempt and no retries");
        }
        write!(f, "up to {} attempts", self.max_attempts)?;
        let span = self.span();
        if span < Duration::from_secs(1) {
            return f.write_str(" within a second");
        }
        let (length, unit) = in_one_unit(span);
        write!(f, " over about {length} {unit}{}", if length == 1 { "" } else { "s" })
    }
}

/// A duration, rounded to the largest unit of which there are at least two.
fn in_one_unit(length: Duration) -> (u64, &'static str) {
    const UNITS: [(u64, &str); 4] =
        [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let seconds = length.as_millis().div_ceil(1_000);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    let unit = UNITS.into_iter().find(|(unit, _)| seconds >= 2 * unit).unwrap_or((1, "second"));
    (seconds.saturating_add(unit.0 / 2) / unit.0, unit.1)
}

impl Backoff {
    /// The delay after failed attempt number `attempt`, counted from 1. `chance` in `0.0..1.0` chooses the delay between
    /// a half and the whole of the bound. This jitter keeps jobs that failed together from being retried together, and
    /// its floor keeps a retry from following at once.
    pub fn delay(self, attempt: u16, chance: f64) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(63);
        let bound = self.base_ms.saturating_mul(1 << doublings).min(self.cap_ms);
        let share = (1.0 + chance.clamp(0.0, 1.0)) / 2.0;
        Duration::from_millis((bound as f64 * share) as u64)
    }
}

impl Kind {
    /// The retry policy of jobs of this kind when the submission does not say.
    pub fn default_retry(&self) -> RetryPolicy {
        RetryPolicy::default_for(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn the_bound_doubles_up_to_the_cap() {
        let backoff = Backoff { base_ms: 100, cap_ms: 1_000 };
        let bounds: Vec<u64> = (1..=6).map(|n| backoff.delay(n, 1.0).as_millis() as u64).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn chance_picks_the_delay_between_half_of_the_bound_and_all_of_it() {
        let backoff = Backoff { base_ms: 1_000, cap_ms: 60_000 };
        for (chance, ms) in [(-1.0, 1_000), (0.0, 1_000), (0.25, 1_250), (1.0, 2_000), (9.0, 2_000)]
        {
            assert_eq!(backoff.delay(2, chance), Duration::from_millis(ms), "{chance}");
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let backoff = Backoff { base_ms: u64::MAX, cap_ms: u64::MAX };
        assert!(backoff.delay(u16::MAX, 1.0) > Duration::from_secs(1));
        let policy = RetryPolicy { max_attempts: u16::MAX, backoff };
        assert!(policy.span() > DAY && policy.to_string().starts_with("up to 65535 attempts over"));
    }

    #[test]
    fn the_default_budget_survives_a_weekend_even_if_all_delays_are_short() {
        let usual = RetryPolicy::default();
        assert_eq!(usual.to_string(), "up to 25 attempts over about 20 days");
        let shortest: Duration =
            (1..usual.max_attempts).map(|attempt| usual.backoff.delay(attempt, 0.0)).sum();
        assert!(shortest > 10 * DAY, "{shortest:?}");
        // Friday at 18:00 to Monday at 10:00: attempts are left, and the next one comes soon enough.
        let outage = Duration::from_secs(64 * 3_600);
        for chance in [0.0, 0.5, 1.0] {
            let mut at = Duration::ZERO;
            let delays =
                (1..usual.max_attempts).map(|attempt| usual.backoff.delay(attempt, chance));
            let next = delays.map(|delay| {
                at += delay;
                at
            });
            let next = next.into_iter().find(|at| *at >= outage).expect("an attempt is left");
            assert!(next < outage + 3 * DAY, "{chance}: {next:?}");
        }
        assert!(usual.backoff.delay(1, 0.0) >= Duration::from_secs(5));
    }

    #[test]
    fn a_budget_is_put_in_words() {
        for (max_attempts, base_ms, cap_ms, expected) in [
            (1, 1_000, 1_000, "one attempt and no retries"),
            (2, 0, 0, "up to 2 attempts within a second"),
            (3, 100, 100, "up to 3 attempts within a second"),
            (2, 1_400, 9_000, "up to 2 attempts over about 2 seconds"),
            (2, 1_334, 9_000, "up to 2 attempts over about 1 second"),
            (2, 120_000, 120_000, "up to 2 attempts over about 90 seconds"),
            (4, 60_000, 60_000, "up to 4 attempts over about 2 minutes"),
            (10, 1_000, 3_600_000, "up to 10 attempts over about 6 minutes"),
            (5, 7_200_000, 7_200_000, "up to 5 attempts over about 6 hours"),
            (25, 10_000, 216_000_000, "up to 25 attempts over about 20 days"),
        ] {
            let policy = RetryPolicy { max_attempts, backoff: Backoff { base_ms, cap_ms } };
            assert_eq!(policy.to_string(), expected);
        }
        assert_eq!(RetryPolicy::QUICK.to_string(), "up to 5 attempts over about 12 seconds");
    }

    #[test]
    fn the_documents_state_the_default_budgets() {
        for (document, budget) in [
            ("README.md", RetryPolicy::default()),
            ("docs/jobs.md", RetryPolicy::default()),
            ("docs/jobs.md", RetryPolicy::QUICK),
        ] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
            let text = std::fs::read_to_string(path).unwrap();
            assert!(text.contains(&budget.to_string()), "{document}: {budget}");
        }
    }

    #[test]
    fn quick_kinds_have_a_small_budget_and_all_others_the_usual_one() {
        for quick in ["echo", "sleep", "fail"] {
            assert_eq!(RetryPolicy::default_for(quick), RetryPolicy::QUICK);
        }
        for other in ["http", "command", "mail", ""] {
            assert_eq!(RetryPolicy::default_for(other), RetryPolicy::default());
        }
    }
}
