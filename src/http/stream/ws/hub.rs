//! A hub is one task that owns many WebSocket subscribers and sends events to all of them in rounds. Each event is
//! encoded once, each frame is built once per subscription group, and each socket is written once per round. A
//! subscriber that falls behind reads the stored log until it can join the rounds again, and delays no other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::accepted_socket::AcceptedSocket;
use super::close_reason::{CloseReason, bye};
use super::frame_cache::FrameCache;
use super::frames;
use super::hub_load::{HubLoad, LoadGuard};
use super::log_page_cache::{LogPageCache, PageRead, PageWaiters};
use super::pacer::Pacer;
use super::ready_set::ReadySet;
use super::subscriber::{HubContext, Subscriber};
use super::subscriber_slab::SubscriberSlab;
use super::subscription_groups::SubscriptionGroups;
use super::window::Window;
use crate::engine::{Batch, Engine, LiveStats};
use crate::http::HttpLimits;
use crate::http::stream::next_stats::next_stats;
use crate::http::stream::protocol::{ServerMessage, Subscriptions};
use crate::http::view::{stats_message, to_json};
use crate::job::Cursor;
use crate::supervise::{Part, pass};

mod catch_up;
mod rounds;

/// One hub with its subscribers and the state of its loop.
pub struct Hub {
    engine: Engine,
    limits: Arc<HttpLimits>,
    /// Pages of the stored log, shared by all hubs, for subscribers that are catching up.
    log_pages: Arc<LogPageCache>,
    /// The number of subscribers of every hub; it determines how much time this hub may spend on writing.
    load: HubLoad,
    /// Sockets that were handed to this hub; `None` once the sender is gone.
    accepted: Option<mpsc::UnboundedReceiver<(AcceptedSocket, LoadGuard)>>,
    /// Collects the sockets that became readable or writable.
    ready_set: Arc<ReadySet>,
    subscribers: SubscriberSlab,
    /// The subscribers by what they subscribed to; a group shares its frames.
    groups: SubscriptionGroups,
    live: LiveEvents,
    /// The newest events, from which the rounds are served.
    window: Window,
    /// Spaces the rounds, so that a busy hub does not write all the time.
    pacer: Pacer,
    /// Whether there is something to send for which no round has begun yet.
    round_due: bool,
    /// Whether the next round must begin at once, whatever the pacer says.
    round_urgent: bool,
    /// The key at which the current round continues; `None` between rounds.
    round_key: Option<u32>,
    /// The newest event of the current or the last round: a subscriber that keeps up has been sent everything up to it.
    round_head: u64,
    /// Whether a subscriber could not be sent everything in this round, so the window must be kept.
    some_are_behind: bool,
    /// The frames that were built for this round.
    round_frames: FrameCache,
    /// Subscribers that are behind the window and whose next page is cached.
    catching_up: VecDeque<u32>,
    /// Subscribers that are behind the window and wait for a page to be read.
    page_waiters: PageWaiters,
    page_reads: FuturesUnordered<BoxFuture<'static, (Cursor, PageRead)>>,
    /// The frames that were built from the stored log.
    catch_up_frames: FrameCache,
    /// The oldest cursor from which the stored log can be read, as far as is known.
    oldest: Cursor,
    /// The key at which the current check of the timers continues; `None` between checks.
    timer_key: Option<u32>,
    /// When the next check of the timers begins.
    timers_at: Instant,
    /// The source of live stats; `None` while nobody subscribes to them.
    live_stats: Option<watch::Receiver<Option<Arc<LiveStats>>>>,
    /// The frame with the newest stats.
    stats_frame: Option<Bytes>,
    /// The `draining` frame, once the server is stopping.
    draining: Option<Bytes>,
    /// The buffer that all sockets read into, one after the other, so that an idle socket needs none.
    read_buffer: Vec<u8>,
    /// Subscribers whose sockets are ready, or that stopped reading before their socket was empty.
    ready: Vec<u32>,
    /// Collects the frames for one socket; a field so that it is allocated once.
    outbox: Vec<Bytes>,
}

/// The hub's end of the event channel.
enum LiveEvents {
    /// The hub has no subscribers and does not receive events.
    NotSubscribed,
    /// The hub receives events.
    Subscribed(broadcast::Receiver<Arc<Batch>>),
    /// The channel is closed; the last event has been received.
    Ended,
}

/// The longest time between two checks of the subscribers' timers.
const TIMER_INTERVAL: Duration = Duration::from_millis(250);
/// Ready sockets that are handled in one step of the loop.
const SERVED_AT_ONCE: usize = 256;
/// Subscribers whose timers are checked in one step of the loop; few of them need anything.
const CHECKED_AT_ONCE: u32 = 512;

impl Hub {
    /// Creates a hub without subscribers.
    pub fn new(
        engine: Engine,
        limits: Arc<HttpLimits>,
        log_pages: Arc<LogPageCache>,
        load: HubLoad,
        accepted: mpsc::UnboundedReceiver<(AcceptedSocket, LoadGuard)>,
    ) -> Hub {
        let (now, head) = (Instant::now(), engine.head());
        Hub {
            engine,
            limits,
            log_pages,
            load,
            accepted: Some(accepted),
            ready_set: Arc::default(),
            subscribers: SubscriberSlab::default(),
            groups: SubscriptionGroups::default(),
            live: LiveEvents::NotSubscribed,
            window: Window::at(head.seq),
            pacer: Pacer::new(now),
            round_due: false,
            round_urgent: false,
            round_key: None,
            round_head: head.seq,
            some_are_behind: false,
            round_frames: FrameCache::default(),
            catching_up: VecDeque::new(),
            page_waiters: PageWaiters::default(),
            page_reads: FuturesUnordered::new(),
            catch_up_frames: FrameCache::default(),
            oldest: Cursor { seq: 0, ..head },
            timer_key: None,
            timers_at: now,
            live_stats: None,
            stats_frame: None,
            draining: None,
            read_buffer: vec![0; 16 * 1_024],
            ready: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Runs until the sender of accepted sockets is gone and the last subscriber has left.
    pub async fn run(mut self) {
        while self.accepted.is_some() || !self.subscribers.is_empty() {
            pass(Part::Hub);
            self.take_live();
            self.serve_ready();
            let ran_round = self.run_round_step();
            let caught_up = self.catch_up_step();
            let checked = self.check_timers();
            if ran_round || caught_up || checked || !self.ready.is_empty() {
                yield_now().await;
            } else {
                self.wait().await;
            }
        }
    }

    /// Waits for the next thing to do: an event, a ready socket, a page, a timer or the stop of the server.
    async fn wait(&mut self) {
        let shutdown = self.engine.shutdown().clone();
        let has_subscribers = !self.subscribers.is_empty();
        tokio::select! {
            batch = next_batch(&mut self.live) => self.on_batch(batch),
            () = self.ready_set.notified() => {}
            socket = next_accepted(&mut self.accepted) => match socket {
                Some((socket, load_guard)) => self.accept(socket, load_guard),
                None => self.accepted = None,
            },
            Some((page, read)) = self.page_reads.next() => self.on_page_read(page, read),
            () = sleep_until(self.pacer.next_round_at()), if self.round_due && has_subscribers => {}
            () = sleep_until(self.timers_at), if has_subscribers => {}
            () = shutdown.draining.cancelled(), if self.draining.is_none() => self.announce_draining(),
            () = next_stats(&mut self.live_stats) => self.publish_stats(),
        }
    }

    /// Makes a subscriber of an accepted socket and sends `hello`.
    fn accept(&mut self, socket: AcceptedSocket, load_guard: LoadGuard) {
        self.subscribe();
        let AcceptedSocket { stream, first_bytes, query, reader, slot_guard } = socket;
        let head = self.engine.head(); // read after subscribing: all later events come through the channel
        let cursor = query.after.unwrap_or(head);
        let subscriptions = Subscriptions::new(query.filter, self.limits.socket_subscriptions);
        let subscriptions = subscriptions.within(reader.scope);
        let group = self.groups.join(subscriptions);
        let key = self.subscribers.reserve();
        let waker = self.ready_set.waker(key);
        let now = Instant::now();
        let guards = (slot_guard, load_guard);
        let mut subscriber =
            Subscriber::new(stream, waker, group, cursor, guards, &self.limits, now);
        subscriber.watch = reader.watch;
        subscriber.is_ahead = cursor.is_ahead_of(head);
        self.subscribers.insert(key, subscriber);
        let greeted = self.with(key, |subscriber, hub| {
            subscriber.send_texts(&mut vec![subscriber.hello(hub.limits)], hub)?;
            subscriber.receive(&mut first_bytes.to_vec(), hub)
        });
        if greeted.is_some() {
            self.on_socket_ready(key); // the reactor knows the waker only after a first read
            self.serve(key);
        }
    }

    /// Subscribes to the event channel when the first subscriber comes.
    fn subscribe(&mut self) {
        if matches!(self.live, LiveEvents::NotSubscribed) {
            self.live = LiveEvents::Subscribed(self.engine.live());
            // First the channel, then the head: events committed in between come through the channel.
            self.window = Window::at(self.engine.head().seq);
            self.round_head = self.window.to();
            self.timers_at = Instant::now() + self.timer_interval();
        }
    }

    /// Takes all batches that wait in the channel.
    fn take_live(&mut self) {
        while let LiveEvents::Subscribed(live) = &mut self.live {
            match live.try_recv() {
                Ok(batch) => self.on_batch(Ok(batch)),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Lagged(missed)) => self.on_batch(Err(RecvError::Lagged(missed))),
                Err(TryRecvError::Closed) => self.on_batch(Err(RecvError::Closed)),
            }
        }
    }

    /// Adds a batch to the window and makes a round due.
    fn on_batch(&mut self, batch: Result<Arc<Batch>, RecvError>) {
        match batch {
            Ok(batch) => self.window.push(batch),
            // The missed events are in the stored log, as is everything up to the head.
            Err(RecvError::Lagged(_)) => self.window = Window::at(self.engine.head().seq),
            Err(RecvError::Closed) => {
                self.live = LiveEvents::Ended;
                self.round_urgent = true;
            }
        }
        self.round_due = true;
    }

    /// Handles one step's share of the sockets that are ready.
    fn serve_ready(&mut self) {
        if self.ready.is_empty() {
            self.ready_set.take(&mut self.ready);
        }
        let rest = self.ready.len().saturating_sub(SERVED_AT_ONCE);
        for key in self.ready.split_off(rest) {
            self.on_socket_ready(key);
        }
    }

    /// Writes what was waiting for this socket and reads what its client sent.
    fn on_socket_ready(&mut self, key: u32) {
        let Some(was_ready) = self.with(key, |subscriber, _| Ok(subscriber.is_ready())) else {
            return;
        };
        let handled = self.with(key, |subscriber, hub| {
            let flushed = subscriber.flush(hub)?;
            Ok((flushed, subscriber.read(hub)?, subscriber.stats_due))
        });
        let Some((flushed, more, stats_due)) = handled else { return };
        if more {
            self.ready.push(key);
        }
        if stats_due && self.live_stats.is_none() {
            self.live_stats = Some(self.engine.live_stats());
        }
        if stats_due || flushed && !was_ready && self.has_missed_a_round(key) {
            self.serve(key);
        }
    }

    /// Whether a subscriber must be served now: one that keeps up gets everything in the next round.
    fn has_missed_a_round(&mut self, key: u32) -> bool {
        let epoch = self.oldest.epoch;
        matches!(self.live, LiveEvents::Ended)
            || self.subscribers.get(key).is_some_and(|subscriber| {
                subscriber.is_behind(self.round_head)
                    || !subscriber.is_in_window(epoch, &self.window)
            })
    }

    /// Checks the timers of one step's share of the subscribers. Returns whether a check was due.
    fn check_timers(&mut self) -> bool {
        let now = Instant::now();
        if self.subscribers.is_empty() || self.timer_key.is_none() && now < self.timers_at {
            return false;
        }
        let first = self.timer_key.take().unwrap_or_default();
        let end = (first + CHECKED_AT_ONCE).min(self.subscribers.key_bound());
        for key in first..end {
            self.with(key, |subscriber, hub| subscriber.check_timers(hub));
        }
        if end < self.subscribers.key_bound() {
            self.timer_key = Some(end);
        } else {
            self.timers_at = now + self.timer_interval();
        }
        true
    }

    /// The time between two checks: a quarter of the shortest time limit, so no limit is overrun by more.
    fn timer_interval(&self) -> Duration {
        let limits = &self.limits;
        let bounds = [
            limits.socket_ping,
            limits.socket_pong,
            limits.subscriber_mark,
            limits.write_timeout,
            limits.body_timeout,
            limits.min_rate_window,
            limits.close,
        ];
        let shortest = bounds.into_iter().min().unwrap_or(TIMER_INTERVAL);
        (shortest / 4).clamp(Duration::from_millis(5), TIMER_INTERVAL)
    }

    /// Makes the `draining` frame due for every subscriber.
    fn announce_draining(&mut self) {
        let grace_ms = self.limits.grace_ms();
        self.draining = Some(frames::text(&to_json(&ServerMessage::Draining { grace_ms })));
        (self.round_due, self.round_urgent) = (true, true);
    }

    /// Sends the newest stats to every subscriber that asked for them.
    fn publish_stats(&mut self) {
        let Some(live_stats) = &mut self.live_stats else { return };
        let Some(newest) = live_stats.borrow_and_update().clone() else { return };
        let config = self.engine.config();
        self.stats_frame = Some(frames::text(newest.encoded(|stats| stats_message(stats, config))));
        let mut any_subscriber = false;
        for key in 0..self.subscribers.key_bound() {
            let is_subscribed = self.with(key, |subscriber, _| {
                subscriber.stats_due = subscriber.group().subscriptions.want_stats();
                Ok(subscriber.stats_due)
            });
            if is_subscribed == Some(true) {
                any_subscriber = true;
                self.serve(key);
            }
        }
        if !any_subscriber {
            (self.live_stats, self.stats_frame) = (None, None);
        }
    }

    /// Runs `act` on a subscriber, and disconnects it when `act` returns a reason to close.
    fn with<T>(
        &mut self,
        key: u32,
        act: impl FnOnce(&mut Subscriber, &mut HubContext<'_>) -> Result<T, CloseReason>,
    ) -> Option<T> {
        let Hub { subscribers, groups, read_buffer, limits, .. } = self;
        let subscriber = subscribers.get(key)?;
        let mut hub = HubContext { limits, groups, read_buffer, now: Instant::now() };
        match act(subscriber, &mut hub) {
            Ok(done) => Some(done),
            Err(reason) => {
                self.disconnect(key, reason);
                None
            }
        }
    }

    /// The reason to close a socket once the event stream has ended and everything is delivered.
    fn end_of_stream(&self) -> CloseReason {
        if self.engine.shutdown().draining.is_cancelled() {
            CloseReason::Delivered
        } else {
            CloseReason::StreamEnded
        }
    }

    /// Sends the close frame to a subscriber, or removes it when there is nothing left to send or to wait for.
    fn disconnect(&mut self, key: u32, reason: CloseReason) {
        let mut last = match (reason, reason.close_frame()) {
            (_, Some((code, why))) => bye(code, why, self.limits.retry_ms()),
            (CloseReason::ClientClosed(code), None) => frames::close(code.map(|code| (code, ""))),
            (_, None) => Bytes::new(),
        };
        if reason == CloseReason::Delivered && self.draining.is_none() {
            self.announce_draining(); // a stop with nothing to wait for may be over before the hub has noticed it
        }
        let Hub { subscribers, groups, read_buffer, limits, draining, .. } = self;
        let Some(subscriber) = subscribers.get(key) else { return };
        let hub = HubContext { limits, groups, read_buffer, now: Instant::now() };
        tracing::debug!(?reason, "closing a subscriber");
        if reason == CloseReason::Delivered
            && let Some(draining) = draining
            && !std::mem::replace(&mut subscriber.draining_sent, true)
        {
            last = [&**draining, &*last].concat().into();
        }
        if subscriber.close(reason, last, &hub).is_ok() {
            // Reading may have stopped before the socket was empty, and the client's close frame may be among the rest.
            self.ready.push(key);
            return;
        }
        subscriber.discard_unread(read_buffer);
        if let Some(subscriber) = self.subscribers.remove(key) {
            subscriber.leave_group(&mut self.groups);
        }
        if self.subscribers.is_empty() {
            self.release();
        }
    }

    /// Releases the event channel and all buffers once the last subscriber has left: an idle hub costs nothing.
    fn release(&mut self) {
        if matches!(self.live, LiveEvents::Subscribed(_)) {
            self.live = LiveEvents::NotSubscribed;
        }
        (self.round_due, self.round_key, self.timer_key) = (false, None, None);
        (self.live_stats, self.stats_frame) = (None, None);
        self.window.clear();
        self.round_frames.clear();
        self.catch_up_frames.clear();
        self.catching_up = VecDeque::new();
    }
}

/// Returns the next batch; pending forever while the hub has no subscribers and after the last batch.
async fn next_batch(live: &mut LiveEvents) -> Result<Arc<Batch>, RecvError> {
    match live {
        LiveEvents::Subscribed(live) => live.recv().await,
        LiveEvents::NotSubscribed | LiveEvents::Ended => std::future::pending().await,
    }
}

/// Returns the next accepted socket, and `None` once the sender is gone; pending forever after that.
async fn next_accepted(
    accepted: &mut Option<mpsc::UnboundedReceiver<(AcceptedSocket, LoadGuard)>>,
) -> Option<(AcceptedSocket, LoadGuard)> {
    match accepted {
        Some(accepted) => accepted.recv().await,
        None => std::future::pending().await,
    }
}
