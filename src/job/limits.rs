//! The numbers that submissions may have. Every interface and every import checks them.

use crate::job::number::IntegerRange;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The longest `timeout_ms` and the longest `backoff.cap_ms`: seven days.
pub const MAX_WAIT_MS: u64 = 7 * DAY_MS;
/// The longest `delay_ms`: ten years.
pub const MAX_DELAY_MS: u64 = 3_652 * DAY_MS;
/// The largest `max_attempts`.
pub const MAX_ATTEMPTS: u16 = 1_000;
/// The most tags of a job.
pub const MAX_TAGS: usize = 32;

/// The accepted priorities.
pub const PRIORITY: IntegerRange = IntegerRange::new(i16::MIN as i64, i16::MAX as i64);
/// The accepted numbers of attempts.
pub const ATTEMPTS: IntegerRange = IntegerRange::new(1, MAX_ATTEMPTS as i64);
/// The accepted delays of a start, in milliseconds.
pub const DELAY_MS: IntegerRange = IntegerRange::new(0, MAX_DELAY_MS as i64);
/// The accepted timeouts of an attempt, in milliseconds.
pub const TIMEOUT_MS: IntegerRange = IntegerRange::new(1, MAX_WAIT_MS as i64);
/// The accepted bounds of a backoff, in milliseconds. Retries never follow at once.
pub const BACKOFF_MS: IntegerRange = IntegerRange::new(10, MAX_WAIT_MS as i64);
/// The bounds of a backoff that stored jobs may have: older versions accepted shorter ones.
pub const STORED_BACKOFF_MS: IntegerRange = IntegerRange::new(0, MAX_WAIT_MS as i64);

/// The error about a first delay that is longer than the longest one.
pub fn base_exceeds_cap(base_ms: u64, cap_ms: u64) -> String {
    format!("the initial backoff ({base_ms} ms) must not exceed the maximum backoff ({cap_ms} ms)")
}
