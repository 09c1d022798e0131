//! The event stream (`docs/stream.md`) over server-sent events: each event comes with its own cursor.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::{ACCEPT, HeaderName};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::RandomBackoff;
use super::error::ClientError;
use super::http::ServerApi;

const RECONNECT_BASE: Duration = Duration::from_millis(250);
const RECONNECT_CAP: Duration = Duration::from_secs(30);
/// The longest silence before the first message says how long one may be.
const FIRST_SILENCE: Duration = Duration::from_secs(30);
/// A connection counts as broken after this many of the longest silences that the server allows itself.
const SILENCES: f64 = 2.5;
/// A message that is longer is not one of the server.
const MAX_MESSAGE: usize = 4 << 20;

/// Which events pass. Several values of one field mean "any of"; an event must match all fields that are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    pairs: Vec<(&'static str, String)>,
}

impl EventFilter {
    /// Every event passes.
    pub fn all() -> EventFilter {
        EventFilter::default()
    }

    /// Events of this queue and its jobs.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> EventFilter {
        self.with("queue", queue.into())
    }

    /// Events of jobs of this kind.
    #[must_use]
    pub fn kind(self, kind: impl Into<String>) -> EventFilter {
        self.with("kind", kind.into())
    }

    /// Events of this job.
    #[must_use]
    pub fn job(self, id: impl Into<String>) -> EventFilter {
        self.with("job", id.into())
    }

    /// Events of jobs with this tag.
    #[must_use]
    pub fn tag(self, tag: impl Into<String>) -> EventFilter {
        self.with("tag", tag.into())
    }

    /// Events of this type; `job.*` means all types that begin like this.
    #[must_use]
    pub fn event_type(self, name: impl Into<String>) -> EventFilter {
        self.with("type", name.into())
    }

    /// Events that somebody caused, such as `user:anna`.
    #[must_use]
    pub fn by(self, actor: impl Into<String>) -> EventFilter {
        self.with("by", actor.into())
    }

    fn with(mut self, name: &'static str, value: String) -> EventFilter {
        self.pairs.push((name, value));
        self
    }

    fn path(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.pairs);
        let query = query.finish();
        if query.is_empty() { EVENTS.to_owned() } else { format!("{EVENTS}?{query}") }
    }
}

const EVENTS: &str = "/api/v1/events";

/// What a subscription yields.
#[derive(Debug, Clone)]
pub enum TailItem {
    /// An event.
    Event(StreamedEvent),
    /// The log does not reach back to the cursor: read the lists again, and continue with the events that follow.
    Gap {
        /// The cursor before the gap.
        from: String,
        /// The cursor after the gap.
        to: String,
    },
}

/// An event of the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamedEvent {
    /// Its number.
    pub seq: u64,
    /// Its type, such as `job.completed`. A newer server may send types that are not documented yet.
    pub event_type: String,
    /// The whole event, as the server wrote it.
    pub json: Box<RawValue>,
}

impl StreamedEvent {
    /// Reads the whole event.
    ///
    /// # Errors
    /// The event is not of this type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.json.get())
    }
}

/// The events after a cursor. It reconnects by itself and resumes at its cursor.
#[must_use = "events are read by `next`"]
pub struct EventTail {
    api: ServerApi,
    filter: EventFilter,
    /// Every item up to here was returned.
    cursor: Option<String>,
    link: TailLink,
    /// Items that have arrived and were not returned, each with the cursor after it. An item of `None` only moves the
    /// cursor.
    arrived: VecDeque<(Option<String>, Option<TailItem>)>,
    backoff: RandomBackoff,
    /// The bound of the delay that the server asked for.
    retry: Option<Duration>,
    silence: Duration,
}

type OpeningResponse = Pin<Box<dyn Future<Output = Result<Response, ClientError>> + Send>>;

enum TailLink {
    Waiting { until: Instant },
    Opening(OpeningResponse),
    Open { response: Box<Response>, buffer: Vec<u8> },
}

impl EventTail {
    pub(super) fn new(api: ServerApi, filter: EventFilter) -> EventTail {
        EventTail {
            api,
            filter,
            cursor: None,
            link: TailLink::Waiting { until: Instant::now() },
            arrived: VecDeque::new(),
            backoff: RandomBackoff::new(RECONNECT_BASE, RECONNECT_CAP),
            retry: None,
            silence: FIRST_SILENCE,
        }
    }

    /// Begins after a cursor: the one of a list, or [`EventTail::cursor`] of an earlier subscription.
    pub fn after(mut self, cursor: impl Into<String>) -> EventTail {
        self.cursor = Some(cursor.into()).filter(|cursor| !cursor.is_empty());
        self
    }

    /// The position after the last item that was returned. Keep it, and begin after it the next time.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Returns the next item. If the future is dropped before it is ready, nothing is lost.
    ///
    /// # Errors
    /// The server refuses the subscription, so that trying again is pointless: a wrong token, an invalid filter.
    pub async fn next(&mut self) -> Result<TailItem, ClientError> {
        loop {
            while let Some((cursor, item)) = self.arrived.pop_front() {
                self.cursor = cursor.or(self.cursor.take());
                if let Some(item) = item {
                    return Ok(item);
                }
            }
            if let Err(error) = self.advance().await {
                self.link = TailLink::Waiting { until: Instant::now() };
                if error.is_permanent() {
                    return Err(error);
                }
                let asked = self.retry.take().map(|most| most.mul_f64(fastrand::f64()));
                let delay = asked.unwrap_or_else(|| self.backoff.next_delay());
                let delay = delay.max(error.retry_after());
                tracing::debug!("the event stream ended: {error}; connecting again in {delay:?}");
                self.link = TailLink::Waiting { until: Instant::now() + delay };
            }
        }
    }

    /// Takes one step: waits, connects, or reads a piece.
    async fn advance(&mut self) -> Result<(), ClientError> {
        match &mut self.link {
            TailLink::Waiting { until } => {
                sleep_until(*until).await;
                let (api, path) = (self.api.clone(), self.filter.path());
                let mut headers = vec![(ACCEPT, "text/event-stream".to_owned())];
                if let Some(cursor) = &self.cursor {
                    headers.push((HeaderName::from_static("last-event-id"), cursor.clone()));
                }
                self.silence = FIRST_SILENCE;
                let opening = async move {
                    match timeout(FIRST_SILENCE, api.open_stream(&path, headers)).await {
                        Ok(opened) => opened,
                        Err(_) => Err(ClientError::broken("connecting to the server timed out")),
                    }
                };
                self.link = TailLink::Opening(Box::pin(opening));
            }
            TailLink::Opening(opening) => {
                let response = Box::new(opening.await?);
                self.link = TailLink::Open { response, buffer: Vec::new() };
            }
            TailLink::Open { response, buffer } => {
                let piece = timeout(self.silence, response.chunk()).await;
                let piece = piece.map_err(|_| ClientError::broken("the server stopped sending"))?;
                let piece = piece.map_err(ClientError::unreachable)?;
                let piece = piece.ok_or_else(|| ClientError::broken("the stream has ended"))?;
                buffer.extend_from_slice(&piece);
                if buffer.len() > MAX_MESSAGE {
                    return Err(ClientError::InvalidAnswer("a message is too long".to_owned()));
                }
                let messages = take_messages(buffer)?;
                self.take(messages)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, messages: Vec<SseMessage>) -> Result<(), ClientError> {
        for message in messages {
            self.backoff.reset();
            self.retry = message.retry.or(self.retry);
            let item = match (message.name.as_deref(), &message.data) {
                (None, Some(data)) => Some(TailItem::Event(event(data)?)),
                (Some("gap"), Some(data)) => {
                    let GapData { from, to } = parse(data)?;
                    Some(TailItem::Gap { from, to })
                }
                (Some("hello" | "bye"), Some(data)) => {
                    let data: StreamData = parse(data)?;
                    if let Some(heartbeat) = data.heartbeat_ms.filter(|it| *it > 0) {
                        self.silence = Duration::from_millis(heartbeat).mul_f64(SILENCES);
                    }
                    self.retry = data.retry_ms.map(Duration::from_millis).or(self.retry);
                    None
                }
                (Some(_), _) | (None, None) => None,
            };
            self.arrived.push_back((message.id, item));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct GapData {
    from: String,
    to: String,
}

#[derive(Deserialize)]
struct StreamData {
    heartbeat_ms: Option<u64>,
    retry_ms: Option<u64>,
}

#[derive(Deserialize)]
struct EventHead {
    seq: u64,
    r#type: String,
}

fn event(data: &str) -> Result<StreamedEvent, ClientError> {
    let EventHead { seq, r#type: event_type } = parse(data)?;
    let json = RawValue::from_string(data.to_owned());
    let json = json.map_err(|error| ClientError::InvalidAnswer(error.to_string()))?;
    Ok(StreamedEvent { seq, event_type, json })
}

fn parse<T: DeserializeOwned>(data: &str) -> Result<T, ClientError> {
    serde_json::from_str(data).map_err(|error| ClientError::InvalidAnswer(error.to_string()))
}

/// A message of the stream.
#[derive(Debug, Default, PartialEq)]
struct SseMessage {
    name: Option<String>,
    id: Option<String>,
    data: Option<String>,
    retry: Option<Duration>,
}

/// Removes the complete messages from the beginning of a buffer.
fn take_messages(buffer: &mut Vec<u8>) -> Result<Vec<SseMessage>, ClientError> {
    let Some(end) = buffer.windows(2).rposition(|pair| pair == b"\n\n") else {
        return Ok(Vec::new());
    };
    let rest = buffer.split_off(end + 2);
    let text = String::from_utf8(std::mem::replace(buffer, rest));
    let text = text.map_err(|error| ClientError::InvalidAnswer(error.to_string()))?;
    Ok(text.split("\n\n").filter(|message| !message.is_empty()).map(message).collect())
}

fn message(text: &str) -> SseMessage {
    let mut message = SseMessage::default();
    for line in text.lines() {
        // A line without a name is a comment.
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "event" => message.name = Some(value),
            "id" => message.id = Some(value),
            "retry" => message.retry = value.parse().ok().map(Duration::from_millis),
            "data" => match &mut message.data {
                Some(data) => data.extend(["\n", &value]),
                None => message.data = Some(value),
            },
            _ => {}
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_whatever_pieces_they_arrive_in() {
        let text = "retry: 1312\nevent: hello\nid: a:1\ndata: {\"x\":1}\n\n: comment\n\nid: a:2\ndata: {\"seq\":2}\n\n";
        let mut whole = Vec::new();
        let mut buffer = Vec::new();
        for byte in text.bytes() {
            buffer.push(byte);
            whole.extend(take_messages(&mut buffer).unwrap());
        }
        assert!(buffer.is_empty());
        assert_eq!(take_messages(&mut text.as_bytes().to_vec()).unwrap(), whole);
        let [hello, comment, event] = &whole[..] else { panic!("{whole:?}") };
        assert_eq!(
            (hello.name.as_deref(), hello.retry),
            (Some("hello"), Some(Duration::from_millis(1312)))
        );
        assert_eq!(*comment, SseMessage::default());
        assert_eq!(
            (event.id.as_deref(), event.data.as_deref()),
            (Some("a:2"), Some("{\"seq\":2}"))
        );
    }

    #[test]
    fn a_filter_becomes_a_query() {
        assert_eq!(EventFilter::all().path(), "/api/v1/events");
        let filter =
            EventFilter::all().event_type("job.*").queue("mail").queue("a:b").tag("blue sky");
        assert_eq!(filter.path(), "/api/v1/events?type=job.*&queue=mail&queue=a%3Ab&tag=blue+sky");
    }
}
