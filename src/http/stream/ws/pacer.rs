//! Spaces the rounds of a hub, so that it spends only its share of the time on writing.

use std::time::Duration;

use tokio::time::Instant;

/// Decides when the next round may begin: at once while rounds are short or rare, and otherwise so that the hub writes
/// for its share of the time. Writing to a socket is expensive, and writing more bytes at once is cheap: events that
/// come during a pause share one write.
#[derive(Debug)]
pub struct Pacer {
    /// When the current round began.
    began: Instant,
    /// When the pauses after all past rounds are over.
    paused_until: Instant,
}

/// The longest time from the beginning of one round to the next, unless the round itself takes longer.
const MAX_INTERVAL: Duration = Duration::from_millis(100);
/// How much of the pauses may be postponed, so that a few short rounds can follow each other closely.
const MAX_POSTPONED: Duration = Duration::from_millis(25);

impl Pacer {
    /// Creates a pacer before the first round.
    pub fn new(now: Instant) -> Pacer {
        Pacer { began: now, paused_until: now }
    }

    /// Notes that a round begins.
    pub fn begin(&mut self, now: Instant) {
        self.began = now;
        self.paused_until = self.paused_until.max(now);
    }

    /// Notes that a round has ended. `share` is how much of its time the hub may write, in percent.
    pub fn end(&mut self, now: Instant, share: u32) {
        let took = now - self.began;
        self.paused_until += (took * 100 / share.max(1)).min(MAX_INTERVAL).max(took);
    }

    /// When the next round may begin.
    pub fn next_round_at(&self) -> Instant {
        self.paused_until.checked_sub(MAX_POSTPONED).unwrap_or(self.paused_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a round that takes `took` as soon as possible after `asked`, and returns when it began.
    fn round(pacer: &mut Pacer, asked: Instant, took: Duration, share: u32) -> Instant {
        let begins = asked.max(pacer.next_round_at());
        pacer.begin(begins);
        pacer.end(begins + took, share);
        begins
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_round_after_a_long_pause_begins_at_once() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        for n in 0..100 {
            let asked = start + 10 * n * MS;
            assert_eq!(round(&mut pacer, asked, 4 * MS, 40), asked, "round {n}");
        }
    }

    #[test]
    fn a_hub_that_always_has_something_to_give_writes_for_its_share_of_the_time() {
        let start = Instant::now();
        for (took, share) in [(4 * MS, 40), (30 * MS, 40), (4 * MS, 80), (60 * MS, 80)] {
            let mut pacer = Pacer::new(start);
            let mut now = start;
            let rounds = 1_000;
            for _ in 0..rounds {
                now = round(&mut pacer, now, took, share) + took;
            }
            let wrote = 100.0 * (took * rounds).as_secs_f64() / (now - start).as_secs_f64();
            assert!((wrote - f64::from(share)).abs() < 1.0, "{took:?}, {share}: {wrote}");
        }
    }

    #[test]
    fn no_subscriber_waits_longer_than_the_longest_round_takes() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let first = round(&mut pacer, start, 90 * MS, 40);
        assert_eq!(round(&mut pacer, first + 90 * MS, MS, 40), first + 90 * MS);
        let long = round(&mut pacer, start + 1_000 * MS, 300 * MS, 40);
        assert_eq!(round(&mut pacer, long + 300 * MS, MS, 40), long + 300 * MS);
    }
}
