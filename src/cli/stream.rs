//! A subscription to the event stream that reconnects after random delays, resumes from its cursor, and drops events
//! that it has seen before.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Upgraded;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::CliError;
use super::api::{ApiClient, OpenError};
use crate::job::hidden::printable;
use crate::job::{Cursor, causes};

/// What a subscription returns.
#[derive(Debug)]
pub enum StreamItem {
    /// An event, as the server wrote it.
    Event(Box<RawValue>),
    /// The log does not reach back to the cursor; the events in between are missing.
    Gap {
        /// The cursor before the gap.
        from: Cursor,
        /// The cursor after the gap.
        to: Cursor,
    },
    /// The connection was lost; the next call reconnects after the delay.
    Lost {
        /// The reason, for people.
        why: String,
        /// The delay before the next attempt.
        delay: Duration,
    },
}

/// A subscription to the event stream of a server.
pub struct EventSubscription {
    api: ApiClient,
    /// The filter as pairs of the query string.
    filter: Vec<(&'static str, String)>,
    /// Every event up to here has been received.
    cursor: Option<Cursor>,
    socket: Option<WebSocketStream<Upgraded>>,
    /// Items that were received and not returned yet.
    pending: VecDeque<StreamItem>,
    reconnect: ReconnectDelay,
    /// The connection is considered dead after this time without a message.
    silence_timeout: Duration,
}

/// A message of the server, with the fields of all types: a tagged enum cannot hold raw values. Fields that a type does
/// not have stay empty. Types and fields that this client does not know are ignored.
#[derive(Default, Deserialize)]
#[serde(default)]
struct StreamMessage {
    r#type: String,
    cursor: String,
    heartbeat_ms: u64,
    events: Vec<Box<RawValue>>,
    from: String,
    to: String,
    retry_ms: u64,
}

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

impl EventSubscription {
    /// Creates a subscription that begins after `after`, or now.
    pub fn new(api: ApiClient, filter: Vec<(&'static str, String)>, after: Option<Cursor>) -> Self {
        EventSubscription {
            api,
            filter,
            cursor: after,
            socket: None,
            pending: VecDeque::new(),
            reconnect: ReconnectDelay::default(),
            silence_timeout: Duration::from_secs(30),
        }
    }

    /// Returns the next item. If the future is dropped before it is ready, no item is lost, but a connection that is
    /// being opened is.
    ///
    /// # Errors
    /// When the server refuses the subscription, so that retrying is pointless: wrong token, invalid filter, no such path.
    pub async fn next(&mut self) -> Result<StreamItem, CliError> {
        loop {
            if let Some(item) = self.pending.pop_front() {
                return Ok(item);
            }
            let Some(socket) = &mut self.socket else {
                if let Some(lost) = self.connect().await? {
                    return Ok(lost);
                }
                continue;
            };
            let why = match timeout(self.silence_timeout, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => match self.take(&text) {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                Ok(Some(Ok(Message::Close(frame)))) => {
                    // Completes the closing handshake; the connection has ended in any case.
                    socket.flush().await.ok();
                    let reason = frame
                        .map(|frame| format!(" ({}: {})", frame.code, printable(&frame.reason)));
                    format!("the server closed the connection{}", reason.unwrap_or_default())
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => causes(&error),
                Ok(None) => "the connection was lost".to_owned(),
                Err(_) => "the server stopped sending".to_owned(),
            };
            return Ok(self.lost(why, Duration::ZERO));
        }
    }

    /// Connects. Returns `None` when connected, and otherwise the item that says why not.
    async fn connect(&mut self) -> Result<Option<StreamItem>, CliError> {
        tokio::time::sleep(self.reconnect.take_delay()).await;
        let cursor = self.cursor.map(|cursor| ("after", cursor.to_string()));
        let query: Vec<(&str, String)> = self.filter.iter().cloned().chain(cursor).collect();
        let opening = self.api.open_socket("/api/v1/ws", &query);
        match timeout(Duration::from_secs(10), opening).await {
            Ok(Ok(socket)) => {
                self.socket = Some(socket);
                Ok(None)
            }
            Ok(Err(OpenError::Refused(why))) => Err(why),
            Ok(Err(OpenError::Failed { why, after })) => Ok(Some(self.lost(why, after))),
            Err(_) => {
                let why = "connecting to the server timed out".to_owned();
                Ok(Some(self.lost(why, Duration::ZERO)))
            }
        }
    }

    /// Plans the next attempt to connect, not before the delay that the server has asked for.
    fn lost(&mut self, why: String, after: Duration) -> StreamItem {
        self.socket = None;
        StreamItem::Lost { why, delay: self.reconnect.plan(after) }
    }

    /// Handles one message; the error says what is wrong with it.
    fn take(&mut self, text: &str) -> Result<(), String> {
        let message: StreamMessage = serde_json::from_str(text)
            .map_err(|error| format!("the server sent an invalid message: {error}"))?;
        match message.r#type.as_str() {
            "hello" => {
                self.reconnect = ReconnectDelay::default();
                self.silence_timeout = Duration::from_millis(message.heartbeat_ms.max(1_000)) * 3;
                self.cursor = Some(self.cursor.unwrap_or(message.cursor.parse()?));
            }
            "events" => {
                let cursor: Cursor = message.cursor.parse()?;
                let seen = self.cursor.filter(|seen| seen.epoch == cursor.epoch);
                for event in message.events {
                    let numbered: Numbered =
                        serde_json::from_str(event.get()).map_err(|error| {
                            format!("the server sent an event without a number: {error}")
                        })?;
                    if seen.is_none_or(|seen| numbered.seq > seen.seq) {
                        self.pending.push_back(StreamItem::Event(event));
                    }
                }
                self.cursor = Some(cursor);
            }
            "gap" => {
                let (from, to) = (message.from.parse()?, message.to.parse()?);
                self.cursor = Some(to);
                self.pending.push_back(StreamItem::Gap { from, to });
            }
            "mark" => self.cursor = Some(message.cursor.parse()?),
            "bye" => self.reconnect.requested = Some(Duration::from_millis(message.retry_ms)),
            _ => {} // not needed here
        }
        Ok(())
    }
}

/// The delay before the next attempt to connect. It is random up to a bound: at first the one that the server has asked
/// for, and then one that doubles up to half a minute.
#[derive(Debug, Default)]
struct ReconnectDelay {
    /// The bound from `bye`.
    requested: Option<Duration>,
    failures: u32,
    /// The delay that was chosen and not taken yet.
    delay: Duration,
}

impl ReconnectDelay {
    /// Chooses the next delay, which is at least `after`. What the server asks for comes on top of a random delay, so that
    /// its clients do not come back at once.
    fn plan(&mut self, after: Duration) -> Duration {
        let doubled = Duration::from_millis(1_000 << self.failures.min(5)).min(MAX_DELAY);
        let bound = self.requested.take().unwrap_or(doubled).min(MAX_DELAY);
        self.failures += 1;
        self.delay = after + bound.mul_f64(fastrand::f64());
        self.delay
    }

    fn take_delay(&mut self) -> Duration {
        std::mem::take(&mut self.delay)
    }
}

/// The largest bound.
const MAX_DELAY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::config::ClientArgs;

    #[test]
    fn waits_are_random_below_a_bound_that_grows_and_a_bye_sets_the_first() {
        let mut delay = ReconnectDelay {
            requested: Some(Duration::from_millis(10)),
            ..ReconnectDelay::default()
        };
        assert!(delay.plan(Duration::ZERO) <= Duration::from_millis(10));
        for failures in 1..200 {
            assert_eq!(delay.failures, failures);
            let bound = Duration::from_secs(1 << failures.min(5)).min(MAX_DELAY);
            assert!(delay.plan(Duration::ZERO) <= bound);
            let asked = Duration::from_secs(7);
            let mut other = ReconnectDelay { failures, ..ReconnectDelay::default() };
            assert!((asked..=asked + bound).contains(&other.plan(asked)));
        }
        assert!(delay.take_delay() <= MAX_DELAY);
        assert_eq!(delay.take_delay(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_server_that_is_too_busy_says_when_to_come_back() {
        for (head, least, most) in [
            ("429 Too Many Requests\r\nretry-after: 3", 3, 4),
            ("503 Service Unavailable\r\nRetry-After: 7", 7, 8),
            ("429 Too Many Requests\r\nretry-after: soon", 0, 1),
            ("429 Too Many Requests\r\nretry-after: 99999999999", 600, 601),
            ("429 Too Many Requests", 0, 1),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = format!("http://{}", listener.local_addr().unwrap());
            let api = ApiClient::new(&ClientArgs::of(server.parse().unwrap())).unwrap();
            let answer = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4_096];
                assert!(stream.read(&mut request).await.unwrap() > 0);
                let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream
            };
            let mut events = EventSubscription::new(api, Vec::new(), None);
            let (item, _stream) = tokio::join!(events.next(), answer);
            let StreamItem::Lost { delay, .. } = item.unwrap() else { panic!("{head}") };
            let bounds = Duration::from_secs(least)..=Duration::from_secs(most);
            assert!(bounds.contains(&delay), "{head}: {delay:?}");
        }
    }
}
