//! The outages of the demo's payment gateway: bursts of failures from which the jobs recover.

use std::time::Duration;

use tokio::time::Instant;

/// The time from the beginning of one outage to that of the next.
const PERIOD: Duration = Duration::from_secs(120);
/// When the first outage begins, so that a visitor sees charges succeed, fail and recover.
const BEGIN: Duration = Duration::from_secs(2);
/// When the first outage ends.
const END: Duration = Duration::from_secs(8);

/// A payment gateway that is regularly unavailable for some seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct PaymentGateway {
    since: Instant,
}

impl PaymentGateway {
    /// A gateway whose first outage begins soon.
    pub(super) fn starting_now() -> PaymentGateway {
        PaymentGateway { since: Instant::now() }
    }

    /// Whether an outage has begun and not ended.
    pub(super) fn is_down(self) -> bool {
        is_down_after(self.since.elapsed())
    }
}

fn is_down_after(elapsed: Duration) -> bool {
    let in_period = elapsed.as_millis() % PERIOD.as_millis();
    (BEGIN.as_millis()..END.as_millis()).contains(&in_period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_within_seconds_ends_and_returns() {
        let down = |ms| is_down_after(Duration::from_millis(ms));
        let times = [0, 1_999, 2_000, 7_999, 8_000, 121_999, 122_000, 127_999, 128_000];
        let expected = [false, false, true, true, false, false, true, true, false];
        assert_eq!(times.map(down), expected);
    }
}
