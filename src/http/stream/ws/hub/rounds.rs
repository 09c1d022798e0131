//! The rounds of a hub: each sends all subscribers that keep up the events since the last one.

use tokio::time::Instant;

use super::{Hub, LiveEvents};
use crate::http::stream::ws::subscriber::HubContext;

/// Subscribers that are served in one step of a round; the hub yields between two steps.
const SUBSCRIBERS_PER_STEP: u32 = 64;
/// Events that may wait for the pacer; with more, the window might drop some before they are sent.
const MAX_PACED_EVENTS: u64 = 2_048;
/// Frames that are collected for one socket before they are written.
const MAX_OUTBOX: usize = 4;

impl Hub {
    /// Runs one step of a round, if one is under way or due. Returns whether there was one.
    pub(super) fn run_round_step(&mut self) -> bool {
        let now = Instant::now();
        let first = match self.round_key {
            Some(next) => next,
            None if !self.round_due || self.subscribers.is_empty() => return false,
            None if !self.round_urgent
                && now < self.pacer.next_round_at()
                && !self.has_backlog() =>
            {
                return false;
            }
            None => {
                (self.round_due, self.round_urgent, self.some_are_behind) = (false, false, false);
                self.round_head = self.window.to();
                self.round_frames.clear();
                self.pacer.begin(now);
                0
            }
        };
        let end = (first + SUBSCRIBERS_PER_STEP).min(self.subscribers.key_bound());
        for key in first..end {
            self.serve(key);
        }
        self.round_key = Some(end).filter(|end| *end < self.subscribers.key_bound());
        if self.round_key.is_none() {
            self.pacer.end(Instant::now(), self.load.write_share());
            self.round_frames.clear();
            if self.round_head == self.window.to() && !self.some_are_behind {
                self.window.clear();
            }
        }
        true
    }

    /// Whether too many events wait for the pacer.
    fn has_backlog(&self) -> bool {
        self.window.to().saturating_sub(self.round_head) > MAX_PACED_EVENTS
    }

    /// Sends a subscriber everything that is new for it, as far as its socket accepts it, and closes it after the last
    /// event of a stream that has ended.
    pub(super) fn serve(&mut self, key: u32) {
        let Hub { subscribers, groups, read_buffer, limits, window, round_frames, outbox, .. } =
            self;
        let Some(subscriber) = subscribers.get(key) else { return };
        if !subscriber.is_ready() {
            self.some_are_behind |= subscriber.is_behind(self.round_head);
            return;
        }
        let hub = HubContext { limits, groups, read_buffer, now: Instant::now() };
        if let Some(draining) = &self.draining
            && !std::mem::replace(&mut subscriber.draining_sent, true)
        {
            outbox.push(draining.clone());
        }
        let new_stats =
            self.stats_frame.as_ref().filter(|_| std::mem::take(&mut subscriber.stats_due));
        outbox.extend(new_stats.cloned());
        let mut cursor_sent = new_stats.is_none();
        let mut sent = Ok(());
        if !subscriber.catching_up {
            while subscriber.is_in_window(self.oldest.epoch, window)
                && subscriber.cursor.seq < window.to()
                && subscriber.is_ready()
                && sent.is_ok()
            {
                let cursor = subscriber.cursor;
                let batches = window.after(cursor.seq).cloned();
                let cached = round_frames.get_or_build(subscriber.group(), cursor, batches);
                subscriber.cursor.seq = cached.to;
                cursor_sent |= cached.frame.is_some();
                outbox.extend(cached.frame);
                if outbox.len() >= MAX_OUTBOX {
                    sent = subscriber.send_texts(outbox, &hub);
                }
            }
        }
        // Stats carry the newest cursor, so a mark after them shows a client how far behind it is. Besides, they count
        // as a heartbeat: without this mark, the cursor of a client that gets few events would not advance.
        if !cursor_sent {
            outbox.push(subscriber.mark());
        }
        if !outbox.is_empty() {
            sent = sent.and_then(|()| subscriber.send_texts(outbox, &hub));
            outbox.clear();
        }
        if let Err(reason) = sent {
            return self.disconnect(key, reason);
        }
        if subscriber.catching_up {
            return;
        }
        if !subscriber.is_in_window(self.oldest.epoch, window) {
            subscriber.catching_up = true;
            self.catching_up.push_back(key);
        } else if !subscriber.is_ready() {
            self.some_are_behind = true;
        } else if matches!(self.live, LiveEvents::Ended) {
            self.disconnect(key, self.end_of_stream());
        }
    }
}
