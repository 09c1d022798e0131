//! Subscribers that are behind: each reads the stored log as fast as its socket accepts it, and joins the rounds once
//! it has reached the window.

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::Hub;
use crate::engine::StoreError;
use crate::http::stream::ws::close_reason::CloseReason;
use crate::http::stream::ws::frame_cache::FrameCache;
use crate::http::stream::ws::log_page_cache::{LogPageCache, PageRead};
use crate::http::stream::ws::subscriber::HubContext;
use crate::job::Cursor;

/// Subscribers that are sent a frame from the stored log in one step.
const SUBSCRIBERS_PER_STEP: usize = 16;

/// How a subscriber that is behind continues after a frame.
enum CatchUp {
    /// It is sent the next frame after the others have had their turn.
    Again,
    /// It waits until this page has been read.
    WaitForPage(Cursor),
    /// It joins the rounds, or waits until its socket is writable.
    Pause,
}

impl Hub {
    /// Sends a frame to each of the next few subscribers that are behind. Returns whether there were any.
    pub(super) fn catch_up_step(&mut self) -> bool {
        while let Some(Some((page, read))) = self.page_reads.next().now_or_never() {
            self.on_page_read(page, read);
        }
        let count = self.catching_up.len().min(SUBSCRIBERS_PER_STEP);
        for _ in 0..count {
            let Some(key) = self.catching_up.pop_front() else { break };
            match self.send_stored(key) {
                Ok(CatchUp::Again) => self.catching_up.push_back(key),
                Ok(CatchUp::WaitForPage(page)) => self.wait_for_page(page, key),
                Ok(CatchUp::Pause) => self.serve(key),
                Err(reason) => self.disconnect(key, reason),
            }
        }
        if count > 0 && self.catching_up.is_empty() && self.page_waiters.is_empty() {
            self.catch_up_frames = FrameCache::default();
            self.log_pages.clear();
        }
        count > 0
    }

    /// Sends one frame from the stored log to a subscriber.
    fn send_stored(&mut self, key: u32) -> Result<CatchUp, CloseReason> {
        let head = self.engine.head();
        let Hub {
            subscribers,
            groups,
            read_buffer,
            limits,
            window,
            catch_up_frames,
            log_pages,
            ..
        } = self;
        let Some(subscriber) = subscribers.get(key).filter(|subscriber| subscriber.catching_up)
        else {
            return Ok(CatchUp::Pause); // the subscriber has left, or its key was reused
        };
        if !subscriber.is_ready() || subscriber.is_in_window(self.oldest.epoch, window) {
            subscriber.catching_up = false;
            return Ok(CatchUp::Pause);
        }
        let cursor = subscriber.cursor;
        if subscriber.is_ahead {
            return Ok(CatchUp::WaitForPage(self.engine.read_ahead_at(cursor)));
        }
        if cursor.epoch != head.epoch || cursor.seq > head.seq {
            // The cursor is not in this log: the store will say where the log begins.
            return Ok(CatchUp::WaitForPage(cursor));
        }
        let group = subscriber.group();
        let cached = match catch_up_frames.get(group, cursor) {
            Some(cached) => cached,
            None if log_pages.find(cursor.seq).is_some() => {
                catch_up_frames.get_or_build(group, cursor, log_pages.after(cursor.seq))
            }
            None => {
                let page = LogPageCache::page_of(cursor);
                let oldest = self.oldest.seq.min(cursor.seq);
                return Ok(CatchUp::WaitForPage(Cursor { seq: page.seq.max(oldest), ..page }));
            }
        };
        subscriber.cursor.seq = cached.to;
        if let Some(frame) = cached.frame {
            let hub = HubContext { limits, groups, read_buffer, now: Instant::now() };
            subscriber.send_texts(&mut vec![frame], &hub)?;
        }
        Ok(CatchUp::Again)
    }

    /// Has a subscriber wait for a page, and starts to read it if no other waits for it already.
    fn wait_for_page(&mut self, page: Cursor, key: u32) {
        if self.page_waiters.add(page, key) {
            let log_pages = self.log_pages.clone();
            self.page_reads.push(async move { (page, log_pages.read(page).await) }.boxed());
        }
    }

    /// Lets the subscribers that waited for a page continue, or closes them if it could not be read.
    pub(super) fn on_page_read(&mut self, page: Cursor, read: PageRead) {
        let head = self.engine.head();
        if let PageRead::Failed(error) = &read
            && *error != StoreError::Closed
        {
            tracing::warn!(%error, "reading the event log for subscribers failed");
        }
        let end_of_stream = self.end_of_stream();
        for key in self.page_waiters.take(page) {
            let next = self.with(key, |subscriber, hub| match &read {
                _ if !subscriber.catching_up => Ok(()),
                PageRead::Cached => {
                    subscriber.is_ahead = false; // another node had sent what this one has read now
                    Ok(())
                }
                PageRead::Gap { oldest } => {
                    let cursor = subscriber.cursor;
                    let is_readable = !subscriber.is_ahead
                        && cursor.epoch == oldest.epoch
                        && (oldest.seq..=head.seq).contains(&cursor.seq);
                    if is_readable { Ok(()) } else { subscriber.skip_to(*oldest, hub) }
                }
                // The store closes after the last event; a subscriber that is still behind resumes from its cursor
                // after the next start.
                PageRead::Failed(StoreError::Closed) => Err(end_of_stream),
                PageRead::Failed(
                    StoreError::Unavailable(_)
                    | StoreError::Corrupt(_)
                    | StoreError::Newer { .. }
                    | StoreError::Replaced(_),
                ) => Err(CloseReason::StoreFailed),
            });
            if next.is_some() {
                self.catching_up.push_back(key);
            }
        }
        if let PageRead::Gap { oldest } = read {
            self.oldest = oldest;
        }
    }
}
