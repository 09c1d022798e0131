//! Bounds the time of searches and of reads of the log: they end when their time is over, when their caller has stopped
//! waiting, and when the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::StoreLimits;
use crate::clock::Clock;
use crate::job::Time;

/// How long a reader works for one search before other searches have their turn.
const TURN_TIME: Duration = Duration::from_millis(100);
/// How long searches may still run once the server stops.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// The searches of a store, or its reads of the log: how many are running, and whether they have to end soon.
#[derive(Default)]
pub struct ActiveReads {
    running: AtomicU64,
    /// When they were asked to end, in milliseconds; 0 if they were not.
    ending: AtomicI64,
}

impl ActiveReads {
    /// Asks all searches, including later ones, to end soon. `now` is a reading of the steady clock.
    pub fn end(&self, now: Time) {
        let now = now.millis().max(1);
        let set = self.ending.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        let _already = set.is_err(); // the first request counts
    }

    /// The number of searches that a caller waits for or a reader still works on.
    pub fn count(&self) -> u64 {
        self.running.load(Ordering::Acquire)
    }

    fn ended(&self) -> Option<Time> {
        Some(self.ending.load(Ordering::Acquire)).filter(|ms| *ms != 0).map(Time::from_millis)
    }
}

/// Counts a search or a read for as long as it is held.
struct ActiveRead(Arc<ActiveReads>);

impl ActiveRead {
    fn new(reads: &Arc<ActiveReads>) -> ActiveRead {
        reads.running.fetch_add(1, Ordering::AcqRel);
        ActiveRead(reads.clone())
    }
}

impl Drop for ActiveRead {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The time budget of one search, from the request to the answer.
#[derive(Clone)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    active: Arc<ActiveRead>,
    began: Time,
    time: Duration,
    /// Cancelled when the caller stops waiting.
    gone: CancellationToken,
}

impl Budget {
    /// Starts a search. The caller holds the second value for as long as it waits.
    pub fn new(
        clock: &Arc<dyn Clock>,
        limits: &StoreLimits,
        searches: &Arc<ActiveReads>,
    ) -> (Budget, DropGuard) {
        let gone = CancellationToken::new();
        let budget = Budget {
            clock: clock.clone(),
            active: Arc::new(ActiveRead::new(searches)),
            began: clock.steady(),
            time: limits.search_time,
            gone: gone.clone(),
        };
        (budget, gone.drop_guard())
    }

    /// Whether it is time to answer with what was found so far.
    pub fn is_spent(&self) -> bool {
        let now = self.clock.steady();
        is_over(self.began, self.time, now) || self.must_end(now)
    }

    /// Whether the current job may be searched to its end. Time alone does not interrupt it, so that every search makes
    /// progress.
    pub fn may_continue(&self) -> bool {
        !self.gone.is_cancelled() && !self.must_end(self.clock.steady())
    }

    /// Whether the caller has stopped waiting.
    pub fn is_abandoned(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Whether the server is stopping and has waited long enough, so that the search must answer now.
    pub fn must_end_now(&self) -> bool {
        self.must_end(self.clock.steady())
    }

    /// Starts a turn of this search on a reader.
    pub fn turn(&self) -> Turn<'_> {
        Turn { budget: self, began: self.clock.steady() }
    }

    fn must_end(&self, now: Time) -> bool {
        let ended = self.active.0.ended();
        ended.is_some_and(|ended| is_over(ended.max(self.began), STOP_GRACE, now))
    }
}

/// A turn of a search on a reader.
pub struct Turn<'a> {
    budget: &'a Budget,
    began: Time,
}

impl Turn<'_> {
    /// Whether the turn or the whole search is over.
    pub fn is_over(&self) -> bool {
        let budget = self.budget;
        is_over(self.began, TURN_TIME, budget.clock.steady())
            || budget.is_spent()
            || budget.is_abandoned()
    }
}

fn is_over(began: Time, length: Duration, now: Time) -> bool {
    now >= began.after(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_search_ends_when_its_time_is_over_its_caller_leaves_or_the_server_stops() {
        let manual = ManualClock::at(Time::from_millis(1_000_000));
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let limits = StoreLimits { search_time: Duration::from_secs(2), ..StoreLimits::default() };
        let searches = Arc::new(ActiveReads::default());
        let open = || Budget::new(&clock, &limits, &searches);

        let (timed, _timed) = open();
        let turn = timed.turn();
        manual.advance(TURN_TIME);
        assert!(turn.is_over() && !timed.is_spent() && !timed.turn().is_over());
        manual.advance(limits.search_time);
        assert!(timed.is_spent() && timed.may_continue(), "the job under way is read to its end");

        let (left, caller) = open();
        assert!(left.may_continue());
        drop(caller);
        assert!(!left.may_continue() && left.is_abandoned() && left.turn().is_over());

        let (stopped, _stopped) = open();
        searches.end(clock.steady());
        assert!(stopped.may_continue() && !stopped.is_spent());
        manual.advance(STOP_GRACE);
        assert!(!stopped.may_continue() && stopped.is_spent());
        let (late, _late) = open();
        assert!(late.may_continue() && !late.is_spent(), "a short list is still answered");
        manual.advance(STOP_GRACE);
        assert!(late.is_spent());
        assert_eq!(searches.count(), 4);
        let on_a_reader = late.clone();
        drop((timed, left, stopped, late));
        assert_eq!(searches.count(), 1, "the reader has not left it yet");
        drop(on_a_reader);
        assert_eq!(searches.count(), 0);
    }

    #[test]
    fn setting_the_clock_neither_ends_a_search_nor_prolongs_it() {
        let manual = ManualClock::at(Time::from_millis(1_000_000));
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let limits = StoreLimits { search_time: Duration::from_secs(2), ..StoreLimits::default() };
        let searches = Arc::new(ActiveReads::default());
        for set_to in [0, 9_000_000] {
            let (budget, _caller) = Budget::new(&clock, &limits, &searches);
            manual.set(Time::from_millis(set_to));
            assert!(!budget.is_spent() && !budget.turn().is_over(), "{set_to}");
            manual.advance(limits.search_time);
            assert!(budget.is_spent(), "{set_to}");
        }
    }
}
