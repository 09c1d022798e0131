//! A hub: one task that owns many subscribers and gives out the events to all of them, in rounds. Each
//! event is encoded once, each frame made once for all who want the same, each socket touched once a
//! round. Who falls behind reads the stored log and joins the rounds again; nobody waits for anybody.

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
use crate::engine::{Batch, Engine, Pulse};
use crate::http::Limits;
use crate::http::stream::protocol::{ServerMessage, Subscriptions};
use crate::http::view::{pulse_json, to_json};
use crate::job::Cursor;
use crate::supervise::{Part, pass};

mod catch_up;
mod rounds;

/// A hub and all it knows.
pub struct Hub {
    engine: Engine,
    limits: Arc<Limits>,
    log_pages: Arc<LogPageCache>,
    /// How many subscribers this and the other hubs have.
    load: HubLoad,
    /// Sockets that have just been opened; `None` when no more can come.
    accepted: Option<mpsc::UnboundedReceiver<(AcceptedSocket, LoadGuard)>>,
    ready_set: Arc<ReadySet>,
    subscribers: SubscriberSlab,
    groups: SubscriptionGroups,
    live: LiveEvents,
    window: Window,
    pacer: Pacer,
    /// There is something that a round has not begun to give out.
    round_due: bool,
    /// What is due must not wait for the pacer.
    round_urgent: bool,
    /// The next key of the round under way.
    round_key: Option<u32>,
    /// Whoever keeps up was given everything up to here by the last round, or is by the present one.
    round_head: u64,
    /// Somebody could not be given everything in this round.
    some_are_behind: bool,
    /// The frames of this round.
    round_frames: FrameCache,
    /// Who is behind and can go on.
    catching_up: VecDeque<u32>,
    /// Who is behind and waits for a page.
    page_waiters: PageWaiters,
    page_reads: FuturesUnordered<BoxFuture<'static, (Cursor, PageRead)>>,
    /// The frames of those who are behind.
    catch_up_frames: FrameCache,
    /// The log does not reach further back.
    oldest: Cursor,
    /// The next key of the look at the clock under way.
    timer_key: Option<u32>,
    timers_at: Instant,
    /// There while somebody wants stats.
    pulse: Option<watch::Receiver<Option<Arc<Pulse>>>>,
    /// The newest stats.
    stats: Option<Bytes>,
    /// What everybody is told once the server stops.
    draining: Option<Bytes>,
    /// Read into by every socket in turn.
    read_buffer: Vec<u8>,
    /// SubscriberSlab to look at: those that rang, and those that had more to say.
    ready: Vec<u32>,
    /// Frames on their way to one socket; empty between two of them.
    outbox: Vec<Bytes>,
}

/// Where committed events come from.
enum LiveEvents {
    /// Nobody is there to be told.
    NotSubscribed,
    /// The channel.
    Subscribed(broadcast::Receiver<Arc<Batch>>),
    /// The last event has come.
    Ended,
}

/// The longest between two looks at the clock.
const TIMER_INTERVAL: Duration = Duration::from_millis(250);
/// ReadySet answered in one step.
const SERVED_AT_ONCE: usize = 256;
/// SubscriberSlab in one step of a look at the clock; few of them need anything.
const CHECKED_AT_ONCE: u32 = 512;

impl Hub {
    /// A hub without subscribers.
    pub fn new(
        engine: Engine,
        limits: Arc<Limits>,
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
            pulse: None,
            stats: None,
            draining: None,
            read_buffer: vec![0; 16 * 1_024],
            ready: Vec::new(),
            outbox: Vec::new(),
        }
    }

    /// Runs until no socket can come and everybody has left.
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

    /// Waits for something to do.
    async fn wait(&mut self) {
        let shutdown = self.engine.shutdown().clone();
        let is_there = !self.subscribers.is_empty();
        tokio::select! {
            batch = next_batch(&mut self.live) => self.on_batch(batch),
            () = self.ready_set.notified() => {}
            socket = next_accepted(&mut self.accepted) => match socket {
                Some((socket, load_guard)) => self.accept(socket, load_guard),
                None => self.accepted = None,
            },
            Some((page, read)) = self.page_reads.next() => self.on_page_read(page, read),
            () = sleep_until(self.pacer.next_round_at()), if self.round_due && is_there => {}
            () = sleep_until(self.timers_at), if is_there => {}
            () = shutdown.draining.cancelled(), if self.draining.is_none() => self.announce_draining(),
            () = next_pulse(&mut self.pulse) => self.publish_stats(),
        }
    }

    /// Gives a socket its key, and says hello.
    fn accept(&mut self, socket: AcceptedSocket, load_guard: LoadGuard) {
        self.subscribe();
        let AcceptedSocket { stream, first_bytes, query, slot_guard } = socket;
        let head = self.engine.head(); // after tuning in: what follows it will come
        let cursor = query.after.unwrap_or(head);
        let subscriptions = Subscriptions::new(query.filter, self.limits.ws_subscriptions);
        let group = self.groups.join(subscriptions);
        let key = self.subscribers.reserve();
        let waker = self.ready_set.waker(key);
        let now = Instant::now();
        let held = (slot_guard, load_guard);
        let subscriber = Subscriber::new(stream, waker, group, cursor, held, &self.limits, now);
        self.subscribers.insert(key, subscriber);
        let greeted = self.with(key, |subscriber, hub| {
            subscriber.send_texts(&mut vec![subscriber.hello(hub.limits)], hub)?;
            subscriber.receive(&mut first_bytes.to_vec(), hub)
        });
        if greeted.is_some() {
            self.on_socket_ready(key); // a waker that was never listened to does not ring
            self.serve(key);
        }
    }

    /// Listens to the channel, from the first subscriber on.
    fn subscribe(&mut self) {
        if matches!(self.live, LiveEvents::NotSubscribed) {
            self.live = LiveEvents::Subscribed(self.engine.live());
            // First the channel, then the head: what is committed in between comes through the channel.
            self.window = Window::at(self.engine.head().seq);
            self.round_head = self.window.to();
            self.timers_at = Instant::now() + self.timer_interval();
        }
    }

    /// Takes what waits in the channel.
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

    fn on_batch(&mut self, batch: Result<Arc<Batch>, RecvError>) {
        match batch {
            Ok(batch) => self.window.push(batch),
            // What was missed is in the stored log, as everything up to the head.
            Err(RecvError::Lagged(_)) => self.window = Window::at(self.engine.head().seq),
            Err(RecvError::Closed) => {
                self.live = LiveEvents::Ended;
                self.round_urgent = true;
            }
        }
        self.round_due = true;
    }

    /// Looks at the sockets that rang: one step.
    fn serve_ready(&mut self) {
        if self.ready.is_empty() {
            self.ready_set.take(&mut self.ready);
        }
        let rest = self.ready.len().saturating_sub(SERVED_AT_ONCE);
        for key in self.ready.split_off(rest) {
            self.on_socket_ready(key);
        }
    }

    fn on_socket_ready(&mut self, key: u32) {
        let Some(was_ready) = self.with(key, |subscriber, _| Ok(subscriber.is_ready())) else {
            return;
        };
        let moved = self.with(key, |subscriber, hub| {
            let flushed = subscriber.flush(hub)?;
            Ok((flushed, subscriber.read(hub)?, subscriber.stats_due))
        });
        let Some((flushed, more, stats_due)) = moved else { return };
        if more {
            self.ready.push(key);
        }
        if stats_due && self.pulse.is_none() {
            self.pulse = Some(self.engine.pulse());
        }
        if stats_due || flushed && !was_ready && self.has_missed_a_round(key) {
            self.serve(key);
        }
    }

    /// Whoever keeps up waits for the next round; whoever does not must not.
    fn has_missed_a_round(&mut self, key: u32) -> bool {
        let epoch = self.oldest.epoch;
        matches!(self.live, LiveEvents::Ended)
            || self.subscribers.get(key).is_some_and(|subscriber| {
                subscriber.is_behind(self.round_head)
                    || !subscriber.is_in_window(epoch, &self.window)
            })
    }

    /// Pings, marks, and ends for those who are silent or stuck: one step. Whether there was one to do.
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
        match end < self.subscribers.key_bound() {
            true => self.timer_key = Some(end),
            false => self.timers_at = now + self.timer_interval(),
        }
        true
    }

    /// Short enough that every bound is kept to a quarter.
    fn timer_interval(&self) -> Duration {
        let limits = &self.limits;
        let bounds = [
            limits.ws_ping_every,
            limits.ws_pong_within,
            limits.ws_mark_every,
            limits.ws_unwritable,
            limits.min_rate_window,
            limits.ws_close_within,
        ];
        let shortest = bounds.into_iter().min().unwrap_or(TIMER_INTERVAL);
        (shortest / 4).clamp(Duration::from_millis(5), TIMER_INTERVAL)
    }

    fn announce_draining(&mut self) {
        let grace_ms = self.limits.grace_ms;
        self.draining = Some(frames::text(&to_json(&ServerMessage::Draining { grace_ms })));
        (self.round_due, self.round_urgent) = (true, true);
    }

    /// Owes the newest stats to all who asked for them.
    fn publish_stats(&mut self) {
        let Some(pulse) = &mut self.pulse else { return };
        let Some(newest) = pulse.borrow_and_update().clone() else { return };
        let config = self.engine.config();
        self.stats = Some(frames::text(newest.encoded(|pulse| pulse_json(pulse, config))));
        let mut somebody = false;
        for key in 0..self.subscribers.key_bound() {
            let asked = self.with(key, |subscriber, _| {
                subscriber.stats_due = subscriber.group().subscriptions.want_stats();
                Ok(subscriber.stats_due)
            });
            if asked == Some(true) {
                somebody = true;
                self.serve(key);
            }
        }
        if !somebody {
            (self.pulse, self.stats) = (None, None);
        }
    }

    /// Does something with a subscriber; one that comes to its end thereby is dismissed.
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

    /// Says the last word to a subscriber, or lets it go when there is none to say.
    fn disconnect(&mut self, key: u32, reason: CloseReason) {
        let last = match (reason, reason.close_frame()) {
            (_, Some((code, why))) => bye(code, why, self.limits.retry_ms),
            (CloseReason::Closed(code), None) => frames::close(code.map(|code| (code, ""))),
            (_, None) => Bytes::new(),
        };
        let Hub { subscribers, groups, read_buffer, limits, .. } = self;
        let Some(subscriber) = subscribers.get(key) else { return };
        let hub = HubContext { limits, groups, read_buffer, now: Instant::now() };
        tracing::debug!(?reason, "a subscriber leaves");
        if subscriber.close(reason, last, &hub).is_ok() {
            return;
        }
        if let Some(gone) = self.subscribers.remove(key) {
            gone.leave_group(&mut self.groups);
        }
        if self.subscribers.is_empty() {
            self.release();
        }
    }

    /// Nobody is there: an idle hub costs nothing.
    fn release(&mut self) {
        if matches!(self.live, LiveEvents::Subscribed(_)) {
            self.live = LiveEvents::NotSubscribed;
        }
        (self.round_due, self.round_key, self.timer_key) = (false, None, None);
        (self.pulse, self.stats) = (None, None);
        self.window.clear();
        self.round_frames.clear();
        self.catch_up_frames.clear();
        self.catching_up = VecDeque::new();
    }
}

/// The next batch; never, while nobody listens or after the end.
async fn next_batch(live: &mut LiveEvents) -> Result<Arc<Batch>, RecvError> {
    match live {
        LiveEvents::Subscribed(live) => live.recv().await,
        LiveEvents::NotSubscribed | LiveEvents::Ended => std::future::pending().await,
    }
}

/// The next socket, `None` when no more can come; never, after that.
async fn next_accepted(
    accepted: &mut Option<mpsc::UnboundedReceiver<(AcceptedSocket, LoadGuard)>>,
) -> Option<(AcceptedSocket, LoadGuard)> {
    match accepted {
        Some(accepted) => accepted.recv().await,
        None => std::future::pending().await,
    }
}

/// Resolves when there are new stats; never, when nobody asked for them or the server has no more.
async fn next_pulse(pulse: &mut Option<watch::Receiver<Option<Arc<Pulse>>>>) {
    if let Some(pulse) = pulse
        && pulse.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
