//! One subscriber from hello to goodbye: what it text, what it is owed, and when it has been silent for
//! too long. Waits for nothing; its hub calls.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::accepted_socket::SlotGuard;
use super::close_reason::CloseReason;
use super::frames;
use super::hub_load::LoadGuard;
use super::inbound::{InboundMessage, MessageDecoder};
use super::socket::{Arrived, Flushed, Socket};
use super::subscription_groups::{SubscriptionGroup, SubscriptionGroups};
use super::window::Window;
use crate::http::stream::protocol::{ClientMessage, ServerInfo, ServerMessage};
use crate::http::view::{Shown, millis, to_json};
use crate::http::{Limits, Problem};
use crate::job::shorten::{MAX_MESSAGE, shorten};
use crate::job::{Cursor, Epoch, Object};

/// A socket and its place in the stream.
pub struct Subscriber {
    socket: Socket,
    /// There while a message of the client is incomplete.
    decoder: Option<Box<MessageDecoder>>,
    /// Those who want the same.
    group: Arc<SubscriptionGroup>,
    /// Everything up to here was handed to the socket, or filtered out.
    pub cursor: Cursor,
    state: SocketState,
    /// Whether it waits for its turn to read the stored log, or for a page of it.
    pub catching_up: bool,
    /// Whether it was told that the server stops.
    pub draining_sent: bool,
    /// Whether there are stats that it has not got.
    pub stats_due: bool,
    /// When silence must be broken; moves with every text of ours.
    mark_at: Instant,
    ping_at: Instant,
    /// There while a ping is not answered.
    pong_by: Option<Instant>,
    /// Messages of the second that began then.
    rate_window: (Instant, u32),
    /// What it holds of the server, given back when it leaves.
    _held: (SlotGuard, LoadGuard),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketState {
    Open,
    /// The last word is text; at `by` the connection goes, whatever the peer does.
    Closing {
        by: Instant,
        until: ClosingUntil,
    },
}

/// What a subscriber that leaves still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClosingUntil {
    /// Our last bytes to be taken.
    Flushed,
    /// The peer's close frame.
    PeerClosed,
    /// The peer to hang up; what it says meanwhile cannot be understood.
    PeerDisconnected,
}

/// What a subscriber uses of its hub.
pub struct HubContext<'a> {
    pub limits: &'a Limits,
    pub groups: &'a mut SubscriptionGroups,
    /// Where bytes are read to; shared, so that a silent socket needs no buffer.
    pub read_buffer: &'a mut [u8],
    /// The present moment.
    pub now: Instant,
}

/// After a protocol error the peer gets this long to read our close frame and hang up.
const DISCONNECT_WITHIN: Duration = Duration::from_millis(500);
/// Reads of one socket in one turn; then the others come first.
const READS: usize = 4;

impl Subscriber {
    /// Sits down at `cursor`. Says nothing yet.
    pub fn new(
        stream: TcpStream,
        waker: Waker,
        group: Arc<SubscriptionGroup>,
        cursor: Cursor,
        held: (SlotGuard, LoadGuard),
        limits: &Limits,
        now: Instant,
    ) -> Subscriber {
        Subscriber {
            socket: Socket::new(stream, waker),
            decoder: None,
            group,
            cursor,
            state: SocketState::Open,
            catching_up: false,
            draining_sent: false,
            stats_due: false,
            mark_at: now + limits.ws_mark_every,
            ping_at: now + limits.ws_ping_every,
            pong_by: None,
            rate_window: (now, 0),
            _held: held,
        }
    }

    /// Those who want the same.
    pub fn group(&self) -> &Arc<SubscriptionGroup> {
        &self.group
    }

    /// Gives its membership back.
    pub fn leave_group(self: Box<Self>, groups: &mut SubscriptionGroups) {
        let Subscriber { group, .. } = *self;
        groups.leave(group);
    }

    /// Whether it can be given something now: it has not been sent away, and takes what it gets.
    pub fn is_ready(&self) -> bool {
        self.state == SocketState::Open && !self.socket.is_stuck()
    }

    /// Whether it still talks and has not seen everything up to `seq`.
    pub fn is_behind(&self, seq: u64) -> bool {
        self.state == SocketState::Open && self.cursor.seq < seq
    }

    /// Whether the window has, or will have, what comes next.
    pub fn is_in_window(&self, epoch: Epoch, window: &Window) -> bool {
        self.cursor.epoch == epoch && window.reaches(self.cursor.seq)
    }

    /// The first word.
    pub fn hello(&self, limits: &Limits) -> Bytes {
        text(&ServerMessage::Hello {
            epoch: format!("{:08x}", self.cursor.epoch.0),
            cursor: Shown(self.cursor),
            heartbeat_ms: millis(limits.ws_mark_every),
            server: ServerInfo::THIS,
        })
    }

    /// Tells of a gap and goes on behind it.
    pub fn skip_to(&mut self, to: Cursor, hub: &HubContext<'_>) -> Result<(), CloseReason> {
        let from = std::mem::replace(&mut self.cursor, to);
        let gap = text(&ServerMessage::Gap { from: Shown(from), to: Shown(to) });
        self.send_texts(&mut vec![gap], hub)
    }

    /// Where it is now, as a text.
    pub fn mark(&self) -> Bytes {
        text(&ServerMessage::Mark { cursor: Shown(self.cursor) })
    }

    /// Sends texts, which break the silence: scripts see texts but no pings. Empties `texts`.
    pub fn send_texts(
        &mut self,
        texts: &mut Vec<Bytes>,
        hub: &HubContext<'_>,
    ) -> Result<(), CloseReason> {
        self.mark_at = hub.now + hub.limits.ws_mark_every;
        self.send_frames(texts, hub)
    }

    fn send_frames(
        &mut self,
        frames: &mut Vec<Bytes>,
        hub: &HubContext<'_>,
    ) -> Result<(), CloseReason> {
        self.socket.send(frames, &hub.limits.write_bounds()).map_err(|_| CloseReason::Gone)
    }

    /// Sends what waits, as far as there is room. Whether nothing waits any more.
    pub fn flush(&mut self, hub: &HubContext<'_>) -> Result<bool, CloseReason> {
        let flushed =
            self.socket.flush(&hub.limits.write_bounds()).map_err(|_| CloseReason::Gone)?;
        match flushed {
            Flushed::All | Flushed::Some => {
                // A ping may be behind much that a slow peer has yet to take.
                self.pong_by = self.pong_by.map(|_| hub.now + hub.limits.ws_pong_within);
            }
            Flushed::Nothing => {}
        }
        if flushed == Flushed::All {
            self.finish_closing()?;
        }
        Ok(flushed == Flushed::All)
    }

    /// Reads what came and answers it. Whether there may be more.
    pub fn read(&mut self, hub: &mut HubContext<'_>) -> Result<bool, CloseReason> {
        for _ in 0..READS {
            match self.socket.read(hub.read_buffer) {
                Arrived::Nothing => return Ok(false),
                Arrived::End => return Err(CloseReason::Gone),
                Arrived::Bytes(count) => {
                    let read_buffer = std::mem::take(&mut hub.read_buffer);
                    let received = self.receive(&mut read_buffer[..count], hub);
                    hub.read_buffer = read_buffer;
                    received?;
                }
            }
        }
        Ok(true)
    }

    /// Takes bytes of the client.
    pub fn receive(
        &mut self,
        arrived: &mut [u8],
        hub: &mut HubContext<'_>,
    ) -> Result<(), CloseReason> {
        if matches!(self.state, SocketState::Closing { until: ClosingUntil::PeerDisconnected, .. })
        {
            return Ok(());
        }
        let mut decoder = self.decoder.take().unwrap_or_default();
        let (messages, error) = decoder.decode(arrived, hub.limits.ws_message_bytes);
        self.decoder = Some(decoder).filter(|decoder| !decoder.is_empty());
        for message in messages {
            self.on_message(message, hub)?;
        }
        error.map_or(Ok(()), Err)
    }

    fn on_message(
        &mut self,
        message: InboundMessage,
        hub: &mut HubContext<'_>,
    ) -> Result<(), CloseReason> {
        match (message, self.state) {
            (InboundMessage::Close(code), _) => Err(CloseReason::Closed(code)),
            (InboundMessage::Pong, _) => {
                self.pong_by = None;
                Ok(())
            }
            (InboundMessage::Ping(_) | InboundMessage::Text(_), SocketState::Closing { .. }) => {
                Ok(())
            }
            (InboundMessage::Ping(payload), SocketState::Open) => {
                self.count_message(hub)?;
                self.send_frames(&mut vec![frames::pong(&payload)], hub)
            }
            (InboundMessage::Text(message), SocketState::Open) => {
                self.count_message(hub)?;
                let answer = self.reply_to(&message, hub);
                self.send_texts(&mut vec![answer], hub)
            }
        }
    }

    fn count_message(&mut self, hub: &HubContext<'_>) -> Result<(), CloseReason> {
        let (began, messages) = self.rate_window;
        self.rate_window = match hub.now - began < Duration::from_secs(1) {
            true => (began, messages + 1),
            false => (hub.now, 1),
        };
        match self.rate_window.1 > hub.limits.ws_messages_per_second {
            true => Err(CloseReason::Flood),
            false => Ok(()),
        }
    }

    fn reply_to(&mut self, message: &str, hub: &mut HubContext<'_>) -> Bytes {
        let cursor = Shown(self.cursor);
        let mut subscriptions = self.group.subscriptions.clone();
        if let Err(why) = hub.limits.json.check(message) {
            return text(&ServerMessage::Error { code: why.code(), message: why.to_string() });
        }
        let answer = match serde_json::from_str(message).map(|Object(request)| request) {
            Ok(ClientMessage::Ping {}) => return text(&ServerMessage::Pong),
            Ok(ClientMessage::Subscribe(asked)) => match subscriptions.add(&asked, self.cursor) {
                Ok(()) => text(&ServerMessage::Subscribed { id: &asked.id, cursor }),
                Err(problem) => return refusal(&problem),
            },
            Ok(ClientMessage::Unsubscribe { id }) => match subscriptions.remove(&id) {
                Ok(()) => text(&ServerMessage::Unsubscribed { id: &id, cursor }),
                Err(problem) => return refusal(&problem),
            },
            Err(error) => {
                let message = shorten(&error.to_string(), MAX_MESSAGE);
                let code = "malformed_message";
                return text(&ServerMessage::Error { code, message });
            }
        };
        self.stats_due |= subscriptions.want_stats() && !self.group.subscriptions.want_stats();
        let group = hub.groups.join(subscriptions);
        let left = std::mem::replace(&mut self.group, group);
        hub.groups.leave(left);
        answer
    }

    /// What the clock asks for: a ping, a mark, or the end.
    pub fn check_timers(&mut self, hub: &HubContext<'_>) -> Result<(), CloseReason> {
        let (now, limits) = (hub.now, hub.limits);
        match self.state {
            SocketState::Closing { by, .. } if by <= now => return Err(CloseReason::Gone),
            SocketState::Closing { .. } => return Ok(()),
            SocketState::Open => {}
        }
        let bounds = limits.write_bounds();
        self.socket.check_rate(now, &bounds).map_err(|_| CloseReason::Unwritable)?;
        if self.socket.is_stuck() {
            return Ok(());
        }
        if self.pong_by.is_some_and(|pong_by| pong_by <= now) {
            return Err(CloseReason::Silent);
        }
        if self.ping_at <= now {
            self.ping_at = now + limits.ws_ping_every;
            self.pong_by.get_or_insert(now + limits.ws_pong_within);
            self.send_frames(&mut vec![frames::ping()], hub)?;
        }
        if self.mark_at <= now {
            self.send_texts(&mut vec![self.mark()], hub)?;
        }
        Ok(())
    }

    /// Begins to leave, with `last` as the last word: [`CloseReason::Gone`] when there is nothing to wait for.
    pub fn close(
        &mut self,
        reason: CloseReason,
        last: Bytes,
        hub: &HubContext<'_>,
    ) -> Result<(), CloseReason> {
        if self.state != SocketState::Open {
            return Err(CloseReason::Gone); // the peer's close, or its end, was all that was missing
        }
        let within = hub.limits.ws_close_within;
        let (within, until) = match reason {
            CloseReason::Gone => return Err(CloseReason::Gone),
            CloseReason::Closed(_) => (within, ClosingUntil::Flushed),
            _ if reason.can_still_decode() => (within, ClosingUntil::PeerClosed),
            _ => (within.min(DISCONNECT_WITHIN), ClosingUntil::PeerDisconnected),
        };
        self.state = SocketState::Closing { by: hub.now + within, until };
        self.send_frames(&mut vec![last], hub)?;
        match self.socket.is_stuck() {
            true => Ok(()),
            false => self.finish_closing(),
        }
    }

    /// The last bytes are out.
    fn finish_closing(&mut self) -> Result<(), CloseReason> {
        match self.state {
            SocketState::Closing { until: ClosingUntil::Flushed, .. } => Err(CloseReason::Gone),
            SocketState::Closing { until: ClosingUntil::PeerDisconnected, .. } => {
                self.socket.hang_up();
                Ok(())
            }
            SocketState::Closing { until: ClosingUntil::PeerClosed, .. } | SocketState::Open => {
                Ok(())
            }
        }
    }
}

fn refusal(problem: &Problem) -> Bytes {
    let (code, message) = (problem.code(), problem.detail().to_owned());
    text(&ServerMessage::Error { code, message })
}

fn text(message: &ServerMessage<'_>) -> Bytes {
    frames::text(&to_json(message))
}
