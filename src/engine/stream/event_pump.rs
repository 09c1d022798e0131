//! The only sender of committed events. It receives them from the store in order, reads those that the bounded
//! channel dropped from the log, and closes the channel when the last event is sent.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::engine::Batch;
use crate::job::{Cursor, Event};
use crate::store::{Events, Store};
use crate::supervise::{Part, pass};

/// How many batches the store may be ahead of the pump before it drops some.
pub const CHANNEL_CAPACITY: usize = 512;
/// How many events one read of the log may return.
const BACKFILL_BATCH: usize = 1_024;
/// After this time without events the pump checks whether any were dropped.
const GAP_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The wait before the log is read again after an error.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The sending half of the channel of committed events, until the channel is closed.
pub struct Live(Mutex<Option<broadcast::Sender<Arc<Batch>>>>);

impl Live {
    pub fn new(capacity: usize) -> Self {
        Live(Mutex::new(Some(broadcast::Sender::new(capacity.max(1)))))
    }

    /// A receiver of all events from now on. After the end of the channel it is closed from the start.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Batch>> {
        match &*self.lock() {
            Some(sender) => sender.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        }
    }

    /// Closes the channel. Receivers get what is in it and then see the end.
    pub fn end(&self) {
        self.lock().take();
    }

    fn send(&self, batch: Batch) {
        if let Some(sender) = &*self.lock() {
            // An error means that there are no receivers. Nothing is lost: the log has every event.
            let _ = sender.send(Arc::new(batch));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<broadcast::Sender<Arc<Batch>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop that sends committed events.
pub struct EventPump {
    pub store: Arc<dyn Store>,
    pub live: Arc<Live>,
    /// Cancelled when the store gets no more events: the pump sends the rest and ends.
    pub no_more_events: CancellationToken,
    /// The position of the last event that was sent.
    pub sent: Cursor,
}

impl EventPump {
    /// Sends events until the last one is sent or the store is closed.
    pub async fn run(mut self, mut followed: mpsc::Receiver<Arc<[Event]>>) {
        loop {
            pass(Part::EventPump);
            tokio::select! {
                biased;
                next = timeout(GAP_CHECK_INTERVAL, followed.recv()) => match next {
                    Ok(Some(events)) => self.take(events).await,
                    Ok(None) => break,
                    Err(_) => self.backfill(self.store.head().seq).await,
                },
                () = self.no_more_events.cancelled() => break,
            }
        }
        self.backfill(self.store.head().seq).await;
        self.live.end();
    }

    /// Sends a batch: first the events that are missing before it, and none that were sent already.
    async fn take(&mut self, events: Arc<[Event]>) {
        let Some(first) = events.first().map(|event| event.seq) else { return };
        if first > self.sent.seq + 1 {
            self.backfill(first - 1).await;
        }
        let known = events.iter().take_while(|event| event.seq <= self.sent.seq).count();
        if known == 0 {
            self.send(events);
        } else if known < events.len() {
            self.send(events[known..].into());
        }
    }

    /// Reads the events up to `to` from the log and sends them.
    async fn backfill(&mut self, to: u64) {
        while self.sent.seq < to {
            match self.store.events(self.sent, BACKFILL_BATCH).await {
                Ok(Events::Some(events)) if events.is_empty() => {
                    error!(after = self.sent.seq, to, "the event log ends before its head");
                    self.sent.seq = to;
                }
                Ok(Events::Some(events)) => self.send(events.into()),
                Ok(Events::Gap { oldest, .. }) => {
                    let (from, to) = (self.sent.seq, oldest.seq.max(self.sent.seq + 1));
                    warn!(from, to, "events were trimmed before they were sent");
                    self.sent.seq = to;
                }
                Err(error) => {
                    warn!(%error, "reading the event log failed, retrying");
                    tokio::select! {
                        () = sleep(RETRY_DELAY) => {}
                        // The stop does not wait for this; the missing events are in the log.
                        () = self.no_more_events.cancelled() => return,
                    }
                }
            }
        }
    }

    fn send(&mut self, events: Arc<[Event]>) {
        let Some(last) = events.last() else { return };
        self.sent.seq = last.seq;
        self.live.send(Batch::new(self.sent.epoch, events));
    }
}
