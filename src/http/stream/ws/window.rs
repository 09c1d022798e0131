//! The newest events, as they came from the event pump. Subscribers that keep up are served from them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::engine::Batch;

/// The newest part of the log, without holes.
#[derive(Debug)]
pub struct Window {
    batches: VecDeque<Arc<Batch>>,
    /// The window serves subscribers that have seen at least everything up to this event.
    from: u64,
    /// The newest event.
    to: u64,
}

/// The largest number of events in a window. Subscribers that are further behind read the stored log.
const MAX_EVENTS: u64 = 8_192;

impl Window {
    /// Creates an empty window that begins after `seq`.
    pub fn at(seq: u64) -> Window {
        Window { batches: VecDeque::new(), from: seq, to: seq }
    }

    /// The number of the newest event.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// Whether every event after `seq` is in the window or still to come.
    pub fn reaches(&self, seq: u64) -> bool {
        self.from <= seq
    }

    /// Adds a batch. If events are missing before it, the window begins anew with the batch.
    pub fn push(&mut self, batch: Arc<Batch>) {
        if batch.last_seq() <= self.to {
            return;
        }
        if batch.first_seq() > self.to + 1 {
            *self = Window::at(batch.first_seq() - 1);
        }
        self.to = batch.last_seq();
        self.batches.push_back(batch);
        while let Some(oldest) = self.batches.front()
            && oldest.last_seq() + MAX_EVENTS <= self.to
        {
            self.from = oldest.last_seq();
            self.batches.pop_front();
        }
    }

    /// Returns the batches with events after `seq`, oldest first.
    pub fn after(&self, seq: u64) -> impl Iterator<Item = &Arc<Batch>> {
        let known = self.batches.partition_point(|batch| batch.last_seq() <= seq);
        self.batches.range(known..)
    }

    /// Drops all events.
    pub fn clear(&mut self) {
        *self = Window::at(self.to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Epoch, Event, Fact, QueueChange, QueueName, Time};

    fn batch(seqs: std::ops::RangeInclusive<u64>) -> Arc<Batch> {
        let event = |seq| {
            let fact = Fact::Queue { queue: QueueName::default(), change: QueueChange::Paused };
            Event { seq, at: Time::default(), by: None, fact }
        };
        Arc::new(Batch::new(Epoch(1), seqs.map(event).collect()))
    }

    #[test]
    fn a_window_has_no_holes() {
        let mut window = Window::at(10);
        window.push(batch(5..=10)); // known before
        assert!(window.reaches(10) && !window.reaches(9));
        window.push(batch(9..=12)); // half of it is new
        window.push(batch(13..=14));
        assert_eq!((window.to(), window.after(12).count(), window.after(11).count()), (14, 1, 2));
        window.push(batch(20..=21));
        assert!(!window.reaches(14) && window.reaches(19));
        assert_eq!(window.after(19).count(), 1);
    }

    #[test]
    fn a_window_forgets_what_is_far_back() {
        let mut window = Window::at(0);
        (0..20).for_each(|n| window.push(batch(n * 1_000 + 1..=(n + 1) * 1_000)));
        assert!(window.reaches(11_000) && !window.reaches(10_999));
        assert_eq!(window.after(11_000).count(), 9);
        window.clear();
        assert!(window.reaches(20_000) && !window.reaches(19_999));
    }
}
