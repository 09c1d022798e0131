//! One subscriber from hello to goodbye: what it said, what it is owed, and when it has been silent for
//! too long. Waits for nothing; its hub calls.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::ending::Ending;
use super::frames;
use super::groups::{Group, Groups};
use super::hub_load::Counted;
use super::hubs::Stay;
use super::inbound::{Heard, Inbound};
use super::socket::{Arrived, Flushed, Socket};
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
    inbound: Option<Box<Inbound>>,
    /// Those who want the same.
    group: Arc<Group>,
    /// Everything up to here was handed to the socket, or filtered out.
    pub cursor: Cursor,
    stage: Stage,
    /// Whether it waits for its turn to read the stored log, or for a page of it.
    pub reading: bool,
    /// Whether it was told that the server stops.
    pub told_draining: bool,
    /// Whether there are stats that it has not got.
    pub owed_stats: bool,
    /// When silence must be broken; moves with every text of ours.
    mark_at: Instant,
    ping_at: Instant,
    /// There while a ping is not answered.
    pong_by: Option<Instant>,
    /// Messages of the second that began then.
    second: (Instant, u32),
    /// What it holds of the server, given back when it leaves.
    _held: (Stay, Counted),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Talking,
    /// The last word is said; at `by` the connection goes, whatever the peer does.
    Leaving {
        by: Instant,
        until: Until,
    },
}

/// What a subscriber that leaves still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Our last bytes to be taken.
    Flushed,
    /// The peer's close frame.
    Closed,
    /// The peer to hang up; what it says meanwhile cannot be understood.
    HungUp,
}

/// What a subscriber uses of its hub.
pub struct Desk<'a> {
    pub limits: &'a Limits,
    pub groups: &'a mut Groups,
    /// Where bytes are read to; shared, so that a silent socket needs no buffer.
    pub scratch: &'a mut [u8],
    /// The present moment.
    pub now: Instant,
}

/// After a protocol error the peer gets this long to read our close frame and hang up.
const HANG_UP: Duration = Duration::from_millis(500);
/// Reads of one socket in one turn; then the others come first.
const READS: usize = 4;

impl Subscriber {
    /// Sits down at `cursor`. Says nothing yet.
    pub fn new(
        stream: TcpStream,
        bell: Waker,
        group: Arc<Group>,
        cursor: Cursor,
        held: (Stay, Counted),
        limits: &Limits,
        now: Instant,
    ) -> Subscriber {
        Subscriber {
            socket: Socket::new(stream, bell),
            inbound: None,
            group,
            cursor,
            stage: Stage::Talking,
            reading: false,
            told_draining: false,
            owed_stats: false,
            mark_at: now + limits.subscriber_mark,
            ping_at: now + limits.socket_ping,
            pong_by: None,
            second: (now, 0),
            _held: held,
        }
    }

    /// Those who want the same.
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Gives its membership back.
    pub fn leave_group(self: Box<Self>, groups: &mut Groups) {
        let Subscriber { group, .. } = *self;
        groups.leave(group);
    }

    /// Whether it can be given something now: it has not been sent away, and takes what it gets.
    pub fn is_ready(&self) -> bool {
        self.stage == Stage::Talking && !self.socket.is_stuck()
    }

    /// Whether it still talks and has not seen everything up to `seq`.
    pub fn is_late(&self, seq: u64) -> bool {
        self.stage == Stage::Talking && self.cursor.seq < seq
    }

    /// Whether the window has, or will have, what comes next.
    pub fn is_near(&self, epoch: Epoch, window: &Window) -> bool {
        self.cursor.epoch == epoch && window.reaches(self.cursor.seq)
    }

    /// The first word.
    pub fn hello(&self, limits: &Limits) -> Bytes {
        text(&ServerMessage::Hello {
            epoch: format!("{:08x}", self.cursor.epoch.0),
            cursor: Shown(self.cursor),
            heartbeat_ms: millis(limits.subscriber_mark),
            server: ServerInfo::THIS,
        })
    }

    /// Tells of a gap and goes on behind it.
    pub fn skip_to(&mut self, to: Cursor, desk: &Desk<'_>) -> Result<(), Ending> {
        let from = std::mem::replace(&mut self.cursor, to);
        let gap = text(&ServerMessage::Gap { from: Shown(from), to: Shown(to) });
        self.say(&mut vec![gap], desk)
    }

    /// Where it is now, as a text.
    pub fn mark(&self) -> Bytes {
        text(&ServerMessage::Mark { cursor: Shown(self.cursor) })
    }

    /// Sends texts, which break the silence: scripts see texts but no pings. Empties `texts`.
    pub fn say(&mut self, texts: &mut Vec<Bytes>, desk: &Desk<'_>) -> Result<(), Ending> {
        self.mark_at = desk.now + desk.limits.subscriber_mark;
        self.send(texts, desk)
    }

    fn send(&mut self, frames: &mut Vec<Bytes>, desk: &Desk<'_>) -> Result<(), Ending> {
        self.socket.send(frames, &desk.limits.write_bounds()).map_err(|_| Ending::Gone)
    }

    /// Sends what waits, as far as there is room. Whether nothing waits any more.
    pub fn flush(&mut self, desk: &Desk<'_>) -> Result<bool, Ending> {
        let flushed = self.socket.flush(&desk.limits.write_bounds()).map_err(|_| Ending::Gone)?;
        match flushed {
            Flushed::All | Flushed::Some => {
                // A ping may be behind much that a slow peer has yet to take.
                self.pong_by = self.pong_by.map(|_| desk.now + desk.limits.socket_pong);
            }
            Flushed::Nothing => {}
        }
        if flushed == Flushed::All {
            self.sign_off()?;
        }
        Ok(flushed == Flushed::All)
    }

    /// Reads what came and answers it. Whether there may be more.
    pub fn listen(&mut self, desk: &mut Desk<'_>) -> Result<bool, Ending> {
        for _ in 0..READS {
            match self.socket.read(desk.scratch) {
                Arrived::Nothing => return Ok(false),
                Arrived::End => return Err(Ending::Gone),
                Arrived::Bytes(count) => {
                    let scratch = std::mem::take(&mut desk.scratch);
                    let heard = self.take(&mut scratch[..count], desk);
                    desk.scratch = scratch;
                    heard?;
                }
            }
        }
        Ok(true)
    }

    /// Takes bytes of the client.
    pub fn take(&mut self, arrived: &mut [u8], desk: &mut Desk<'_>) -> Result<(), Ending> {
        if matches!(self.stage, Stage::Leaving { until: Until::HungUp, .. }) {
            return Ok(());
        }
        let mut inbound = self.inbound.take().unwrap_or_default();
        let (heard, wrong) = inbound.take(arrived, desk.limits.socket_message);
        self.inbound = Some(inbound).filter(|inbound| !inbound.is_empty());
        for one in heard {
            self.hear(one, desk)?;
        }
        wrong.map_or(Ok(()), Err)
    }

    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) -> Result<(), Ending> {
        match (heard, self.stage) {
            (Heard::Close(code), _) => Err(Ending::Closed(code)),
            (Heard::Pong, _) => {
                self.pong_by = None;
                Ok(())
            }
            (Heard::Ping(_) | Heard::Text(_), Stage::Leaving { .. }) => Ok(()),
            (Heard::Ping(payload), Stage::Talking) => {
                self.count(desk)?;
                self.send(&mut vec![frames::pong(&payload)], desk)
            }
            (Heard::Text(said), Stage::Talking) => {
                self.count(desk)?;
                let answer = self.answer(&said, desk);
                self.say(&mut vec![answer], desk)
            }
        }
    }

    fn count(&mut self, desk: &Desk<'_>) -> Result<(), Ending> {
        let (began, messages) = self.second;
        self.second = match desk.now - began < Duration::from_secs(1) {
            true => (began, messages + 1),
            false => (desk.now, 1),
        };
        match self.second.1 > desk.limits.socket_rate {
            true => Err(Ending::Flood),
            false => Ok(()),
        }
    }

    fn answer(&mut self, said: &str, desk: &mut Desk<'_>) -> Bytes {
        let cursor = Shown(self.cursor);
        let mut wanted = self.group.wanted.clone();
        if let Err(why) = desk.limits.json.check(said) {
            return text(&ServerMessage::Error { code: why.code(), message: why.to_string() });
        }
        let answer = match serde_json::from_str(said).map(|Object(said)| said) {
            Ok(ClientMessage::Ping {}) => return text(&ServerMessage::Pong),
            Ok(ClientMessage::Subscribe(asked)) => match wanted.add(&asked, self.cursor) {
                Ok(()) => text(&ServerMessage::Subscribed { id: &asked.id, cursor }),
                Err(problem) => return refused(&problem),
            },
            Ok(ClientMessage::Unsubscribe { id }) => match wanted.remove(&id) {
                Ok(()) => text(&ServerMessage::Unsubscribed { id: &id, cursor }),
                Err(problem) => return refused(&problem),
            },
            Err(error) => {
                let message = shorten(&error.to_string(), MAX_MESSAGE);
                let code = "malformed_message";
                return text(&ServerMessage::Error { code, message });
            }
        };
        self.owed_stats |= wanted.want_stats() && !self.group.wanted.want_stats();
        let group = desk.groups.of(wanted);
        let left = std::mem::replace(&mut self.group, group);
        desk.groups.leave(left);
        answer
    }

    /// What the clock asks for: a ping, a mark, or the end.
    pub fn look_at_the_clock(&mut self, desk: &Desk<'_>) -> Result<(), Ending> {
        let (now, limits) = (desk.now, desk.limits);
        match self.stage {
            Stage::Leaving { by, .. } if by <= now => return Err(Ending::Gone),
            Stage::Leaving { .. } => return Ok(()),
            Stage::Talking => {}
        }
        let bounds = limits.write_bounds();
        self.socket.check_rate(now, &bounds).map_err(|_| Ending::Unwritable)?;
        if self.socket.is_stuck() {
            return Ok(());
        }
        if self.pong_by.is_some_and(|pong_by| pong_by <= now) {
            return Err(Ending::Silent);
        }
        if self.ping_at <= now {
            self.ping_at = now + limits.socket_ping;
            self.pong_by.get_or_insert(now + limits.socket_pong);
            self.send(&mut vec![frames::ping()], desk)?;
        }
        if self.mark_at <= now {
            self.say(&mut vec![self.mark()], desk)?;
        }
        Ok(())
    }

    /// Begins to leave, with `last` as the last word: [`Ending::Gone`] when there is nothing to wait for.
    pub fn leave(&mut self, ending: Ending, last: Bytes, desk: &Desk<'_>) -> Result<(), Ending> {
        if self.stage != Stage::Talking {
            return Err(Ending::Gone); // the peer's close, or its end, was all that was missing
        }
        let within = desk.limits.close;
        let (within, until) = match ending {
            Ending::Gone => return Err(Ending::Gone),
            Ending::Closed(_) => (within, Until::Flushed),
            _ if ending.keeps_the_thread() => (within, Until::Closed),
            _ => (within.min(HANG_UP), Until::HungUp),
        };
        self.stage = Stage::Leaving { by: desk.now + within, until };
        self.send(&mut vec![last], desk)?;
        match self.socket.is_stuck() {
            true => Ok(()),
            false => self.sign_off(),
        }
    }

    /// The last bytes are out.
    fn sign_off(&mut self) -> Result<(), Ending> {
        match self.stage {
            Stage::Leaving { until: Until::Flushed, .. } => Err(Ending::Gone),
            Stage::Leaving { until: Until::HungUp, .. } => {
                self.socket.hang_up();
                Ok(())
            }
            Stage::Leaving { until: Until::Closed, .. } | Stage::Talking => Ok(()),
        }
    }
}

fn refused(problem: &Problem) -> Bytes {
    let (code, message) = (problem.code(), problem.detail().to_owned());
    text(&ServerMessage::Error { code, message })
}

fn text(message: &ServerMessage<'_>) -> Bytes {
    frames::text(&to_json(message))
}
