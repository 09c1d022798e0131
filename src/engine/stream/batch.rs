//! One committed group of events on its way to every subscriber.

use std::sync::{Arc, OnceLock};

use crate::job::{Epoch, Event};

/// Events in order, shared by all receivers. Encoded at most once, by whoever needs the text first.
#[derive(Debug)]
pub struct Batch {
    /// The life of the store they belong to.
    pub epoch: Epoch,
    /// Dense, oldest first, never empty.
    pub events: Arc<[Event]>,
    encoded: OnceLock<Box<[Box<str>]>>,
}

impl Batch {
    /// A batch that nobody has encoded yet.
    pub fn new(epoch: Epoch, events: Arc<[Event]>) -> Self {
        Batch { epoch, events, encoded: OnceLock::new() }
    }

    /// Each event's text, in order; `encode` runs once for the whole batch, whoever asks first.
    pub fn encoded(&self, encode: impl Fn(&Event) -> String) -> &[Box<str>] {
        self.encoded.get_or_init(|| {
            self.events.iter().map(|event| encode(event).into_boxed_str()).collect()
        })
    }

    /// The number of the first event.
    pub fn first_seq(&self) -> u64 {
        self.events.first().map_or(0, |event| event.seq)
    }

    /// The number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }
}
