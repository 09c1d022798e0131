//! The event stream as server-sent events (HTML standard, "Server-sent events"): what a WebSocket says,
//! for clients that only speak HTTP. `id` is the cursor, so `Last-Event-ID` resumes.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::feed::{Delivery, Feed};
use super::protocol::{ServerInfo, ServerMessage};
use super::streaming_body::lasting;
use crate::engine::{Batch, EngineError, Transport};
use crate::http::api::query::StreamQuery;
use crate::http::view;
use crate::http::view::{Shown, millis, to_json};
use crate::http::{Api, Limits, Problem, Seat};
use crate::job::{Cursor, Filter};

/// Each event is one message without a name: its `data` is the event. All else that the server says is a
/// message named after its type, with the same JSON as on the WebSocket. Begins after `Last-Event-ID`,
/// else after `after`, else now.
pub fn stream(
    api: &Api,
    peer: SocketAddr,
    headers: &HeaderMap,
    wanted: StreamQuery,
) -> Result<Response, Problem> {
    let after = last_event_id(headers)?.or(wanted.after);
    let seat = api.admit(peer, Transport::EventStream)?;
    let limits = api.limits.clone();
    let teller = Teller {
        feed: api.feed(after),
        filter: wanted.filter,
        draining: api.engine.shutdown().draining.clone(),
        stage: Stage::Opening,
        mark_at: Instant::now() + limits.subscriber_mark,
        limits,
        _seat: seat,
    };
    let body = futures_util::stream::unfold(teller, async |mut teller| {
        let text = teller.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), teller))
    });
    Ok(lasting("text/event-stream", body))
}

/// Where a client that comes back was; an empty id is none.
fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor>, Problem> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let id = id.to_str().unwrap_or("?");
    if id.is_empty() {
        return Ok(None);
    }
    id.parse().map(Some).map_err(|error: String| Problem::invalid_parameter(error))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has been said.
    Opening,
    /// Events come.
    Telling,
    /// Events come, and the client knows that the server stops.
    Draining,
    /// The last word has been said.
    Over,
}

/// One subscriber's stream, message by message.
struct Teller {
    feed: Feed,
    filter: Filter,
    limits: Arc<Limits>,
    draining: CancellationToken,
    stage: Stage,
    /// When silence must be broken.
    mark_at: Instant,
    _seat: Seat,
}

/// A chunk that reached this many bytes is sent before more is added.
const ENOUGH: usize = 64 * 1_024;

impl Teller {
    /// What to send next; `None` after the last word.
    async fn next(&mut self) -> Option<String> {
        match self.stage {
            Stage::Opening => {
                self.stage = Stage::Telling;
                return Some(self.hello());
            }
            Stage::Telling | Stage::Draining => {}
            Stage::Over => return None,
        }
        self.mark_at = Instant::now() + self.limits.subscriber_mark;
        loop {
            tokio::select! {
                biased;
                () = self.draining.cancelled(), if self.stage == Stage::Telling => {
                    self.stage = Stage::Draining;
                    return Some(self.named(&ServerMessage::Draining { grace_ms: self.limits.grace_ms() }));
                }
                () = sleep_until(self.mark_at) => {
                    let cursor = Shown(self.feed.cursor());
                    return Some(self.named(&ServerMessage::Mark { cursor }));
                }
                delivery = self.feed.next() => {
                    let text = self.tell(delivery);
                    if !text.is_empty() {
                        return Some(text);
                    }
                }
            }
        }
    }

    fn hello(&self) -> String {
        let cursor = self.feed.cursor();
        let hello = ServerMessage::Hello {
            epoch: format!("{:08x}", cursor.epoch.0),
            cursor: Shown(cursor),
            heartbeat_ms: millis(self.limits.subscriber_mark),
            server: ServerInfo::THIS,
        };
        self.retry() + &self.named(&hello)
    }

    /// How long this client waits before it comes back. Browsers add no jitter of their own.
    fn retry(&self) -> String {
        let longest = self.limits.retry_ms().max(1);
        format!("retry: {}\n", fastrand::u64(longest.div_ceil(4)..=longest))
    }

    /// What came, together with what waits behind it; empty when the filter lets nothing through.
    fn tell(&mut self, delivery: Result<Delivery, EngineError>) -> String {
        match delivery {
            Ok(Delivery::Events { batch, after }) => {
                let mut text = String::new();
                self.add(&mut text, &batch, after);
                while text.len() < ENOUGH
                    && let Some(Delivery::Events { batch, after }) = self.feed.next_ready()
                {
                    self.add(&mut text, &batch, after);
                }
                text
            }
            Ok(Delivery::Gap { from, to }) => {
                self.named(&ServerMessage::Gap { from: Shown(from), to: Shown(to) })
            }
            Ok(Delivery::Ended) => self.bye("stopping"),
            Err(error) => {
                tracing::warn!(%error, "cannot read the event log for a subscriber");
                self.bye("the event log cannot be read")
            }
        }
    }

    fn add(&self, text: &mut String, batch: &Batch, after: u64) {
        let epoch = batch.epoch;
        for (at, event) in batch.events.iter().enumerate() {
            if event.seq <= after || !self.filter.matches(event) {
                continue;
            }
            let Some(data) = batch.encoded(view::event_json).get(at) else { continue };
            let id = Cursor { epoch, seq: event.seq };
            // Writing to a String cannot fail.
            let _ = write!(text, "id: {id}\ndata: {data}\n\n");
        }
    }

    fn bye(&mut self, why: &str) -> String {
        self.stage = Stage::Over;
        let retry_ms = self.limits.retry_ms();
        self.retry() + &self.named(&ServerMessage::Bye { why, retry_ms })
    }

    /// A message of its own name. Carries where the stream is, so that a filter that lets little through
    /// costs no long way back.
    fn named(&self, message: &ServerMessage<'_>) -> String {
        let (name, id) = (message.name(), self.feed.cursor());
        format!("event: {name}\nid: {id}\ndata: {}\n\n", to_json(message))
    }
}
