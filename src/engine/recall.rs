//! What queues with a rate have started in earlier processes: the newest part of the log tells, so that a
//! restart does not begin their number again.

use std::time::Duration;

use tokio::time::Instant;

use super::Inner;
use crate::job::{Change, Cursor, Event, Fact, QueueName};
use crate::store::{Events, StoreError};

/// Events that are read back at most; attempts that began before them are forgotten.
const REACH: u64 = 200_000;
/// Events read in one step.
const STEP: u64 = 2_048;

impl Inner {
    /// Counts the attempts that began lately, as far as a rate and the log reach back.
    pub(super) async fn recall_starts(&self, oldest: Cursor) -> Result<(), StoreError> {
        let Some(longest) = self.queues.longest_rate() else { return Ok(()) };
        let (now, moment, head) = (self.clock.now(), Instant::now(), self.store.head());
        let mut pages: Vec<Vec<(Duration, QueueName)>> = Vec::new();
        let (mut to, end) = (head.seq, head.seq.saturating_sub(REACH).max(oldest.seq));
        while to > end {
            let from = to.saturating_sub(STEP).max(end);
            let read =
                self.store.events(Cursor { seq: from, ..head }, (to - from) as usize).await?;
            let Events::Some(events) = read else { break }; // trimmed meanwhile
            let reaches_on = events.first().is_some_and(|event| now.since(event.at) <= longest);
            let ago = |event: &Event| Some((now.since(event.at), started(event)?.clone()));
            pages.push(events.iter().filter_map(ago).collect());
            if !reaches_on {
                break;
            }
            to = from;
        }
        for (ago, queue) in pages.into_iter().rev().flatten() {
            // A machine that has just been started knows no moment so long ago.
            let began = moment.checked_sub(ago).unwrap_or(moment);
            self.queues.pace(&queue, |pace| pace.spend(began, 1));
        }
        Ok(())
    }
}

/// The queue of an attempt that begins.
fn started(event: &Event) -> Option<&QueueName> {
    match &event.fact {
        Fact::Job { labels, change: Change::Started { .. }, .. } => Some(&labels.queue),
        Fact::Job { .. } | Fact::Queue { .. } | Fact::Schedule { .. } => None,
    }
}
