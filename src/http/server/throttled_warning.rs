//! Warnings about events that a client can cause as often as it likes, and must not fill the log with.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Logs at most one line per minute, and counts the others.
#[derive(Debug, Default)]
pub struct ThrottledWarning(Mutex<Option<(Instant, u64)>>);

impl ThrottledWarning {
    const MIN_INTERVAL: Duration = Duration::from_secs(60);

    /// Returns how many lines were left out since the last one, if a line is due.
    pub fn due(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, left_out)) if now - *at < Self::MIN_INTERVAL => {
                *left_out += 1;
                None
            }
            last => {
                let left_out = last.map_or(0, |(_, left_out)| left_out);
                *last = Some((now, 0));
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_a_minute() {
        let (line, now) = (ThrottledWarning::default(), Instant::now());
        assert_eq!(line.due(now), Some(0));
        assert!((0..1_000).all(|_| line.due(now).is_none()));
        let later = now + ThrottledWarning::MIN_INTERVAL;
        assert_eq!((line.due(later), line.due(later)), (Some(1_000), None));
    }
}
