//! One subscriber from hello to goodbye. A single task that always listens while it waits, so that a
//! client's close, ping or flood is seen at once.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite;

use crate::engine::{Engine, Pulse};
use crate::http::Limits;
use crate::http::feed::{Delivery, Feed};
use crate::http::protocol::{ClientMessage, Frame, ServerInfo, ServerMessage, Subscriptions};
use crate::http::query::StreamQuery;
use crate::http::stats::pulse_json;
use crate::http::view::{Shown, millis, to_json};

/// Runs until either side closes.
pub async fn run(socket: WebSocket, engine: Engine, limits: Arc<Limits>, wanted: StreamQuery) {
    let shutdown = engine.shutdown().clone();
    let now = Instant::now();
    let mut session = Session {
        socket,
        wanted: Subscriptions::new(wanted.filter, limits.ws_subscriptions),
        stats: None,
        engine: engine.clone(),
        feed: Feed::new(engine, wanted.after),
        mark_at: now + limits.ws_mark_every,
        ping_at: now + limits.ws_ping_every,
        pong_by: None,
        window: Window { began: now, messages: 0 },
        limits,
    };
    let ending = match session.talk(&shutdown.draining).await {
        Ok(never) => match never {},
        Err(ending) => ending,
    };
    tracing::debug!(?ending, "a subscriber leaves");
    session.end(ending, shutdown.draining.is_cancelled()).await;
}

/// Nothing: a conversation only ends by an [`Ending`].
enum Never {}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The client closed, or its connection is gone.
    Gone,
    /// Everything was delivered and the channel has ended.
    Delivered,
    /// The stored log cannot be read.
    StoreFailed,
    /// The client takes nothing for too long.
    Unwritable,
    /// The client does not answer pings.
    Silent,
    /// More messages than allowed.
    Flood,
    /// A binary message.
    Binary,
    /// A message longer than allowed.
    TooBig,
    /// A message far longer than allowed, of which the rest was not read.
    FarTooBig,
    /// Text that is not UTF-8.
    BadText,
    /// Not RFC 6455.
    BadProtocol,
}

/// Messages of the current second.
struct Window {
    began: Instant,
    messages: u32,
}

struct Session {
    socket: WebSocket,
    limits: Arc<Limits>,
    feed: Feed,
    wanted: Subscriptions,
    engine: Engine,
    /// There while a subscription asks for `stats`.
    stats: Option<watch::Receiver<Option<Arc<Pulse>>>>,
    /// When silence must be broken; moves with every text of ours.
    mark_at: Instant,
    ping_at: Instant,
    /// There while a ping is not answered.
    pong_by: Option<Instant>,
    window: Window,
}

impl Session {
    async fn talk(
        &mut self,
        draining: &tokio_util::sync::CancellationToken,
    ) -> Result<Never, Ending> {
        let cursor = self.feed.cursor();
        self.say(&ServerMessage::Hello {
            epoch: format!("{:08x}", cursor.epoch.0),
            cursor: Shown(cursor),
            heartbeat_ms: millis(self.limits.ws_mark_every),
            server: ServerInfo::THIS,
        })
        .await?;
        let mut told = false;
        loop {
            let alarm = self.mark_at.min(self.ping_at);
            let alarm = self.pong_by.map_or(alarm, |pong_by| alarm.min(pong_by));
            tokio::select! {
                // In this order, so that a pong that waits is read before its deadline is judged.
                biased;
                message = self.socket.recv() => self.hear(message).await?,
                () = draining.cancelled(), if !told => {
                    told = true;
                    self.say(&ServerMessage::Draining { grace_ms: self.limits.grace_ms }).await?;
                }
                () = sleep_until(alarm) => self.on_alarm().await?,
                pulse = next_pulse(&mut self.stats) => {
                    let config = self.engine.config();
                    let text = pulse.encoded(|pulse| pulse_json(pulse, config)).to_owned();
                    self.send_text(text).await?;
                }
                delivery = self.feed.next() => {
                    let delivery = delivery.map_err(|error| {
                        tracing::warn!(%error, "cannot read the event log for a subscriber");
                        Ending::StoreFailed
                    })?;
                    self.deliver(delivery).await?;
                }
            }
        }
    }

    /// Sends what came, together with what waits behind it, up to a full frame at a time.
    async fn deliver(&mut self, first: Delivery) -> Result<(), Ending> {
        let mut frame = Frame::default();
        let mut next = Some(first);
        while let Some(delivery) = next {
            match delivery {
                Delivery::Events { batch, after } => {
                    frame.add(&batch, after, &self.wanted);
                    next = if frame.is_full() { None } else { self.feed.next_ready() };
                }
                Delivery::Gap { from, to } => {
                    let gap = ServerMessage::Gap { from: Shown(from), to: Shown(to) };
                    return self.say(&gap).await;
                }
                Delivery::Ended => return Err(Ending::Delivered),
            }
        }
        match frame.finish(self.feed.cursor()) {
            Some(text) => self.send_text(text).await,
            None => Ok(()),
        }
    }

    async fn on_alarm(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if self.pong_by.is_some_and(|pong_by| pong_by <= now) {
            return Err(Ending::Silent);
        }
        if self.ping_at <= now {
            self.ping_at = now + self.limits.ws_ping_every;
            self.pong_by.get_or_insert(now + self.limits.ws_pong_within);
            self.send(Message::Ping(bytes::Bytes::new())).await?;
        }
        if self.mark_at <= now {
            self.say(&ServerMessage::Mark { cursor: Shown(self.feed.cursor()) }).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), Ending> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) => return Err(ending_of(error)),
            None => return Err(Ending::Gone),
        };
        match message {
            Message::Pong(_) => {
                self.pong_by = None;
                Ok(())
            }
            Message::Close(_) => Err(Ending::Gone),
            // tungstenite answers pings by itself; only their number matters here.
            Message::Ping(_) => self.count(),
            Message::Binary(_) => Err(Ending::Binary),
            Message::Text(text) if text.len() > self.limits.ws_message_bytes => Err(Ending::TooBig),
            Message::Text(text) => {
                self.count()?;
                self.answer(&text).await
            }
        }
    }

    fn count(&mut self) -> Result<(), Ending> {
        if self.window.began.elapsed() >= Duration::from_secs(1) {
            self.window = Window { began: Instant::now(), messages: 0 };
        }
        self.window.messages += 1;
        if self.window.messages > self.limits.ws_messages_per_second {
            return Err(Ending::Flood);
        }
        Ok(())
    }

    async fn answer(&mut self, text: &str) -> Result<(), Ending> {
        let cursor = Shown(self.feed.cursor());
        match serde_json::from_str::<ClientMessage>(text) {
            Ok(ClientMessage::Ping {}) => self.say(&ServerMessage::Pong).await,
            Ok(ClientMessage::Subscribe(asked)) => {
                match self.wanted.add(&asked, self.feed.cursor()) {
                    Ok(()) => {
                        self.look_for_stats();
                        self.say(&ServerMessage::Subscribed { id: &asked.id, cursor }).await
                    }
                    Err(problem) => self.complain(problem.code(), problem.detail()).await,
                }
            }
            Ok(ClientMessage::Unsubscribe { id }) => {
                self.wanted.remove(&id);
                self.look_for_stats();
                self.say(&ServerMessage::Unsubscribed { id: &id, cursor }).await
            }
            Err(error) => self.complain("malformed_message", &error.to_string()).await,
        }
    }

    /// Listens to the engine's pulse while a subscription asks for it.
    fn look_for_stats(&mut self) {
        if !self.wanted.want_stats() {
            self.stats = None;
        } else if self.stats.is_none() {
            self.stats = Some(self.engine.pulse());
        }
    }

    async fn complain(&mut self, code: &str, message: &str) -> Result<(), Ending> {
        self.say(&ServerMessage::Error { code, message: message.to_owned() }).await
    }

    async fn say(&mut self, message: &ServerMessage<'_>) -> Result<(), Ending> {
        self.send_text(to_json(message)).await
    }

    /// Scripts see texts but no pings, so only a text breaks the silence.
    async fn send_text(&mut self, text: String) -> Result<(), Ending> {
        self.send(Message::Text(text.into())).await?;
        self.mark_at = Instant::now() + self.limits.ws_mark_every;
        Ok(())
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        match timeout(self.limits.ws_unwritable, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ending::Gone),
            Err(_) => Err(Ending::Unwritable),
        }
    }

    /// Says goodbye: `bye`, our close frame, and the peer's; each half within its bound.
    async fn end(mut self, ending: Ending, draining: bool) {
        let within = self.limits.ws_close_within;
        let Some((code, reason)) = farewell(ending, draining) else {
            // The peer closed. tungstenite has queued the answer; this sends it.
            let flushed = timeout(within, drain(&mut self.socket)).await;
            return drop(flushed);
        };
        let bye = ServerMessage::Bye { why: reason, retry_ms: self.limits.retry_ms };
        let bye = Message::Text(to_json(&bye).into());
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let goodbye = async {
            self.socket.send(bye).await?;
            self.socket.send(close).await
        };
        match timeout(within, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return, // nobody takes it
        }
        match ending {
            // After an error of the protocol the library reads no more: leave the peer a moment to
            // read our close frame before the connection goes.
            Ending::FarTooBig | Ending::BadText | Ending::BadProtocol => {
                sleep(within.min(Duration::from_millis(500))).await;
            }
            Ending::Gone
            | Ending::Delivered
            | Ending::StoreFailed
            | Ending::Unwritable
            | Ending::Silent
            | Ending::Flood
            | Ending::Binary
            | Ending::TooBig => {
                let closed = timeout(within, drain(&mut self.socket)).await;
                drop(closed); // in time or not, the connection goes now
            }
        }
    }
}

/// The next pulse; never, when nobody asked for it or the server has no more.
async fn next_pulse(stats: &mut Option<watch::Receiver<Option<Arc<Pulse>>>>) -> Arc<Pulse> {
    if let Some(stats) = stats {
        while stats.changed().await.is_ok() {
            if let Some(pulse) = &*stats.borrow_and_update() {
                return pulse.clone();
            }
        }
    }
    std::future::pending().await
}

/// Reads until the peer's close frame, or the end of the connection.
async fn drain(socket: &mut WebSocket) {
    while let Some(Ok(_)) = socket.recv().await {}
}

/// The close code (RFC 6455 §7.4) and what `bye` says; `None` when the peer left first.
fn farewell(ending: Ending, draining: bool) -> Option<(u16, &'static str)> {
    match ending {
        Ending::Gone => None,
        Ending::Delivered if draining => Some((1001, "stopping")),
        Ending::Delivered => Some((1011, "the event stream ended")),
        Ending::StoreFailed => Some((1011, "the event log cannot be read")),
        Ending::Unwritable => Some((1013, "too slow")),
        Ending::Silent => Some((1013, "no pong")),
        Ending::Flood => Some((1008, "too many messages")),
        Ending::Binary => Some((1003, "only text is understood")),
        Ending::TooBig | Ending::FarTooBig => Some((1009, "the message is too big")),
        Ending::BadText => Some((1007, "not UTF-8")),
        Ending::BadProtocol => Some((1002, "not the WebSocket protocol")),
    }
}

/// What an error of the library means; axum hides it in a box.
fn ending_of(error: axum::Error) -> Ending {
    use tungstenite::error::ProtocolError;
    let Ok(error) = error.into_inner().downcast::<tungstenite::Error>() else {
        return Ending::Gone;
    };
    match *error {
        tungstenite::Error::Capacity(_) => Ending::FarTooBig,
        tungstenite::Error::Utf8(_) => Ending::BadText,
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Ending::Gone,
        tungstenite::Error::Protocol(_) => Ending::BadProtocol,
        _ => Ending::Gone, // broken connections of every sort
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_about_the_stream_tells_every_close_code() {
        let page = include_str!("../../../docs/stream.md");
        let (_, codes) = page.split_once("**Close codes.**").unwrap();
        let codes = codes.split("\n## ").next().unwrap();
        for ending in [
            Ending::Delivered,
            Ending::StoreFailed,
            Ending::Unwritable,
            Ending::Silent,
            Ending::Flood,
            Ending::Binary,
            Ending::TooBig,
            Ending::FarTooBig,
            Ending::BadText,
            Ending::BadProtocol,
        ] {
            let (code, _) = farewell(ending, true).unwrap();
            assert!(codes.contains(&code.to_string()), "{code} of {ending:?} is missing");
        }
    }
}
