//! A worker's connection over WebSocket: jobs are pushed against credit, and updates are answered in the background.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use futures_util::{Sink, Stream};
use reqwest::Upgraded;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};

use super::attempts::Attempts;
use super::delays::RetryDelays;
use super::link::{LinkNews, WorkerLink};
use super::messages::{
    BYE, MAX_ENTRIES, PING, ReadyMessage, SUBPROTOCOL, ServerFrame, UpdateParts, json,
};
use super::outbox::UpdateBatch;
use super::settings::WorkerSettings;
use crate::client::error::{ClientError, ServerProblem};
use crate::client::http::ServerApi;

/// How long connecting may take, up to the message `hello`.
const GREETING: Duration = Duration::from_secs(10);
/// How long notes wait for others, and for a settle.
pub const NOTE_DELAY: Duration = Duration::from_millis(100);
/// The most updates whose answers are outstanding. Further settles wait and share the next update.
const MAX_UNANSWERED: usize = 8;
/// How long the server may take to answer an update before the connection counts as broken.
const ANSWER: Duration = Duration::from_secs(30);
/// A connection counts as broken after this many heartbeats without anything from the server.
const MAX_UNHEARD: u32 = 3;
/// A connection that lasted longer than this resets the backoff.
const STABLE: Duration = Duration::from_secs(5);

/// The most leases that the server reads in the first message.
const MAX_HELD: usize = 10_000;

const CLOSE_TOO_BIG: u16 = 1009;
const CLOSE_REPLACED: u16 = 4409;

type OpeningSocket =
    Pin<Box<dyn Future<Output = Result<WebSocketStream<Upgraded>, ClientError>> + Send>>;

/// The connection, which renews itself.
pub struct SocketLink {
    api: ServerApi,
    settings: Arc<WorkerSettings>,
    state: LinkState,
    delays: RetryDelays,
    /// How long the leases last, as the server has said.
    lease: Duration,
    heartbeat: Duration,
    /// Whether a connection has succeeded. Until then, a refusal is final.
    has_connected: bool,
    is_stopping: bool,
    is_signing_off: bool,
}

enum LinkState {
    Waiting(Instant),
    Opening(OpeningSocket),
    Open(Box<OpenConnection>),
    Ended,
}

/// An open connection.
struct OpenConnection {
    socket: WebSocketStream<Upgraded>,
    /// Whether something was written that has not been flushed.
    is_unflushed: bool,
    opened_at: Instant,
    is_greeted: bool,
    /// The number of heartbeats since something was received; the server answers each.
    unheard: u32,
    next_beat: Instant,
    /// When the notes that wait are sent.
    notes_due: Option<Instant>,
    unanswered: VecDeque<SentUpdate>,
    last_id: u64,
    /// Whether the server was told that the worker takes no more jobs.
    has_ended_credit: bool,
    /// The bound of the delay before the next connection, from `bye`.
    retry: Option<Duration>,
}

struct SentUpdate {
    id: u64,
    batch: UpdateBatch,
    sent_at: Instant,
}

/// What arrives.
pub enum SocketArrival {
    Opened(Result<Box<WebSocketStream<Upgraded>>, ClientError>),
    Text(Utf8Bytes),
    /// A frame without content for the worker.
    Control,
    Closed {
        code: u16,
        why: String,
    },
}

impl SocketLink {
    /// Creates a connection that opens at once.
    pub fn new(api: ServerApi, settings: Arc<WorkerSettings>) -> SocketLink {
        SocketLink {
            api,
            state: LinkState::Waiting(Instant::now()),
            delays: RetryDelays::new(&settings),
            lease: settings.lease,
            heartbeat: settings.lease / 3,
            settings,
            has_connected: false,
            is_stopping: false,
            is_signing_off: false,
        }
    }

    /// Decides what follows after a connection has failed or ended.
    fn reconnect_after(
        &mut self,
        error: ClientError,
        retry: Option<Duration>,
    ) -> Result<(), ClientError> {
        if self.is_signing_off {
            self.state = LinkState::Ended;
            return Ok(());
        }
        if !self.has_connected && error.is_permanent() {
            return Err(error);
        }
        let delay = match retry {
            Some(most) => {
                let delay = most.mul_f64(fastrand::f64());
                tracing::warn!(worker = %self.settings.name, "{error}; connecting again in {delay:?}");
                delay
            }
            None => self.delays.after(&error, &self.settings.name, "connecting"),
        };
        self.state = LinkState::Waiting(Instant::now() + delay);
        Ok(())
    }

    /// The connection has ended. What it did not confirm is sent again by the next one.
    fn closed(&mut self, code: u16, why: &str, attempts: &mut Attempts) -> Result<(), ClientError> {
        let state = std::mem::replace(&mut self.state, LinkState::Ended);
        let LinkState::Open(open) = state else { return Ok(()) };
        for sent in open.unanswered.into_iter().rev() {
            attempts.outbox.put_back(sent.batch);
        }
        match code {
            CLOSE_REPLACED => return Err(ClientError::Replaced(self.settings.name.clone())),
            CLOSE_TOO_BIG => attempts.outbox.refuse_long("it is longer than the server accepts"),
            _ => {}
        }
        if open.opened_at.elapsed() > STABLE {
            self.delays.succeeded();
        }
        self.reconnect_after(ClientError::broken(why), open.retry)
    }

    fn opened(&mut self, socket: WebSocketStream<Upgraded>, attempts: &mut Attempts) {
        let now = Instant::now();
        attempts.outbox.reset_free_slots();
        let running = attempts.leases();
        let held = running.iter().map(|lease| &**lease).chain(attempts.outbox.unsent_leases());
        let ready = ReadyMessage {
            free: attempts.free(),
            queues: Some(&self.settings.queues),
            kinds: &self.settings.kinds,
            lease_ms: Some(self.settings.lease_ms()),
            about: Some(&self.settings.about),
            held: Some(held.take(MAX_HELD).collect()),
        };
        let mut open = Box::new(OpenConnection {
            socket,
            is_unflushed: false,
            opened_at: now,
            is_greeted: false,
            unheard: 0,
            next_beat: now + GREETING,
            notes_due: None,
            unanswered: VecDeque::new(),
            last_id: 0,
            has_ended_credit: self.is_stopping,
            retry: None,
        });
        open.write(json(&ready));
        self.state = LinkState::Open(open);
    }

    fn message(&mut self, text: &str, attempts: &mut Attempts) -> Result<LinkNews, ClientError> {
        let LinkState::Open(open) = &mut self.state else { return Ok(LinkNews::Nothing) };
        open.unheard = 0;
        let frame: ServerFrame<'_> = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => {
                let why = format!("a message of the server cannot be read: {error}");
                return self.closed(0, &why, attempts).map(|()| LinkNews::Nothing);
            }
        };
        match &*frame.r#type {
            "jobs" => attempts.start(&frame.leases),
            "updated" => {
                attempts.obey(&frame.extend);
                if let Some(batch) = open.take_unanswered(frame.id) {
                    attempts.outbox.confirm(batch, &frame.settle);
                }
            }
            "cancel" => attempts.cancel(frame.lease.as_deref().unwrap_or_default()),
            "lost" => attempts.lose(frame.lease.as_deref().unwrap_or_default()),
            "hello" => {
                open.is_greeted = true;
                self.has_connected = true;
                self.delays.accepted();
                self.lease = frame.lease_ms.map_or(self.lease, Duration::from_millis);
                self.heartbeat = frame.heartbeat_ms.map_or(self.lease / 3, Duration::from_millis);
                open.next_beat = Instant::now() + self.heartbeat.min(self.lease / 3);
                tracing::info!(worker = %self.settings.name, "the worker is connected");
                attempts.obey(&frame.held);
                return Ok(LinkNews::of_command(frame.command.as_deref()));
            }
            "command" => return Ok(LinkNews::of_command(frame.command.as_deref())),
            "error" => {
                let code = frame.code.as_deref().unwrap_or("unknown");
                let text = frame.message.as_deref().unwrap_or_default().to_owned();
                let problem = ServerProblem::of_message(code, frame.field.as_deref(), text);
                let error = ClientError::Refused(Box::new(problem));
                if open.is_greeted {
                    tracing::error!(worker = %self.settings.name, "{error}");
                    // Anything else stays unanswered, and is sent again by the next connection.
                    if error.is_content_refused()
                        && let Some(batch) = open.take_unanswered(frame.id)
                    {
                        attempts.outbox.refuse(batch, frame.message.as_deref().unwrap_or(code));
                    }
                } else {
                    self.state = LinkState::Ended;
                    self.reconnect_after(error, None)?;
                }
            }
            "bye" => {
                tracing::debug!(worker = %self.settings.name, "the server says bye: {:?}", frame.why);
                open.retry = frame.retry_ms.map(Duration::from_millis);
            }
            _ => {} // pong, and what a newer server may send
        }
        Ok(LinkNews::Nothing)
    }
}

impl WorkerLink for SocketLink {
    type Arrival = SocketArrival;

    async fn next(&mut self) -> SocketArrival {
        match &mut self.state {
            LinkState::Waiting(_) | LinkState::Ended => pending().await,
            LinkState::Opening(opening) => {
                let opened = opening.await.map(Box::new);
                // A future that has ended must not be polled again.
                self.state = LinkState::Ended;
                SocketArrival::Opened(opened)
            }
            LinkState::Open(open) => open.next().await,
        }
    }

    fn take(
        &mut self,
        arrival: SocketArrival,
        attempts: &mut Attempts,
    ) -> Result<LinkNews, ClientError> {
        match arrival {
            SocketArrival::Opened(Ok(socket)) => self.opened(*socket, attempts),
            SocketArrival::Opened(Err(error)) => self.reconnect_after(error, None)?,
            SocketArrival::Text(text) => return self.message(&text, attempts),
            SocketArrival::Control => {
                if let LinkState::Open(open) = &mut self.state {
                    open.unheard = 0;
                }
            }
            SocketArrival::Closed { code, why } => self.closed(code, &why, attempts)?,
        }
        Ok(LinkNews::Nothing)
    }

    fn advance(&mut self, now: Instant, attempts: &mut Attempts) -> Result<(), ClientError> {
        let why = match &mut self.state {
            LinkState::Waiting(until) if now >= *until => {
                let (api, path) = (self.api.clone(), self.settings.socket_path());
                let opening = async move { api.open_socket(&path, SUBPROTOCOL).await };
                self.state = LinkState::Opening(Box::pin(opening));
                return Ok(());
            }
            LinkState::Waiting(_) | LinkState::Opening(_) | LinkState::Ended => return Ok(()),
            LinkState::Open(open) if !open.is_greeted => {
                (now >= open.opened_at + GREETING).then_some("the server sent no hello in time")
            }
            LinkState::Open(open) => {
                if self.is_stopping && !open.has_ended_credit {
                    open.has_ended_credit = true;
                    let ready = ReadyMessage {
                        free: 0,
                        queues: Some(&self.settings.queues),
                        kinds: &self.settings.kinds,
                        lease_ms: None,
                        about: None,
                        held: None,
                    };
                    open.write(json(&ready));
                }
                open.flush(now, attempts);
                if now < open.next_beat {
                    None
                } else {
                    open.next_beat = now + self.heartbeat.min(self.lease / 3);
                    let broken = open.is_broken(now);
                    open.beat(now, self.lease, attempts);
                    broken
                }
            }
        };
        why.map_or(Ok(()), |why| self.closed(0, why, attempts))
    }

    fn due(&self) -> Instant {
        match &self.state {
            LinkState::Waiting(until) => *until,
            LinkState::Opening(_) | LinkState::Ended => Instant::now() + GREETING,
            LinkState::Open(open) => {
                open.notes_due.map_or(open.next_beat, |due| due.min(open.next_beat))
            }
        }
    }

    fn end_claims(&mut self, _: &mut Attempts) {
        self.is_stopping = true;
    }

    fn unconfirmed(&self) -> usize {
        match &self.state {
            LinkState::Open(open) => {
                open.unanswered.iter().map(|sent| sent.batch.settle_count()).sum()
            }
            LinkState::Waiting(_) | LinkState::Opening(_) | LinkState::Ended => 0,
        }
    }

    fn sign_off(&mut self) {
        self.is_signing_off = true;
        match &mut self.state {
            LinkState::Open(open) => open.write(BYE.to_owned()),
            LinkState::Waiting(_) | LinkState::Opening(_) | LinkState::Ended => {
                self.state = LinkState::Ended;
            }
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, LinkState::Ended)
    }
}

impl OpenConnection {
    /// Writes a message; `next` sends it.
    fn write(&mut self, text: String) {
        // What cannot be written is noticed by the next read.
        let _ = Pin::new(&mut self.socket).start_send(Message::text(text));
        self.is_unflushed = true;
    }

    async fn next(&mut self) -> SocketArrival {
        poll_fn(|cx| {
            if self.is_unflushed
                && let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(cx)
            {
                self.is_unflushed = false;
                if let Err(error) = flushed {
                    return Poll::Ready(SocketArrival::failed(&error));
                }
            }
            Poll::Ready(match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => SocketArrival::Text(text),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.as_ref().map_or(0, |frame| frame.code.into());
                    let reason = frame.map(|frame| frame.reason.to_string()).unwrap_or_default();
                    let why = format!("the server closed the connection ({code} {reason})");
                    SocketArrival::Closed { code, why }
                }
                Some(Ok(_)) => SocketArrival::Control,
                Some(Err(error)) => SocketArrival::failed(&error),
                None => {
                    SocketArrival::Closed { code: 0, why: "the connection was lost".to_owned() }
                }
            })
        })
        .await
    }

    /// Sends what is ready. Notes alone wait a little for others.
    fn flush(&mut self, now: Instant, attempts: &mut Attempts) {
        if attempts.outbox.has_only_notes() {
            let due = *self.notes_due.get_or_insert(now + NOTE_DELAY);
            if now < due {
                return;
            }
        }
        self.notes_due = None;
        while self.unanswered.len() < MAX_UNANSWERED {
            let Some(batch) = attempts.outbox.take() else { return };
            self.update(now, batch.parts().message(self.last_id + 1), batch);
        }
    }

    fn update(&mut self, now: Instant, message: String, batch: UpdateBatch) {
        self.last_id += 1;
        self.unanswered.push_back(SentUpdate { id: self.last_id, batch, sent_at: now });
        self.write(message);
    }

    /// Takes the update with this number, which the server has answered.
    fn take_unanswered(&mut self, id: Option<u64>) -> Option<UpdateBatch> {
        let n = self.unanswered.iter().position(|sent| Some(sent.id) == id)?;
        self.unanswered.remove(n).map(|sent| sent.batch)
    }

    /// Extends all leases.
    fn beat(&mut self, now: Instant, lease: Duration, attempts: &Attempts) {
        self.unheard += 1;
        let leases = attempts.leases();
        if leases.is_empty() {
            return self.write(PING.to_owned());
        }
        for extend in leases.chunks(MAX_ENTRIES) {
            let parts = UpdateParts { extend, lease: Some(lease), ..UpdateParts::default() };
            self.update(now, parts.message(self.last_id + 1), UpdateBatch::default());
        }
    }

    fn is_broken(&self, now: Instant) -> Option<&'static str> {
        if self.unheard >= MAX_UNHEARD {
            return Some("the server has been silent");
        }
        let oldest = self.unanswered.front()?;
        (now > oldest.sent_at + ANSWER).then_some("the server does not answer updates")
    }
}

impl SocketArrival {
    fn failed(error: &SocketError) -> SocketArrival {
        let why = format!("the connection failed: {}", crate::client::error::causes(error));
        SocketArrival::Closed { code: 0, why }
    }
}
