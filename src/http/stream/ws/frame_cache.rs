//! The frames that a hub has built, so that each is built once for all subscribers of a group.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::frames;
use super::subscription_groups::SubscriptionGroup;
use crate::engine::Batch;
use crate::http::stream::protocol::EventsMessage;
use crate::job::Cursor;

/// A frame with events, and the cursor after it.
#[derive(Debug, Clone)]
pub struct CachedFrame {
    /// The WebSocket frame; `None` when no event passed the filters.
    pub frame: Option<Bytes>,
    /// The number of the last event that was examined.
    pub to: u64,
}

/// Frames by group and by the event after which they begin.
#[derive(Debug, Default)]
pub struct FrameCache {
    frames: HashMap<(u64, u64), CachedFrame>,
    bytes: usize,
}

/// The size of the cache, in bytes of frames.
const MAX_BYTES: usize = 4 * 1_024 * 1_024;

impl FrameCache {
    /// Returns the frame for `group` after `cursor`, if it was built before.
    pub fn get(&self, group: &SubscriptionGroup, cursor: Cursor) -> Option<CachedFrame> {
        self.frames.get(&(group.id, cursor.seq)).cloned()
    }

    /// Returns the frame for `group` after `cursor`, and builds it from the batches that follow if necessary.
    pub fn get_or_build(
        &mut self,
        group: &SubscriptionGroup,
        cursor: Cursor,
        batches: impl Iterator<Item = Arc<Batch>>,
    ) -> CachedFrame {
        if let Some(cached) = self.get(group, cursor) {
            return cached;
        }
        let (mut message, mut to) = (EventsMessage::default(), cursor.seq);
        for batch in batches {
            to = message.add(&batch, to, &group.subscriptions);
            if message.is_full() {
                break;
            }
        }
        let text = message.finish(Cursor { seq: to, ..cursor });
        let cached = CachedFrame { frame: text.as_deref().map(frames::text), to };
        self.bytes += cached.frame.as_ref().map_or(0, Bytes::len);
        if self.bytes > MAX_BYTES {
            self.clear();
        }
        self.frames.insert((group.id, cursor.seq), cached.clone());
        cached
    }

    /// Drops all frames.
    pub fn clear(&mut self) {
        *self = FrameCache::default();
    }
}
