//! The beat of a hub: when it goes around to give out events, and the frames that it gives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::frames;
use super::groups::Group;
use crate::engine::Batch;
use crate::http::protocol::Frame;
use crate::job::Cursor;

/// When the next round begins: at once when rounds are short, and else such that a hub writes for two
/// fifths of the time. Touching a socket costs much, more bytes to it cost little: what comes while the
/// hub rests shares a frame with what came before.
#[derive(Debug)]
pub struct Beat {
    began: Instant,
    rest_until: Instant,
}

/// The longest from the beginning of a round to the next, if the sockets take that long at all.
const LONGEST: Duration = Duration::from_millis(100);

impl Beat {
    /// Nothing was done yet.
    pub fn new(now: Instant) -> Beat {
        Beat { began: now, rest_until: now }
    }

    /// A round begins.
    pub fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// A round is over.
    pub fn end(&mut self, now: Instant) {
        let took = now - self.began;
        self.rest_until = self.began + (took * 5 / 2).min(LONGEST).max(took);
    }

    /// When the next may begin.
    pub fn rests_until(&self) -> Instant {
        self.rest_until
    }
}

/// A frame, and the place it leads to; no bytes when nothing on the way passes the filter.
#[derive(Debug, Clone)]
pub struct Stretch {
    /// The whole frame.
    pub frame: Option<Bytes>,
    /// The number of the last event that was looked at.
    pub to: u64,
}

/// Frames that were made, by group and by the place they begin after: made once, sent to many.
#[derive(Debug, Default)]
pub struct Stretches {
    made: HashMap<(u64, u64), Stretch>,
    bytes: usize,
}

/// Bytes of frames that are kept for others who might want them.
const KEPT: usize = 4 * 1_024 * 1_024;

impl Stretches {
    /// The same, if it was made before.
    pub fn made(&self, group: &Group, cursor: Cursor) -> Option<Stretch> {
        self.made.get(&(group.id, cursor.seq)).cloned()
    }

    /// What `group` gets after `cursor`, one frame at most, from the batches that follow it.
    pub fn of(
        &mut self,
        group: &Group,
        cursor: Cursor,
        batches: impl Iterator<Item = Arc<Batch>>,
    ) -> Stretch {
        if let Some(made) = self.made(group, cursor) {
            return made;
        }
        let (mut frame, mut to) = (Frame::default(), cursor.seq);
        for batch in batches {
            to = frame.add(&batch, to, &group.wanted);
            if frame.is_full() {
                break;
            }
        }
        let message = frame.finish(Cursor { seq: to, ..cursor });
        let stretch = Stretch { frame: message.as_deref().map(frames::text), to };
        self.bytes += stretch.frame.as_ref().map_or(0, Bytes::len);
        if self.bytes > KEPT {
            self.clear();
        }
        self.made.insert((group.id, cursor.seq), stretch.clone());
        stretch
    }

    /// Lets go of all frames.
    pub fn clear(&mut self) {
        *self = Stretches::default();
    }
}
