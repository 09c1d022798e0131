//! Decides what one reader receives next, over any transport: live batches while it keeps up, and the stored log while
//! it is behind. No event is lost or repeated when it changes from one to the other.

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::engine::{Batch, Engine, Events, StoreError};
use crate::job::Cursor;

/// The position of one reader in the log, and the source of the events that follow.
pub struct Feed {
    engine: Engine,
    live: broadcast::Receiver<Arc<Batch>>,
    /// Every event up to here has been delivered.
    cursor: Cursor,
    source: Source,
    /// Whether the cursor was ahead of the log when the reader came; see [`Engine::read_ahead_at`].
    is_ahead: bool,
    /// The number of events per read of the stored log.
    step: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The stored log up to its end, and then the live channel.
    Stored,
    /// The live channel.
    Live,
    /// The stored log up to its end, and then nothing more: the live channel is closed.
    Draining,
}

/// What a reader receives next.
#[derive(Debug)]
pub enum Delivery {
    /// A batch, of which the events after `after` are new.
    Events {
        /// The events in order; the first of them may have been delivered before.
        batch: Arc<Batch>,
        /// The number of the last event delivered before.
        after: u64,
    },
    /// The log does not reach back to `from`; the events after `to` come next.
    Gap {
        /// The cursor of the reader before the gap.
        from: Cursor,
        /// The cursor of the reader after the gap.
        to: Cursor,
    },
    /// The server has stopped, and every event has been delivered.
    Ended,
}

/// The number of events per read of the stored log, unless a reader wants fewer.
const MAX_EVENTS_PER_READ: usize = 1_000;

impl Feed {
    /// Creates a feed that begins after `after`, or at the end of the log.
    ///
    /// The caller subscribes to the channel first and the head is read afterwards, so that events committed in between
    /// come through the channel.
    pub fn new(
        engine: Engine,
        live: broadcast::Receiver<Arc<Batch>>,
        after: Option<Cursor>,
    ) -> Self {
        let head = engine.head();
        let (cursor, source) = match after {
            Some(cursor) => (cursor, Source::Stored),
            None => (head, Source::Live),
        };
        let is_ahead = cursor.is_ahead_of(head);
        Feed { engine, live, cursor, source, is_ahead, step: MAX_EVENTS_PER_READ }
    }

    /// Sets the number of events per read of the stored log, for a reader that wants no more than that.
    pub fn read_in_steps_of(&mut self, step: usize) {
        self.step = step.clamp(1, MAX_EVENTS_PER_READ);
    }

    /// The number of events per read of the stored log.
    pub fn step(&self) -> usize {
        self.step
    }

    /// The cursor up to which every event has been delivered.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Waits for the next delivery. Nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// When the stored log cannot be read.
    pub async fn next(&mut self) -> Result<Delivery, StoreError> {
        loop {
            match self.source {
                Source::Stored | Source::Draining => {
                    if let Some(delivery) = self.read_stored().await? {
                        return Ok(delivery);
                    }
                }
                Source::Live => match self.live.recv().await {
                    Ok(batch) => {
                        if let Some(delivery) = self.take(batch) {
                            return Ok(delivery);
                        }
                    }
                    Err(RecvError::Lagged(_)) => self.source = Source::Stored,
                    Err(RecvError::Closed) => self.source = Source::Draining,
                },
            }
        }
    }

    /// Returns a live batch that has arrived already, so that it can share a frame with the one before.
    pub fn next_ready(&mut self) -> Option<Delivery> {
        while self.source == Source::Live {
            match self.live.try_recv() {
                Ok(batch) => {
                    if let Some(delivery) = self.take(batch) {
                        return Some(delivery);
                    }
                }
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Lagged(_)) => self.source = Source::Stored,
                Err(TryRecvError::Closed) => self.source = Source::Draining,
            }
        }
        None
    }

    /// Returns the next delivery from the stored log, and `None` at its end; it does not wait for new events.
    ///
    /// # Errors
    /// When the stored log cannot be read.
    pub async fn next_stored(&mut self) -> Result<Option<Delivery>, StoreError> {
        match self.source {
            Source::Live => Ok(None),
            Source::Stored | Source::Draining => self.read_stored().await,
        }
    }

    /// Reads the stored log; `None` at its end, when the live channel is next.
    async fn read_stored(&mut self) -> Result<Option<Delivery>, StoreError> {
        let from = self.cursor;
        let after = if self.is_ahead { self.engine.read_ahead_at(from) } else { from };
        match self.engine.events(after, self.step).await {
            Ok(Events::Some(events)) => {
                self.is_ahead = false;
                match events.last() {
                    Some(last) => {
                        self.cursor = last.cursor(from);
                        let batch = Arc::new(Batch::new(from.epoch, events.into()));
                        Ok(Some(Delivery::Events { batch, after: from.seq }))
                    }
                    None if self.source == Source::Draining => Ok(Some(Delivery::Ended)),
                    None => {
                        self.source = Source::Live;
                        Ok(None)
                    }
                }
            }
            Ok(Events::Gap { oldest, head: _ }) => {
                (self.cursor, self.is_ahead) = (oldest, false);
                Ok(Some(Delivery::Gap { from, to: oldest }))
            }
            // The store closes after the event pump has sent everything. A reader that is still behind resumes from its
            // cursor after the next start.
            Err(StoreError::Closed) => Ok(Some(Delivery::Ended)),
            Err(error) => Err(error),
        }
    }

    /// Returns the delivery of a live batch, if any of it is new. If events are missing before it, the stored log is
    /// next.
    fn take(&mut self, batch: Arc<Batch>) -> Option<Delivery> {
        let after = self.cursor.seq;
        if batch.epoch != self.cursor.epoch || batch.first_seq() > after + 1 {
            self.source = Source::Stored;
            return None;
        }
        if batch.last_seq() <= after {
            return None;
        }
        self.cursor.seq = batch.last_seq();
        Some(Delivery::Events { batch, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::stream::protocol::{EventsMessage, Subscriptions};
    use crate::http::tests::support::{Server, within};
    use crate::job::{Event, Fact, Filter, QueueChange, QueueName, Time};

    fn batch(feed: &Feed, seqs: std::ops::RangeInclusive<u64>) -> Arc<Batch> {
        let event = |seq| {
            let fact = Fact::Queue { queue: QueueName::default(), change: QueueChange::Paused };
            Event { seq, at: Time::default(), by: None, fact }
        };
        Arc::new(Batch::new(feed.cursor.epoch, seqs.map(event).collect()))
    }

    #[tokio::test]
    async fn a_live_batch_brings_what_is_new_and_a_jump_asks_the_stored_log() {
        let server = Server::start().await;
        let mut feed = Feed::new(server.engine.clone(), server.engine.live(), None);
        let (one, two) = (batch(&feed, 1..=2), batch(&feed, 1..=4));
        assert!(matches!(feed.take(one.clone()), Some(Delivery::Events { after: 0, .. })));
        assert!(feed.take(one).is_none(), "nothing in it is new");
        let Some(Delivery::Events { batch: half_new, after: 2 }) = feed.take(two) else {
            panic!("3 and 4 are new");
        };
        let mut frame = EventsMessage::default();
        frame.add(&half_new, 2, &Subscriptions::new(Filter::default(), 1));
        let text = frame.finish(feed.cursor).unwrap();
        assert!(text.contains(r#""seq":3,"#) && text.contains(r#""seq":4,"#), "{text}");
        assert!(!text.contains(r#""seq":2,"#), "{text}");
        assert_eq!(feed.cursor.seq, 4);

        let jump = batch(&feed, 6..=7);
        assert!(feed.take(jump).is_none());
        assert_eq!((feed.cursor.seq, feed.source), (4, Source::Stored));
    }

    #[tokio::test]
    async fn the_end_comes_after_everything_else() {
        let server = Server::start().await;
        let mut feed = Feed::new(server.engine.clone(), server.engine.live(), None);
        server.job("").await;
        server.stop().await;
        // Not read before the stop: it is still in the channel.
        let last = within(feed.next()).await.unwrap();
        assert!(matches!(last, Delivery::Events { after: 0, .. }), "{last:?}");
        assert!(matches!(within(feed.next()).await.unwrap(), Delivery::Ended));
    }
}
