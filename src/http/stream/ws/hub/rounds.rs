//! Rounds: everybody who keeps up is given what has come since the last one.

use tokio::time::Instant;

use super::{Hub, Live};
use crate::http::stream::ws::close_reason::Ending;
use crate::http::stream::ws::subscriber::HubContext;

/// SubscriberSlab in one step of a round; between two steps others get the processor.
const STEP: u32 = 64;
/// Events that may wait for the pacer: more, and the window might not hold them.
const BACKLOG: u64 = 2_048;
/// Frames that are collected for one socket before they are handed over.
const AT_ONCE: usize = 4;

impl Hub {
    /// One step of a round, when one is under way or due. Whether there was one to do.
    pub(super) fn run_round_step(&mut self) -> bool {
        let now = Instant::now();
        let first = match self.round {
            Some(next) => next,
            None if !self.due || self.subscribers.is_empty() => return false,
            None if !self.urgent && now < self.pacer.next_round_at() && !self.has_backlog() => {
                return false;
            }
            None => {
                (self.due, self.urgent, self.somebody_is_late) = (false, false, false);
                self.given = self.window.to();
                self.round_frames.clear();
                self.pacer.begin(now);
                0
            }
        };
        let end = (first + STEP).min(self.subscribers.key_bound());
        for key in first..end {
            self.serve(key);
        }
        self.round = Some(end).filter(|end| *end < self.subscribers.key_bound());
        if self.round.is_none() {
            self.pacer.end(Instant::now(), self.load.write_share());
            self.round_frames.clear();
            if self.given == self.window.to() && !self.somebody_is_late {
                self.window.clear();
            }
        }
        true
    }

    fn has_backlog(&self) -> bool {
        self.window.to().saturating_sub(self.given) > BACKLOG
    }

    /// Gives a subscriber what it is owed, as far as it takes it; at the end of everything, the last word.
    pub(super) fn serve(&mut self, key: u32) {
        let Hub { subscribers, groups, scratch, limits, window, round_frames, outbox, .. } = self;
        let Some(subscriber) = subscribers.get(key) else { return };
        if !subscriber.is_ready() {
            self.somebody_is_late |= subscriber.is_late(self.given);
            return;
        }
        let hub = HubContext { limits, groups, scratch, now: Instant::now() };
        if let Some(draining) = &self.draining
            && !std::mem::replace(&mut subscriber.told_draining, true)
        {
            outbox.push(draining.clone());
        }
        let told_stats = self.stats.as_ref().filter(|_| std::mem::take(&mut subscriber.owed_stats));
        outbox.extend(told_stats.cloned());
        let mut told_place = told_stats.is_none();
        let mut sent = Ok(());
        if !subscriber.reading {
            while subscriber.is_near(self.floor.epoch, window)
                && subscriber.cursor.seq < window.to()
                && subscriber.is_ready()
                && sent.is_ok()
            {
                let cursor = subscriber.cursor;
                let batches = window.after(cursor.seq).cloned();
                let cached = round_frames.get_or_make(subscriber.group(), cursor, batches);
                subscriber.cursor.seq = cached.to;
                told_place |= cached.frame.is_some();
                outbox.extend(cached.frame);
                if outbox.len() >= AT_ONCE {
                    sent = subscriber.say(outbox, &hub);
                }
            }
        }
        // Stats hold the newest place, so that whoever reads them sees how far behind it is; and since they
        // break the silence, nothing else would move the place of one who wants few events.
        if !told_place {
            outbox.push(subscriber.mark());
        }
        if !outbox.is_empty() {
            sent = sent.and_then(|()| subscriber.say(outbox, &hub));
            outbox.clear();
        }
        if let Err(ending) = sent {
            return self.disconnect(key, ending);
        }
        if subscriber.reading {
            return;
        }
        if !subscriber.is_near(self.floor.epoch, window) {
            subscriber.reading = true;
            self.behind.push_back(key);
        } else if !subscriber.is_ready() {
            self.somebody_is_late = true;
        } else if matches!(self.live, Live::Ended) {
            self.disconnect(key, Ending::Delivered);
        }
    }
}
