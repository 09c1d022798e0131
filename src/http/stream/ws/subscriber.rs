//! One subscriber on a WebSocket, from `hello` to the close frame: its cursor, its subscriptions and its timers.
//! It never waits; its hub calls it when there is something to do.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::accepted_socket::SlotGuard;
use super::close_reason::CloseReason;
use super::frames;
use super::hub_load::LoadGuard;
use super::inbound::InboundMessage;
use super::message_reader::MessageReader;
use super::socket::{Arrived, Flushed, Socket};
use super::socket_stream::SocketStream;
use super::subscription_groups::{SubscriptionGroup, SubscriptionGroups};
use super::window::Window;
use crate::http::access::access_watch::AccessWatch;
use crate::http::stream::protocol::{ClientMessage, ServerInfo, ServerMessage};
use crate::http::view::{Displayed, millis, to_json};
use crate::http::{HttpLimits, Problem};
use crate::job::{Cursor, Epoch};

/// A WebSocket with its cursor and its subscriptions.
pub struct Subscriber {
    socket: Socket,
    reader: MessageReader,
    /// The subscribers with the same subscriptions; they share frames.
    group: Arc<SubscriptionGroup>,
    /// Every event up to here was written to the socket or filtered out.
    pub cursor: Cursor,
    /// Its credentials; once they end, the socket is closed.
    pub watch: AccessWatch,
    /// Whether the cursor was ahead of the log when the client came; see `Engine::read_ahead_at`.
    pub is_ahead: bool,
    state: SocketState,
    /// Whether the client has sent its close frame.
    peer_has_closed: bool,
    /// Whether it is sent events from the stored log instead of the window.
    pub catching_up: bool,
    /// Whether it was sent `draining`.
    pub draining_sent: bool,
    /// Whether there are stats that it has not been sent.
    pub stats_due: bool,
    /// When a `mark` is due as a heartbeat; postponed by every message that the server sends.
    mark_at: Instant,
    /// When the next ping is due.
    ping_at: Instant,
    /// The deadline for a pong; `None` when no ping is unanswered.
    pong_by: Option<Instant>,
    /// The beginning of the current second and the frames received in it.
    rate_window: (Instant, u32),
    /// What it occupies in the server and in its hub, released when it is dropped.
    _guards: (SlotGuard, LoadGuard),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SocketState {
    /// Events and messages are exchanged.
    Open,
    /// The close frame was sent. At `by` the connection is dropped, whatever the client does.
    Closing { by: Instant, until: ClosingUntil },
}

/// What a closing subscriber still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClosingUntil {
    /// The client has sent its close frame.
    PeerClosed,
    /// The client has closed the connection. We have nothing more to send, and what it sends is discarded: a connection
    /// that is closed before that would be reset, and the client could lose our close frame.
    PeerDisconnected,
}

/// The parts of a hub that its subscribers use.
pub struct HubContext<'a> {
    pub limits: &'a HttpLimits,
    pub groups: &'a mut SubscriptionGroups,
    /// The buffer that all sockets of the hub read into, so that an idle socket needs none.
    pub read_buffer: &'a mut [u8],
    /// The current time.
    pub now: Instant,
}

/// How often one socket is read before the others have their turn.
const MAX_READS: usize = 4;

impl Subscriber {
    /// Creates a subscriber that has seen everything up to `cursor`. Nothing is sent yet.
    pub fn new(
        stream: SocketStream,
        waker: Waker,
        group: Arc<SubscriptionGroup>,
        cursor: Cursor,
        guards: (SlotGuard, LoadGuard),
        limits: &HttpLimits,
        now: Instant,
    ) -> Subscriber {
        Subscriber {
            socket: Socket::new(stream, waker),
            reader: MessageReader::default(),
            group,
            cursor,
            watch: AccessWatch::default(),
            is_ahead: false,
            state: SocketState::Open,
            peer_has_closed: false,
            catching_up: false,
            draining_sent: false,
            stats_due: false,
            mark_at: now + limits.subscriber_mark,
            ping_at: now + limits.socket_ping,
            pong_by: None,
            rate_window: (now, 0),
            _guards: guards,
        }
    }

    /// The subscribers with the same subscriptions.
    pub fn group(&self) -> &Arc<SubscriptionGroup> {
        &self.group
    }

    /// Leaves its group.
    pub fn leave_group(self: Box<Self>, groups: &mut SubscriptionGroups) {
        let Subscriber { group, .. } = *self;
        groups.leave(group);
    }

    /// Whether it can be sent something now: it is open and no earlier bytes wait.
    pub fn is_ready(&self) -> bool {
        self.state == SocketState::Open && !self.socket.has_backlog()
    }

    /// Whether it is open and has not been sent everything up to `seq`.
    pub fn is_behind(&self, seq: u64) -> bool {
        self.state == SocketState::Open && self.cursor.seq < seq
    }

    /// Whether the window holds, or will hold, the next event after its cursor.
    pub fn is_in_window(&self, epoch: Epoch, window: &Window) -> bool {
        !self.is_ahead && self.cursor.epoch == epoch && window.reaches(self.cursor.seq)
    }

    /// The `hello` frame.
    pub fn hello(&self, limits: &HttpLimits) -> Bytes {
        text(&ServerMessage::Hello {
            epoch: format!("{:08x}", self.cursor.epoch.0),
            cursor: Displayed(self.cursor),
            heartbeat_ms: millis(limits.subscriber_mark),
            server: ServerInfo::THIS,
        })
    }

    /// Sends `gap` and continues after it.
    pub fn skip_to(&mut self, to: Cursor, hub: &HubContext<'_>) -> Result<(), CloseReason> {
        let from = std::mem::replace(&mut self.cursor, to);
        self.is_ahead = false;
        let gap = text(&ServerMessage::Gap { from: Displayed(from), to: Displayed(to) });
        self.send_texts(&mut vec![gap], hub)
    }

    /// The `mark` frame with its cursor.
    pub fn mark(&self) -> Bytes {
        text(&ServerMessage::Mark { cursor: Displayed(self.cursor) })
    }

    /// Sends text frames and postpones the next `mark`. Empties `texts`.
    pub fn send_texts(
        &mut self,
        texts: &mut Vec<Bytes>,
        hub: &HubContext<'_>,
    ) -> Result<(), CloseReason> {
        self.mark_at = hub.now + hub.limits.subscriber_mark;
        self.send_frames(texts, hub)
    }

    /// Sends frames that do not count as a heartbeat: scripts in browsers do not see pings and pongs.
    fn send_frames(
        &mut self,
        frames: &mut Vec<Bytes>,
        hub: &HubContext<'_>,
    ) -> Result<(), CloseReason> {
        self.socket.send(frames, &hub.limits.write_bounds()).map_err(|_| CloseReason::Gone)
    }

    /// Writes the waiting bytes as far as the socket accepts them. Returns whether none are left.
    pub fn flush(&mut self, hub: &HubContext<'_>) -> Result<bool, CloseReason> {
        let flushed =
            self.socket.flush(&hub.limits.write_bounds()).map_err(|_| CloseReason::Gone)?;
        match flushed {
            Flushed::All | Flushed::Some => {
                // The ping may wait behind bytes that a slow client has yet to read.
                self.pong_by = self.pong_by.map(|_| hub.now + hub.limits.socket_pong);
            }
            Flushed::Nothing => {}
        }
        self.finish_closing();
        Ok(flushed == Flushed::All)
    }

    /// Reads from the socket and handles the messages. Returns whether there may be more to read.
    pub fn read(&mut self, hub: &mut HubContext<'_>) -> Result<bool, CloseReason> {
        for _ in 0..MAX_READS {
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

    /// Discards what has arrived, before the socket is dropped: the kernel would otherwise reset the connection, and the
    /// client could lose our close frame.
    pub fn discard_unread(&mut self, read_buffer: &mut [u8]) {
        for _ in 0..MAX_READS {
            match self.socket.read(read_buffer) {
                Arrived::Bytes(_) => {}
                Arrived::Nothing | Arrived::End => return,
            }
        }
    }

    /// Decodes bytes from the client and handles the messages in them.
    pub fn receive(
        &mut self,
        arrived: &mut [u8],
        hub: &mut HubContext<'_>,
    ) -> Result<(), CloseReason> {
        if matches!(self.state, SocketState::Closing { until: ClosingUntil::PeerDisconnected, .. })
        {
            return Ok(());
        }
        let (messages, error) = self.reader.read(arrived, hub.limits.socket_message, hub.now);
        let mut messages = messages.into_iter();
        while let Some(message) = messages.next() {
            if let Err(reason) = self.on_message(message, hub) {
                // What follows is not carried out, but the closing handshake must not wait for a frame that was read.
                self.peer_has_closed |=
                    messages.any(|message| matches!(message, InboundMessage::Close(_)));
                return Err(reason);
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// Handles one message from the client.
    fn on_message(
        &mut self,
        message: InboundMessage,
        hub: &mut HubContext<'_>,
    ) -> Result<(), CloseReason> {
        match (message, self.state) {
            (InboundMessage::Close(code), _) => Err(CloseReason::ClientClosed(code)),
            (
                InboundMessage::Ping(_)
                | InboundMessage::Pong
                | InboundMessage::Text(_)
                | InboundMessage::Fragment,
                SocketState::Closing { .. },
            ) => Ok(()),
            (InboundMessage::Pong, SocketState::Open) => {
                self.pong_by = None;
                self.count_frame(hub)
            }
            (InboundMessage::Fragment, SocketState::Open) => self.count_frame(hub),
            (InboundMessage::Ping(payload), SocketState::Open) => {
                self.count_frame(hub)?;
                self.send_frames(&mut vec![frames::pong(&payload)], hub)
            }
            (InboundMessage::Text(message), SocketState::Open) => {
                self.count_frame(hub)?;
                let reply = self.reply_to(&message, hub);
                self.send_texts(&mut vec![reply], hub)
            }
        }
    }

    /// Counts a frame against the limit per second. All frames cost the server something, even if they are empty.
    fn count_frame(&mut self, hub: &HubContext<'_>) -> Result<(), CloseReason> {
        let (began, frames) = self.rate_window;
        self.rate_window = if hub.now - began < Duration::from_secs(1) {
            (began, frames + 1)
        } else {
            (hub.now, 1)
        };
        let limit = hub.limits.socket_rate;
        if self.rate_window.1 > limit { Err(CloseReason::Flood) } else { Ok(()) }
    }

    /// Carries out what a text message asks for, and returns the reply.
    fn reply_to(&mut self, message: &str, hub: &mut HubContext<'_>) -> Bytes {
        let cursor = Displayed(self.cursor);
        let mut subscriptions = self.group.subscriptions.clone();
        if let Err(why) = hub.limits.json.check(message) {
            return text(&ServerMessage::Error { code: why.code(), message: why.to_string() });
        }
        let message = ClientMessage::parse(message)
            .and_then(|message| self.watch.check_message(message.access()).map(|()| message));
        let reply = match message {
            Ok(ClientMessage::Ping) => return text(&ServerMessage::Pong),
            Ok(ClientMessage::Subscribe(request)) => match subscriptions.add(&request, self.cursor)
            {
                Ok(()) => text(&ServerMessage::Subscribed { id: &request.id, cursor }),
                Err(problem) => return refusal(&problem),
            },
            Ok(ClientMessage::Unsubscribe { id }) => match subscriptions.remove(&id) {
                Ok(()) => text(&ServerMessage::Unsubscribed { id: &id, cursor }),
                Err(problem) => return refusal(&problem),
            },
            Err(problem) => return refusal(&problem),
        };
        self.stats_due |= subscriptions.want_stats() && !self.group.subscriptions.want_stats();
        let group = hub.groups.join(subscriptions);
        let left = std::mem::replace(&mut self.group, group);
        hub.groups.leave(left);
        reply
    }

    /// Sends a ping or a mark when it is due, and closes the socket of a client that is too slow or silent, or that does
    /// not finish a message.
    pub fn check_timers(&mut self, hub: &HubContext<'_>) -> Result<(), CloseReason> {
        let (now, limits) = (hub.now, hub.limits);
        match self.state {
            SocketState::Closing { by, .. } if by <= now => return Err(CloseReason::Gone),
            SocketState::Closing { .. } => return Ok(()),
            SocketState::Open => {}
        }
        if self.watch.has_ended() {
            return Err(if self.watch.is_of_link() {
                CloseReason::LinkEnded
            } else {
                CloseReason::AccessEnded
            });
        }
        let unfinished_since = self.reader.unfinished_since();
        if unfinished_since.is_some_and(|since| since + limits.body_timeout <= now) {
            return Err(CloseReason::Unfinished);
        }
        let bounds = limits.write_bounds();
        self.socket.check_rate(now, &bounds).map_err(|_| CloseReason::Unwritable)?;
        if self.socket.has_backlog() {
            return Ok(());
        }
        if self.pong_by.is_some_and(|pong_by| pong_by <= now) {
            return Err(CloseReason::Silent);
        }
        if self.ping_at <= now {
            self.ping_at = now + limits.socket_ping;
            self.pong_by.get_or_insert(now + limits.socket_pong);
            self.send_frames(&mut vec![frames::ping()], hub)?;
        }
        if self.mark_at <= now {
            self.send_texts(&mut vec![self.mark()], hub)?;
        }
        Ok(())
    }

    /// Sends `last` and begins to close. Returns [`CloseReason::Gone`] when there is nothing to wait for.
    pub fn close(
        &mut self,
        reason: CloseReason,
        last: Bytes,
        hub: &HubContext<'_>,
    ) -> Result<(), CloseReason> {
        if let SocketState::Closing { by, until } = self.state {
            let must_wait = match reason {
                CloseReason::ClientClosed(_) => self.socket.has_backlog(),
                _ => until == ClosingUntil::PeerClosed && !reason.can_still_decode(),
            };
            if !must_wait {
                return Err(CloseReason::Gone);
            }
            self.state = SocketState::Closing { by, until: ClosingUntil::PeerDisconnected };
            self.finish_closing();
            return Ok(());
        }
        let until = match reason {
            CloseReason::Gone => return Err(CloseReason::Gone),
            CloseReason::ClientClosed(_) => ClosingUntil::PeerDisconnected,
            _ if self.peer_has_closed || !reason.can_still_decode() => {
                ClosingUntil::PeerDisconnected
            }
            _ => ClosingUntil::PeerClosed,
        };
        let within = hub.limits.close;
        self.state = SocketState::Closing { by: hub.now + within, until };
        self.send_frames(&mut vec![last], hub)?;
        self.finish_closing();
        Ok(())
    }

    /// Takes the next step of closing, if all bytes are written.
    fn finish_closing(&mut self) {
        match self.state {
            SocketState::Closing { until: ClosingUntil::PeerDisconnected, .. }
                if !self.socket.has_backlog() =>
            {
                self.socket.shut_down_write();
            }
            SocketState::Closing { .. } | SocketState::Open => {}
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
