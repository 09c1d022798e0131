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

use super::catch_up::{Answer, Library, Waiting};
use super::ending::{Ending, Stop, bye};
use super::frames;
use super::groups::Groups;
use super::hub_load::{Counted, Crowds};
use super::hubs::Newcomer;
use super::pacer::{Beat, Stretches};
use super::ready_set::Bells;
use super::subscriber::{Desk, Subscriber};
use super::subscriber_slab::Seats;
use super::window::Window;
use crate::engine::{Batch, Engine, LiveStats};
use crate::http::Limits;
use crate::http::api::stats::pulse_json;
use crate::http::stream::protocol::{ServerMessage, Subscriptions};
use crate::http::view::to_json;
use crate::job::Cursor;
use crate::supervise::{Part, pass};

mod late;
mod rounds;

/// A hub and all it knows.
pub struct Hub {
    engine: Engine,
    limits: Arc<Limits>,
    library: Arc<Library>,
    /// How many subscribers this and the other hubs have.
    crowds: Crowds,
    /// Sockets that have just been opened; `None` when no more can come.
    newcomers: Option<mpsc::UnboundedReceiver<(Newcomer, Counted)>>,
    bells: Arc<Bells>,
    seats: Seats,
    groups: Groups,
    live: Live,
    window: Window,
    beat: Beat,
    /// There is something that a round has not begun to give out.
    due: bool,
    /// What is due must not wait for the beat.
    urgent: bool,
    /// The next seat of the round under way.
    round: Option<u32>,
    /// Whoever keeps up was given everything up to here by the last round, or is by the present one.
    given: u64,
    /// Somebody could not be given everything in this round.
    somebody_is_late: bool,
    /// The frames of this round.
    stretches: Stretches,
    /// Who is behind and can go on.
    behind: VecDeque<u32>,
    /// Who is behind and waits for a page.
    waiting: Waiting,
    reads: FuturesUnordered<BoxFuture<'static, (Cursor, Answer)>>,
    /// The frames of those who are behind.
    late_stretches: Stretches,
    /// The log does not reach further back.
    floor: Cursor,
    /// The next seat of the look at the clock under way.
    look: Option<u32>,
    look_at: Instant,
    /// There while somebody wants stats.
    pulse: Option<watch::Receiver<Option<Arc<LiveStats>>>>,
    /// The newest stats.
    stats: Option<Bytes>,
    /// What everybody is told once the server stops.
    draining: Option<Bytes>,
    /// Read into by every socket in turn.
    scratch: Vec<u8>,
    /// Seats to look at: those that rang, and those that had more to say.
    rung: Vec<u32>,
    /// Frames on their way to one socket; empty between two of them.
    letters: Vec<Bytes>,
}

/// Where committed events come from.
enum Live {
    /// Nobody is there to be told.
    Unheard,
    /// The channel.
    On(broadcast::Receiver<Arc<Batch>>),
    /// The last event has come.
    Ended,
}

/// The longest between two looks at the clock.
const LOOK: Duration = Duration::from_millis(250);
/// Bells answered in one step.
const ANSWERED: usize = 256;
/// Seats in one step of a look at the clock; few of them need anything.
const LOOKED_AT: u32 = 512;

impl Hub {
    /// A hub without subscribers.
    pub fn new(
        engine: Engine,
        limits: Arc<Limits>,
        library: Arc<Library>,
        crowds: Crowds,
        newcomers: mpsc::UnboundedReceiver<(Newcomer, Counted)>,
    ) -> Hub {
        let (now, head) = (Instant::now(), engine.head());
        Hub {
            engine,
            limits,
            library,
            crowds,
            newcomers: Some(newcomers),
            bells: Arc::default(),
            seats: Seats::default(),
            groups: Groups::default(),
            live: Live::Unheard,
            window: Window::at(head.seq),
            beat: Beat::new(now),
            due: false,
            urgent: false,
            round: None,
            given: head.seq,
            somebody_is_late: false,
            stretches: Stretches::default(),
            behind: VecDeque::new(),
            waiting: Waiting::default(),
            reads: FuturesUnordered::new(),
            late_stretches: Stretches::default(),
            floor: Cursor { seq: 0, ..head },
            look: None,
            look_at: now,
            pulse: None,
            stats: None,
            draining: None,
            scratch: vec![0; 16 * 1_024],
            rung: Vec::new(),
            letters: Vec::new(),
        }
    }

    /// Runs until no newcomer can come and everybody has left.
    pub async fn run(mut self) {
        while self.newcomers.is_some() || !self.seats.is_empty() {
            pass(Part::Hub);
            self.take_live();
            self.answer_bells();
            let went_around = self.go_around();
            let read_on = self.read_on();
            let looked = self.look_at_the_clock();
            if went_around || read_on || looked || !self.rung.is_empty() {
                yield_now().await;
            } else {
                self.wait().await;
            }
        }
    }

    /// Waits for something to do.
    async fn wait(&mut self) {
        let shutdown = self.engine.shutdown().clone();
        let is_there = !self.seats.is_empty();
        tokio::select! {
            batch = next_batch(&mut self.live) => self.hear(batch),
            () = self.bells.any() => {}
            newcomer = next_newcomer(&mut self.newcomers) => match newcomer {
                Some((newcomer, counted)) => self.welcome(newcomer, counted),
                None => self.newcomers = None,
            },
            Some((page, answer)) = self.reads.next() => self.turn_page(page, answer),
            () = sleep_until(self.beat.rests_until()), if self.due && is_there => {}
            () = sleep_until(self.look_at), if is_there => {}
            () = shutdown.draining.cancelled(), if self.draining.is_none() => self.tell_of_the_stop(),
            () = next_pulse(&mut self.pulse) => self.take_pulse(),
        }
    }

    /// Gives a newcomer its seat, and says hello.
    fn welcome(&mut self, newcomer: Newcomer, counted: Counted) {
        self.tune_in();
        let Newcomer { stream, first_bytes, wanted, stay } = newcomer;
        let head = self.engine.head(); // after tuning in: what follows it will come
        let cursor = wanted.after.unwrap_or(head);
        let wish = Subscriptions::new(wanted.filter, self.limits.ws_subscriptions);
        let group = self.groups.of(wish);
        let seat = self.seats.next();
        let bell = self.bells.of(seat);
        let now = Instant::now();
        let held = (stay, counted);
        let subscriber = Subscriber::new(stream, bell, group, cursor, held, &self.limits, now);
        self.seats.seat(seat, subscriber);
        let greeted = self.with(seat, |subscriber, desk| {
            subscriber.say(&mut vec![subscriber.hello(desk.limits)], desk)?;
            subscriber.take(&mut first_bytes.to_vec(), desk)
        });
        if greeted.is_some() {
            self.answer_bell(seat); // a bell that was never listened to does not ring
            self.attend(seat);
        }
    }

    /// Listens to the channel, from the first subscriber on.
    fn tune_in(&mut self) {
        if matches!(self.live, Live::Unheard) {
            self.live = Live::On(self.engine.live());
            // First the channel, then the head: what is committed in between comes through the channel.
            self.window = Window::at(self.engine.head().seq);
            self.given = self.window.to();
            self.look_at = Instant::now() + self.between_looks();
        }
    }

    /// Takes what waits in the channel.
    fn take_live(&mut self) {
        while let Live::On(live) = &mut self.live {
            match live.try_recv() {
                Ok(batch) => self.hear(Ok(batch)),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Lagged(missed)) => self.hear(Err(RecvError::Lagged(missed))),
                Err(TryRecvError::Closed) => self.hear(Err(RecvError::Closed)),
            }
        }
    }

    fn hear(&mut self, batch: Result<Arc<Batch>, RecvError>) {
        match batch {
            Ok(batch) => self.window.push(batch),
            // What was missed is in the stored log, as everything up to the head.
            Err(RecvError::Lagged(_)) => self.window = Window::at(self.engine.head().seq),
            Err(RecvError::Closed) => {
                self.live = Live::Ended;
                self.urgent = true;
            }
        }
        self.due = true;
    }

    /// Looks at the sockets that rang: one step.
    fn answer_bells(&mut self) {
        if self.rung.is_empty() {
            self.bells.take(&mut self.rung);
        }
        let rest = self.rung.len().saturating_sub(ANSWERED);
        for seat in self.rung.split_off(rest) {
            self.answer_bell(seat);
        }
    }

    fn answer_bell(&mut self, seat: u32) {
        let Some(was_ready) = self.with(seat, |subscriber, _| Ok(subscriber.is_ready())) else {
            return;
        };
        let moved = self.with(seat, |subscriber, desk| {
            let flushed = subscriber.flush(desk)?;
            Ok((flushed, subscriber.listen(desk)?, subscriber.owed_stats))
        });
        let Some((flushed, more, owed_stats)) = moved else { return };
        if more {
            self.rung.push(seat);
        }
        if owed_stats && self.pulse.is_none() {
            self.pulse = Some(self.engine.live_stats());
        }
        if owed_stats || flushed && !was_ready && self.has_missed_a_round(seat) {
            self.attend(seat);
        }
    }

    /// Whoever keeps up waits for the next round; whoever does not must not.
    fn has_missed_a_round(&mut self, seat: u32) -> bool {
        let epoch = self.floor.epoch;
        matches!(self.live, Live::Ended)
            || self.seats.get(seat).is_some_and(|subscriber| {
                subscriber.is_late(self.given) || !subscriber.is_near(epoch, &self.window)
            })
    }

    /// Pings, marks, and ends for those who are silent or stuck: one step. Whether there was one to do.
    fn look_at_the_clock(&mut self) -> bool {
        let now = Instant::now();
        if self.seats.is_empty() || self.look.is_none() && now < self.look_at {
            return false;
        }
        let first = self.look.take().unwrap_or_default();
        let end = (first + LOOKED_AT).min(self.seats.numbers());
        for seat in first..end {
            self.with(seat, |subscriber, desk| subscriber.look_at_the_clock(desk));
        }
        match end < self.seats.numbers() {
            true => self.look = Some(end),
            false => self.look_at = now + self.between_looks(),
        }
        true
    }

    /// Short enough that every bound is kept to a quarter.
    fn between_looks(&self) -> Duration {
        let limits = &self.limits;
        let bounds = [
            limits.ws_ping_every,
            limits.ws_pong_within,
            limits.ws_mark_every,
            limits.ws_unwritable,
            limits.min_rate_window,
            limits.ws_close_within,
        ];
        let shortest = bounds.into_iter().min().unwrap_or(LOOK);
        (shortest / 4).clamp(Duration::from_millis(5), LOOK)
    }

    fn tell_of_the_stop(&mut self) {
        let grace_ms = self.limits.grace_ms;
        self.draining = Some(frames::text(&to_json(&ServerMessage::Draining { grace_ms })));
        (self.due, self.urgent) = (true, true);
    }

    /// Owes the newest stats to all who asked for them.
    fn take_pulse(&mut self) {
        let Some(pulse) = &mut self.pulse else { return };
        let Some(newest) = pulse.borrow_and_update().clone() else { return };
        let config = self.engine.config();
        self.stats = Some(frames::text(newest.encoded(|pulse| pulse_json(pulse, config))));
        let mut somebody = false;
        for seat in 0..self.seats.numbers() {
            let asked = self.with(seat, |subscriber, _| {
                subscriber.owed_stats = subscriber.group().wanted.want_stats();
                Ok(subscriber.owed_stats)
            });
            if asked == Some(true) {
                somebody = true;
                self.attend(seat);
            }
        }
        if !somebody {
            (self.pulse, self.stats) = (None, None);
        }
    }

    /// Does something with a subscriber; one that comes to its end thereby is dismissed.
    fn with<T>(
        &mut self,
        seat: u32,
        act: impl FnOnce(&mut Subscriber, &mut Desk<'_>) -> Result<T, Ending>,
    ) -> Option<T> {
        let Hub { seats, groups, scratch, limits, .. } = self;
        let subscriber = seats.get(seat)?;
        let mut desk = Desk { limits, groups, scratch, now: Instant::now() };
        match act(subscriber, &mut desk) {
            Ok(done) => Some(done),
            Err(ending) => {
                self.dismiss(seat, ending);
                None
            }
        }
    }

    /// Says the last word to a subscriber, or lets it go when there is none to say.
    fn dismiss(&mut self, seat: u32, ending: Ending) {
        let stop = match self.engine.shutdown().draining.is_cancelled() {
            true => Stop::Asked,
            false => Stop::Unasked,
        };
        let last = match (ending, ending.farewell(stop)) {
            (_, Some((code, why))) => bye(code, why, self.limits.retry_ms),
            (Ending::Closed(code), None) => frames::close(code.map(|code| (code, ""))),
            (_, None) => Bytes::new(),
        };
        let Hub { seats, groups, scratch, limits, .. } = self;
        let Some(subscriber) = seats.get(seat) else { return };
        let desk = Desk { limits, groups, scratch, now: Instant::now() };
        tracing::debug!(?ending, "a subscriber leaves");
        if subscriber.leave(ending, last, &desk).is_ok() {
            return;
        }
        if let Some(gone) = self.seats.remove(seat) {
            gone.leave_group(&mut self.groups);
        }
        if self.seats.is_empty() {
            self.forget();
        }
    }

    /// Nobody is there: an idle hub costs nothing.
    fn forget(&mut self) {
        if matches!(self.live, Live::On(_)) {
            self.live = Live::Unheard;
        }
        (self.due, self.round, self.look) = (false, None, None);
        (self.pulse, self.stats) = (None, None);
        self.window.clear();
        self.stretches.clear();
        self.late_stretches.clear();
        self.behind = VecDeque::new();
    }
}

/// The next batch; never, while nobody listens or after the end.
async fn next_batch(live: &mut Live) -> Result<Arc<Batch>, RecvError> {
    match live {
        Live::On(live) => live.recv().await,
        Live::Unheard | Live::Ended => std::future::pending().await,
    }
}

/// The next newcomer, `None` when no more can come; never, after that.
async fn next_newcomer(
    newcomers: &mut Option<mpsc::UnboundedReceiver<(Newcomer, Counted)>>,
) -> Option<(Newcomer, Counted)> {
    match newcomers {
        Some(newcomers) => newcomers.recv().await,
        None => std::future::pending().await,
    }
}

/// Resolves when there are new stats; never, when nobody asked for them or the server has no more.
async fn next_pulse(pulse: &mut Option<watch::Receiver<Option<Arc<LiveStats>>>>) {
    if let Some(pulse) = pulse
        && pulse.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
