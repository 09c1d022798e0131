//! The frames that a hub has made, so that subscribers who want the same get the same bytes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::frames;
use super::subscription_groups::SubscriptionGroup;
use crate::engine::Batch;
use crate::http::stream::protocol::EventsMessage;
use crate::job::Cursor;

/// A frame, and the place it leads to; no bytes when nothing on the way passes the filter.
#[derive(Debug, Clone)]
pub struct CachedFrame {
    /// The whole frame.
    pub frame: Option<Bytes>,
    /// The number of the last event that was looked at.
    pub to: u64,
}

/// Frames that were made, by group and by the place they begin after: made once, sent to many.
#[derive(Debug, Default)]
pub struct FrameCache {
    made: HashMap<(u64, u64), CachedFrame>,
    bytes: usize,
}

/// Bytes of frames that are kept for others who might want them.
const KEPT: usize = 4 * 1_024 * 1_024;

impl FrameCache {
    /// The same, if it was made before.
    pub fn get(&self, group: &SubscriptionGroup, cursor: Cursor) -> Option<CachedFrame> {
        self.made.get(&(group.id, cursor.seq)).cloned()
    }

    /// What `group` gets after `cursor`, one frame at most, from the batches that follow it.
    pub fn get_or_make(
        &mut self,
        group: &SubscriptionGroup,
        cursor: Cursor,
        batches: impl Iterator<Item = Arc<Batch>>,
    ) -> CachedFrame {
        if let Some(made) = self.get(group, cursor) {
            return made;
        }
        let (mut frame, mut to) = (EventsMessage::default(), cursor.seq);
        for batch in batches {
            to = frame.add(&batch, to, &group.subscriptions);
            if frame.is_full() {
                break;
            }
        }
        let message = frame.finish(Cursor { seq: to, ..cursor });
        let cached = CachedFrame { frame: message.as_deref().map(frames::text), to };
        self.bytes += cached.frame.as_ref().map_or(0, Bytes::len);
        if self.bytes > KEPT {
            self.clear();
        }
        self.made.insert((group.id, cursor.seq), cached.clone());
        cached
    }

    /// Lets go of all frames.
    pub fn clear(&mut self) {
        *self = FrameCache::default();
    }
}
