//! A subscription that never gives up: reconnects with jittered waits, resumes from its cursor, and
//! drops what it has seen before.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::Failed;
use super::api::{Api, causes, refusal};
use crate::job::Cursor;

/// What the stream brings.
#[derive(Debug)]
pub enum Item {
    /// An event, as the server wrote it.
    Event(Box<RawValue>),
    /// Events between the two places are lost to us: the log does not reach back.
    Gap {
        /// Where we were.
        from: Cursor,
        /// Where we are.
        to: Cursor,
    },
    /// The connection ended; the next attempt is made after the wait.
    Lost {
        /// Why, in words for people.
        why: String,
        /// How long until the next attempt.
        wait: Duration,
    },
}

/// A subscription.
pub struct Stream {
    api: Api,
    /// The filter, as pairs of the query string.
    filter: Vec<(&'static str, String)>,
    /// Everything up to here has been handed out.
    cursor: Option<Cursor>,
    socket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    /// Arrived, not handed out yet.
    waiting: VecDeque<Item>,
    retry: Retry,
    /// No message for so long means a dead connection.
    patience: Duration,
}

/// What the server says, all types in one: raw values do not survive a tagged enum. Fields that a type
/// has not stay empty, and so do types and fields that are newer than this client.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
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

impl Stream {
    /// A subscription that begins after `after`, or now.
    pub fn new(api: Api, filter: Vec<(&'static str, String)>, after: Option<Cursor>) -> Self {
        Stream {
            api,
            filter,
            cursor: after,
            socket: None,
            waiting: VecDeque::new(),
            retry: Retry::default(),
            patience: Duration::from_secs(30),
        }
    }

    /// The next thing to know. Nothing is lost when the future is dropped before it is ready, but for
    /// a connection in the making.
    ///
    /// # Errors
    /// When the server refuses for good: a wrong token, a wrong filter, no such path.
    pub async fn next(&mut self) -> Result<Item, Failed> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(item);
            }
            let Some(socket) = &mut self.socket else {
                if let Some(lost) = self.connect().await? {
                    return Ok(lost);
                }
                continue;
            };
            let why = match timeout(self.patience, socket.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => match self.take(&text) {
                    Ok(()) => continue,
                    Err(why) => why,
                },
                Ok(Some(Ok(Message::Close(frame)))) => {
                    // Sends our half of the closing handshake; the connection is over either way.
                    socket.flush().await.ok();
                    let reason = frame.map(|frame| format!(" ({}: {})", frame.code, frame.reason));
                    format!("the server closed the stream{}", reason.unwrap_or_default())
                }
                Ok(Some(Ok(_))) => continue,
                Ok(Some(Err(error))) => causes(&error),
                Ok(None) => "the connection ended".to_owned(),
                Err(_) => "the server fell silent".to_owned(),
            };
            return Ok(self.lost(why));
        }
    }

    /// `None` when connected.
    async fn connect(&mut self) -> Result<Option<Item>, Failed> {
        tokio::time::sleep(self.retry.take_wait()).await;
        let mut url = self.api.url("/api/v1/ws");
        if url.set_scheme("ws").is_err() || self.api.url("").scheme() == "https" {
            return Err("streams over https are not supported yet".to_owned());
        }
        let cursor = self.cursor.map(|cursor| ("after", cursor.to_string()));
        url.query_pairs_mut().extend_pairs(self.filter.iter().chain(&cursor));
        let mut request = url.as_str().into_client_request().map_err(|error| causes(&error))?;
        if let Some(value) = self.api.authorization() {
            request.headers_mut().insert("authorization", value.clone());
        }
        match timeout(Duration::from_secs(10), connect_async(request)).await {
            Ok(Ok((socket, _))) => {
                self.socket = Some(socket);
                Ok(None)
            }
            Ok(Err(tungstenite::Error::Http(response))) => {
                let status = response.status();
                let body = response.body().as_deref().unwrap_or_default();
                let why = refusal(&status.to_string(), body);
                let for_good = status.is_client_error() && !matches!(status.as_u16(), 408 | 429);
                if for_good { Err(why) } else { Ok(Some(self.lost(why))) }
            }
            Ok(Err(error)) => Ok(Some(self.lost(causes(&error)))),
            Err(_) => Ok(Some(self.lost("the server does not answer".to_owned()))),
        }
    }

    fn lost(&mut self, why: String) -> Item {
        self.socket = None;
        Item::Lost { why, wait: self.retry.plan() }
    }

    /// Takes one message; the error says what is wrong with it.
    fn take(&mut self, text: &str) -> Result<(), String> {
        let said: Said = serde_json::from_str(text)
            .map_err(|error| format!("the server said something that is no message: {error}"))?;
        match said.r#type.as_str() {
            "hello" => {
                self.retry = Retry::default();
                self.patience = Duration::from_millis(said.heartbeat_ms.max(1_000)) * 3;
                self.cursor = Some(self.cursor.unwrap_or(said.cursor.parse()?));
            }
            "events" => {
                let cursor: Cursor = said.cursor.parse()?;
                let seen = self.cursor.filter(|seen| seen.epoch == cursor.epoch);
                for event in said.events {
                    let numbered: Numbered = serde_json::from_str(event.get())
                        .map_err(|error| format!("an event has no number: {error}"))?;
                    if seen.is_none_or(|seen| numbered.seq > seen.seq) {
                        self.waiting.push_back(Item::Event(event));
                    }
                }
                self.cursor = Some(cursor);
            }
            "gap" => {
                let (from, to) = (said.from.parse()?, said.to.parse()?);
                self.cursor = Some(to);
                self.waiting.push_back(Item::Gap { from, to });
            }
            "mark" => self.cursor = Some(said.cursor.parse()?),
            "bye" => self.retry.asked = Some(Duration::from_millis(said.retry_ms)),
            _ => {} // of no interest here
        }
        Ok(())
    }
}

/// When to try again: first at a random moment of what the server asked for, then at a random moment
/// of a bound that doubles up to half a minute.
#[derive(Debug, Default)]
struct Retry {
    /// From `bye`.
    asked: Option<Duration>,
    failures: u32,
    wait: Duration,
}

impl Retry {
    fn plan(&mut self) -> Duration {
        let doubled = Duration::from_millis(1_000 << self.failures.min(5)).min(MAX_WAIT);
        let bound = self.asked.take().unwrap_or(doubled).min(MAX_WAIT);
        self.failures += 1;
        self.wait = bound.mul_f64(fastrand::f64());
        self.wait
    }

    fn take_wait(&mut self) -> Duration {
        std::mem::take(&mut self.wait)
    }
}

const MAX_WAIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_random_below_a_bound_that_grows_and_a_bye_sets_the_first() {
        let mut retry = Retry { asked: Some(Duration::from_millis(10)), ..Retry::default() };
        assert!(retry.plan() <= Duration::from_millis(10));
        for failures in 1..200 {
            assert_eq!(retry.failures, failures);
            let bound = Duration::from_secs(1 << failures.min(5)).min(MAX_WAIT);
            assert!(retry.plan() <= bound);
        }
        assert!(retry.take_wait() <= MAX_WAIT);
        assert_eq!(retry.take_wait(), Duration::ZERO);
    }
}
