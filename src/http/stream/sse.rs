//! The event stream as server-sent events (HTML standard, "Server-sent events"): the messages of the WebSocket, for
//! clients that only support HTTP. The `id` is the cursor, so a client resumes with `Last-Event-ID`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Bytes;
use axum::response::Response;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::admission::SubscriberPermit;
use super::feed::{Delivery, Feed};
use super::next_stats::next_stats;
use super::protocol::{ServerInfo, ServerMessage};
use super::reader::StreamReader;
use super::streaming_body::streaming_response;
use crate::engine::{Batch, Engine, LiveStats, StoreError, Transport};
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::api::query::StreamQuery;
use crate::http::view;
use crate::http::view::{Displayed, millis, to_json};
use crate::http::{Api, HttpLimits, Problem};
use crate::job::{Cursor, Filter};

/// Streams events to one client. Each event is a message without a name whose `data` is the event. Every other message
/// of the server is named after its type and has the same JSON as on a WebSocket.
pub fn stream(api: &Api, reader: StreamReader, query: StreamQuery) -> Result<Response, Problem> {
    let StreamReader { peer, scope, watch } = reader;
    let permit = api.admit(peer, Transport::EventStream)?;
    let limits = api.limits.clone();
    let stream = EventStream {
        feed: api.feed(query.after),
        filter: scope.readable(query.filter),
        scope,
        watch,
        stats: query.stats.then(|| api.engine.live_stats()),
        stats_seq: 0,
        engine: api.engine.clone(),
        draining: api.engine.shutdown().draining.clone(),
        state: StreamState::NotStarted,
        mark_at: Instant::now() + limits.subscriber_mark,
        limits,
        _permit: permit,
    };
    let body = futures_util::stream::unfold(stream, async |mut stream| {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), stream))
    });
    Ok(streaming_response("text/event-stream", body))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamState {
    /// Nothing has been sent.
    NotStarted,
    /// Events are sent.
    Streaming,
    /// Events are sent, and the client was told that the server is stopping.
    Draining,
    /// The last message has been sent.
    Ended,
}

/// The stream of one client, chunk by chunk.
struct EventStream {
    feed: Feed,
    filter: Filter,
    /// The events that the client may see.
    scope: JobScope,
    /// The credentials of the client, whose end ends the stream.
    watch: AccessWatch,
    /// The live statistics, if the client asked for them.
    stats: Option<watch::Receiver<Option<Arc<LiveStats>>>>,
    /// The position of the last statistics that were sent. The client is told when it has reached it.
    stats_seq: u64,
    engine: Engine,
    limits: Arc<HttpLimits>,
    draining: CancellationToken,
    state: StreamState,
    /// When a `mark` is due as a heartbeat.
    mark_at: Instant,
    _permit: SubscriberPermit,
}

/// The size in bytes at which a chunk is sent.
const FULL_CHUNK: usize = 64 * 1_024;

impl EventStream {
    /// Returns the next chunk of the body; `None` after the last message.
    async fn next(&mut self) -> Option<String> {
        match self.state {
            StreamState::NotStarted => {
                self.state = StreamState::Streaming;
                return Some(self.hello());
            }
            StreamState::Streaming | StreamState::Draining => {}
            StreamState::Ended => return None,
        }
        self.mark_at = Instant::now() + self.limits.subscriber_mark;
        loop {
            tokio::select! {
                biased;
                () = self.draining.cancelled(), if self.state == StreamState::Streaming => {
                    self.state = StreamState::Draining;
                    return Some(self.named(&ServerMessage::Draining { grace_ms: self.limits.grace_ms() }));
                }
                () = self.watch.ended() => {
                    let why = self.watch.reason();
                    return Some(self.bye(why));
                }
                () = sleep_until(self.mark_at) => {
                    let cursor = Displayed(self.feed.cursor());
                    return Some(self.named(&ServerMessage::Mark { cursor }));
                }
                () = next_stats(&mut self.stats) => {
                    if let Some(text) = self.newest_stats() {
                        return Some(text);
                    }
                }
                delivery = self.feed.next() => {
                    let text = self.format(delivery);
                    let has_reached = self.feed.cursor().seq >= self.stats_seq;
                    if !text.is_empty() {
                        return Some(text);
                    }
                    if self.stats_seq > 0 && has_reached {
                        self.stats_seq = 0;
                        let cursor = Displayed(self.feed.cursor());
                        return Some(self.named(&ServerMessage::Mark { cursor }));
                    }
                }
            }
        }
    }

    /// The first message, preceded by the retry delay.
    fn hello(&self) -> String {
        let cursor = self.feed.cursor();
        let hello = ServerMessage::Hello {
            epoch: format!("{:08x}", cursor.epoch.0),
            cursor: Displayed(cursor),
            heartbeat_ms: millis(self.limits.subscriber_mark),
            server: ServerInfo::THIS,
        };
        self.retry() + &self.named(&hello)
    }

    /// A random delay before this client reconnects; browsers add no jitter of their own.
    fn retry(&self) -> String {
        let longest = self.limits.retry_ms().max(1);
        format!("retry: {}\n", fastrand::u64(longest.div_ceil(4)..=longest))
    }

    /// The newest statistics as a message; `None` when there are none yet.
    fn newest_stats(&mut self) -> Option<String> {
        let newest = self.stats.as_mut()?.borrow_and_update().clone()?;
        let cursor = self.feed.cursor();
        self.stats_seq =
            if newest.stats.cursor.seq > cursor.seq { newest.stats.cursor.seq } else { 0 };
        let config = self.engine.config();
        let data = newest.encoded(|stats| view::stats_message(stats, config));
        Some(format!("event: stats\nid: {cursor}\ndata: {data}\n\n"))
    }

    /// Formats a delivery together with those that have arrived after it; empty when no event passes the filter.
    fn format(&mut self, delivery: Result<Delivery, StoreError>) -> String {
        match delivery {
            Ok(Delivery::Events { batch, after }) => {
                let mut text = String::new();
                self.add(&mut text, &batch, after);
                while text.len() < FULL_CHUNK
                    && let Some(Delivery::Events { batch, after }) = self.feed.next_ready()
                {
                    self.add(&mut text, &batch, after);
                }
                text
            }
            Ok(Delivery::Gap { from, to }) => {
                self.named(&ServerMessage::Gap { from: Displayed(from), to: Displayed(to) })
            }
            Ok(Delivery::Ended) => self.bye("stopping"),
            Err(error) => {
                tracing::warn!(%error, "reading the event log for a subscriber failed");
                self.bye("the event log cannot be read")
            }
        }
    }

    /// Appends the events of a batch that pass the filter.
    fn add(&self, text: &mut String, batch: &Batch, after: u64) {
        let epoch = batch.epoch;
        for (at, event) in batch.events.iter().enumerate() {
            if event.seq <= after || !self.filter.matches(event) || !self.scope.shows(event) {
                continue;
            }
            let own = self.scope.own_json(event);
            let shared = || batch.encoded(view::event_json).get(at).map(|text| &**text);
            let Some(data) = own.as_deref().or_else(shared) else { continue };
            let id = Cursor { epoch, seq: event.seq };
            // Writing to a String cannot fail.
            let _ = write!(text, "id: {id}\ndata: {data}\n\n");
        }
    }

    /// The last message, preceded by the retry delay.
    fn bye(&mut self, why: &str) -> String {
        self.state = StreamState::Ended;
        let retry_ms = self.limits.retry_ms();
        self.retry() + &self.named(&ServerMessage::Bye { why, retry_ms })
    }

    /// A message with a name. Its `id` is the current cursor, so that a client whose filter few events pass need not go
    /// far back when it reconnects.
    fn named(&self, message: &ServerMessage<'_>) -> String {
        let (name, id) = (message.name(), self.feed.cursor());
        format!("event: {name}\nid: {id}\ndata: {}\n\n", to_json(message))
    }
}
