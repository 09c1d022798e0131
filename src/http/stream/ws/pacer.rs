//! The pacer of a hub: when it goes around to give out events, and the frames that it gives.

use std::time::Duration;

use tokio::time::Instant;

/// When the next round begins: at once while rounds are short or seldom, and else such that a hub writes
/// for its share of the time. Touching a socket costs much, more bytes to it cost little: what comes while
/// the hub rests shares a frame with what came before.
#[derive(Debug)]
pub struct Pacer {
    began: Instant,
    /// When all that was written will have had its share of rest.
    rested: Instant,
}

/// The longest from the beginning of a round to the next, if the sockets take that long at all.
const LONGEST: Duration = Duration::from_millis(100);
/// So much rest may be owed: a few short rounds may follow each other closely.
const OWED: Duration = Duration::from_millis(25);

impl Pacer {
    /// Nothing was done yet.
    pub fn new(now: Instant) -> Pacer {
        Pacer { began: now, rested: now }
    }

    /// A round begins.
    pub fn begin(&mut self, now: Instant) {
        self.began = now;
        self.rested = self.rested.max(now);
    }

    /// A round is over. `share` is for how many percent of its time the hub may write.
    pub fn end(&mut self, now: Instant, share: u32) {
        let took = now - self.began;
        self.rested += (took * 100 / share.max(1)).min(LONGEST).max(took);
    }

    /// When the next may begin.
    pub fn next_round_at(&self) -> Instant {
        self.rested.checked_sub(OWED).unwrap_or(self.rested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes around for as long as `took`, as soon as it may after `asked`; when it began.
    fn round(pacer: &mut Pacer, asked: Instant, took: Duration, share: u32) -> Instant {
        let begins = asked.max(pacer.next_round_at());
        pacer.begin(begins);
        pacer.end(begins + took, share);
        begins
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_round_that_comes_seldom_begins_at_once() {
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
    fn nobody_waits_longer_than_the_longest_round_takes() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let first = round(&mut pacer, start, 90 * MS, 40);
        assert_eq!(round(&mut pacer, first + 90 * MS, MS, 40), first + 90 * MS);
        let long = round(&mut pacer, start + 1_000 * MS, 300 * MS, 40);
        assert_eq!(round(&mut pacer, long + 300 * MS, MS, 40), long + 300 * MS);
    }
}
