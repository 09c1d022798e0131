//! A committed group of events on its way to all subscribers.

use std::sync::{Arc, OnceLock};

use crate::job::{Epoch, Event};

/// Events in order, shared by all receivers. The first receiver that needs their text encodes them.
#[derive(Debug)]
pub struct Batch {
    /// The epoch of the store that the events belong to.
    pub epoch: Epoch,
    /// The events in order and without gaps; never empty.
    pub events: Arc<[Event]>,
    encoded: OnceLock<Box<[Box<str>]>>,
}

impl Batch {
    /// A batch that is not encoded yet.
    pub fn new(epoch: Epoch, events: Arc<[Event]>) -> Self {
        Batch { epoch, events, encoded: OnceLock::new() }
    }

    /// The encoded events in order. `encode` runs once for the whole batch.
    pub fn encoded(&self, encode: impl Fn(&Event) -> String) -> &[Box<str>] {
        self.encoded.get_or_init(|| {
            self.events.iter().map(|event| encode(event).into_boxed_str()).collect()
        })
    }

    /// The sequence number of the first event.
    pub fn first_seq(&self) -> u64 {
        self.events.first().map_or(0, |event| event.seq)
    }

    /// The sequence number of the last event.
    pub fn last_seq(&self) -> u64 {
        self.events.last().map_or(0, |event| event.seq)
    }
}
