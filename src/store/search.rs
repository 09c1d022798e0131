//! How long a search may go on: its time is bounded, nobody reads for a client that has left, and the stop of the
//! server waits for none.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Limits;
use crate::clock::Clock;
use crate::job::Time;

/// How long a reader works for one search before others get their turn.
const SLICE: Duration = Duration::from_millis(100);
/// How long searches may still go on once the server stops.
const LAST: Duration = Duration::from_millis(100);

/// The searches of a store: how many are under way, and whether they are to come to an end.
#[derive(Default)]
pub struct Searches {
    under_way: AtomicU64,
    /// When they were asked to, in milliseconds; 0 while they were not.
    ending: AtomicI64,
}

impl Searches {
    /// From now on no search takes long.
    pub fn end(&self, now: Time) {
        let now = now.millis().max(1);
        let set = self.ending.compare_exchange(0, now, Ordering::AcqRel, Ordering::Acquire);
        let _already = set.is_err(); // the first one counts
    }

    /// Searches that somebody waits for, or that a reader has not left yet.
    pub fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Acquire)
    }

    fn ended(&self) -> Option<Time> {
        Some(self.ending.load(Ordering::Acquire)).filter(|ms| *ms != 0).map(Time::from_millis)
    }
}

/// Counts a search while anybody has to do with it.
struct UnderWay(Arc<Searches>);

impl UnderWay {
    fn new(searches: &Arc<Searches>) -> UnderWay {
        searches.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(searches.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The time of one search, from the request to its answer.
#[derive(Clone)]
pub struct Budget {
    clock: Arc<dyn Clock>,
    under_way: Arc<UnderWay>,
    began: Time,
    time: Duration,
    /// Cancelled when nobody waits for the answer any more.
    gone: CancellationToken,
}

impl Budget {
    /// A search that begins now, and what its caller holds while it waits.
    pub fn new(
        clock: &Arc<dyn Clock>,
        limits: &Limits,
        searches: &Arc<Searches>,
    ) -> (Budget, DropGuard) {
        let gone = CancellationToken::new();
        let budget = Budget {
            clock: clock.clone(),
            under_way: Arc::new(UnderWay::new(searches)),
            began: clock.now(),
            time: limits.search_time,
            gone: gone.clone(),
        };
        (budget, gone.drop_guard())
    }

    /// Whether the answer is due with what was found so far.
    pub fn is_spent(&self) -> bool {
        let now = self.clock.now();
        is_over(self.began, self.time, now) || self.must_end(now)
    }

    /// Whether the job under way may be read to its end: the time alone does not interrupt it, so that every
    /// search comes further.
    pub fn goes_on(&self) -> bool {
        !self.gone.is_cancelled() && !self.must_end(self.clock.now())
    }

    /// Whether nobody waits for the answer any more.
    pub fn is_in_vain(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Whether the server stops, and has waited long enough: the answer is due however little it is.
    pub fn must_end_now(&self) -> bool {
        self.must_end(self.clock.now())
    }

    /// The turn of this search on a reader, from now on.
    pub fn turn(&self) -> Turn<'_> {
        Turn { budget: self, began: self.clock.now() }
    }

    fn must_end(&self, now: Time) -> bool {
        let ended = self.under_way.0.ended();
        ended.is_some_and(|ended| is_over(ended.max(self.began), LAST, now))
    }
}

/// One of the turns of a search.
pub struct Turn<'a> {
    budget: &'a Budget,
    began: Time,
}

impl Turn<'_> {
    /// Whether it is somebody else's turn, or the search is at its end.
    pub fn is_over(&self) -> bool {
        let budget = self.budget;
        is_over(self.began, SLICE, budget.clock.now()) || budget.is_spent() || budget.is_in_vain()
    }
}

/// A clock that was set back ends it too.
fn is_over(began: Time, length: Duration, now: Time) -> bool {
    now < began || now >= began.after(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_search_ends_when_its_time_is_over_its_caller_leaves_or_the_server_stops() {
        let manual = ManualClock::at(Time::from_millis(1_000_000));
        let clock: Arc<dyn Clock> = Arc::new(manual.clone());
        let limits = Limits { search_time: Duration::from_secs(2), ..Limits::default() };
        let searches = Arc::new(Searches::default());
        let open = || Budget::new(&clock, &limits, &searches);

        let (timed, _timed) = open();
        let turn = timed.turn();
        manual.advance(SLICE);
        assert!(turn.is_over() && !timed.is_spent() && !timed.turn().is_over());
        manual.advance(limits.search_time);
        assert!(timed.is_spent() && timed.goes_on(), "the job under way is read to its end");

        let (left, caller) = open();
        assert!(left.goes_on());
        drop(caller);
        assert!(!left.goes_on() && left.is_in_vain() && left.turn().is_over());

        let (stopped, _stopped) = open();
        searches.end(clock.now());
        assert!(stopped.goes_on() && !stopped.is_spent());
        manual.advance(LAST);
        assert!(!stopped.goes_on() && stopped.is_spent());
        let (late, _late) = open();
        assert!(late.goes_on() && !late.is_spent(), "a short list is still answered");
        manual.advance(LAST);
        assert!(late.is_spent());
        assert_eq!(searches.under_way(), 4);
        let on_a_reader = late.clone();
        drop((timed, left, stopped, late));
        assert_eq!(searches.under_way(), 1, "the reader has not left it yet");
        drop(on_a_reader);
        assert_eq!(searches.under_way(), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_ends_a_search() {
        assert!(is_over(Time::from_millis(10), SLICE, Time::from_millis(9)));
    }
}
