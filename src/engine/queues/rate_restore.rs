//! Restores the recent starts of rate-limited queues from the end of the log, so that a restart does not reset their
//! limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::rates::QueueRates;
use crate::clock::Clock;
use crate::job::{Change, Cursor, Event, Fact, QueueName, Time};
use crate::store::{Events, Store, StoreError};

/// The most events that are read; earlier starts are not counted.
const MAX_EVENTS: u64 = 200_000;
/// Events that are read in one step.
const EVENTS_PER_READ: u64 = 2_048;

/// Restores the rate windows of queues from the log.
pub struct RateRestore {
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub rates: Arc<QueueRates>,
}

impl RateRestore {
    /// Counts the recent starts, as far back as the longest rate limit and the log reach.
    pub async fn run(&self, oldest: Cursor) -> Result<(), StoreError> {
        let Some(longest) = self.rates.longest() else { return Ok(()) };
        let (now, moment, head) = (self.clock.now(), Instant::now(), self.store.head());
        let mut pages: Vec<Vec<(Duration, QueueName)>> = Vec::new();
        let (mut to, end) = (head.seq, head.seq.saturating_sub(MAX_EVENTS).max(oldest.seq));
        while to > end {
            let from = to.saturating_sub(EVENTS_PER_READ).max(end);
            let Some((began, page)) = self.starts_between(from, to, head).await? else { break };
            let reaches_on = began.is_some_and(|at| now.since(at) <= longest);
            // When the clock was ahead by more than the limits reach back, it is not known when these attempts started.
            let page = page.into_iter().filter(|(at, _)| at.since(now) <= longest);
            pages.push(page.map(|(at, queue)| (now.since(at), queue)).collect());
            if !reaches_on {
                break;
            }
            to = from;
        }
        for (ago, queue) in pages.into_iter().rev().flatten() {
            // A machine that has just booted has no `Instant` that long ago.
            let began = moment.checked_sub(ago).unwrap_or(moment);
            self.rates.of(&queue, |window| window.spend(began, 1));
        }
        Ok(())
    }

    /// When the first event after `from` was committed, and the attempts that started up to `to`; `None`
    /// when these events were trimmed meanwhile.
    async fn starts_between(
        &self,
        from: u64,
        to: u64,
        head: Cursor,
    ) -> Result<Option<(Option<Time>, Vec<(Time, QueueName)>)>, StoreError> {
        let (mut began, mut starts, mut seen) = (None, Vec::new(), from);
        // A read may return fewer events than it was asked for.
        while seen < to {
            let after = Cursor { seq: seen, ..head };
            let read = self.store.events(after, (to - seen) as usize).await?;
            let Events::Some(events) = read else { return Ok(None) };
            let (Some(first), Some(last)) = (events.first(), events.last()) else { break };
            began = began.or(Some(first.at));
            seen = last.seq;
            let start = |event: &Event| Some((event.at, started(event)?.clone()));
            starts.extend(events.iter().filter_map(start));
        }
        Ok(Some((began, starts)))
    }
}

/// The queue of the attempt that this event starts.
fn started(event: &Event) -> Option<&QueueName> {
    match &event.fact {
        Fact::Job { labels, change: Change::Started { .. }, .. } => Some(&labels.queue),
        Fact::Job { .. }
        | Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Access { .. }
        | Fact::Kind { .. } => None,
    }
}
