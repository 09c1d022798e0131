//! The messages of `cortado.v1+json`: one JSON object a message, told apart by `type`.
//! What the server may say, what a client may say, and the frame that carries events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::Batch;
use crate::http::Problem;
use crate::http::api::query::add_to_filter;
use crate::http::view::{self, Shown};
use crate::job::{Cursor, Event, Filter};

/// The subprotocol, chosen when a client offers it.
pub const SUBPROTOCOL: &str = "cortado.v1+json";

/// What the server says, but for `events`, which [`EventsMessage`] writes, and `stats`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// The first message: where this socket begins, and the longest silence to expect.
    Hello { epoch: String, cursor: Shown<Cursor>, heartbeat_ms: u64, server: ServerInfo },
    /// The log does not reach back to `from`: take a fresh snapshot; what follows `to` follows.
    Gap { from: Shown<Cursor>, to: Shown<Cursor> },
    /// Everything up to here has been sent or filtered out.
    Mark { cursor: Shown<Cursor> },
    /// The answer to `ping`.
    Pong,
    /// The filter is in force for every event after `cursor`.
    Subscribed { id: &'a str, cursor: Shown<Cursor> },
    /// The filter is gone for every event after `cursor`.
    Unsubscribed { id: &'a str, cursor: Shown<Cursor> },
    /// The server stops: running jobs get so long, and their events still come.
    Draining { grace_ms: u64 },
    /// The server is about to close; come back at a random moment within `retry_ms`.
    Bye { why: &'a str, retry_ms: u64 },
    /// A message of the client was not understood; the socket goes on.
    Error { code: &'a str, message: String },
}

impl ServerMessage<'_> {
    /// The `type` of every message of the server.
    #[cfg(test)]
    pub const NAMES: [&'static str; 11] = [
        "hello",
        "events",
        "stats",
        "gap",
        "mark",
        "pong",
        "subscribed",
        "unsubscribed",
        "draining",
        "bye",
        "error",
    ];

    /// Its `type`.
    pub fn name(&self) -> &'static str {
        match self {
            ServerMessage::Hello { .. } => "hello",
            ServerMessage::Gap { .. } => "gap",
            ServerMessage::Mark { .. } => "mark",
            ServerMessage::Pong => "pong",
            ServerMessage::Subscribed { .. } => "subscribed",
            ServerMessage::Unsubscribed { .. } => "unsubscribed",
            ServerMessage::Draining { .. } => "draining",
            ServerMessage::Bye { .. } => "bye",
            ServerMessage::Error { .. } => "error",
        }
    }
}

/// Who answers.
#[derive(Debug, Serialize)]
pub struct ServerInfo {
    name: &'static str,
    version: &'static str,
}

impl ServerInfo {
    /// This server.
    pub const THIS: ServerInfo = ServerInfo { name: "cortado", version: env!("CARGO_PKG_VERSION") };
}

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Asks for `pong`.
    Ping {},
    /// Lets more events through, or replaces the subscription of the same id.
    Subscribe(Subscribe),
    /// Takes a subscription away. The filter of the query string has the empty id.
    Unsubscribe { id: String },
}

/// A subscription that a client asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// The client's name for it, at most [`Subscriptions::MAX_ID`] bytes.
    pub id: String,
    /// Which events, in the words of the query string.
    #[serde(default)]
    pub filter: BTreeMap<String, OneOrMany>,
    /// Where the client believes the socket is. A socket has one place: any other is refused.
    pub after: Option<String>,
    /// Asks for `stats` messages instead of events.
    #[serde(default)]
    pub stats: bool,
}

/// `"a"` or `["a", "b"]`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The subscriptions of one socket: an event passes when any lets it through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscriptions {
    named: Vec<Subscription>,
    /// How many there may be.
    max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subscription {
    id: String,
    /// The id as JSON.
    json: String,
    topic: Topic,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Topic {
    Events(Filter),
    Stats,
}

impl Subscription {
    fn new(id: &str, topic: Topic) -> Self {
        Subscription { id: id.to_owned(), json: view::to_json(&id), topic }
    }

    fn wants(&self, event: &Event) -> bool {
        match &self.topic {
            Topic::Events(filter) => filter.matches(event),
            Topic::Stats => false,
        }
    }
}

impl Subscriptions {
    /// The longest id, in bytes: it comes with every event of its subscription.
    pub const MAX_ID: usize = 64;

    /// The filter of the query string alone.
    pub fn new(filter: Filter, max: usize) -> Self {
        Subscriptions { named: vec![Subscription::new("", Topic::Events(filter))], max }
    }

    /// Adds or replaces a subscription. `here` is the socket's place.
    pub fn add(&mut self, asked: &Subscribe, here: Cursor) -> Result<(), Problem> {
        let refuse = |detail: String| Err(Problem::invalid_parameter(detail));
        let id = &asked.id;
        Self::check_id(id)?;
        if let Some(after) = &asked.after
            && *after != here.to_string()
        {
            return refuse(format!(
                "this socket is at {here} and all its subscriptions with it; to begin after \
                 {after:?} open another"
            ));
        }
        let topic = match (asked.stats, asked.filter.is_empty()) {
            (true, true) => Topic::Stats,
            (true, false) => return refuse("stats have no filter".to_owned()),
            (false, _) => Topic::Events(filter_of(&asked.filter)?),
        };
        let known = self.named.iter().any(|known| known.id == *id);
        if !known && self.named.len() >= self.max {
            return refuse(format!("at most {} subscriptions on one socket", self.max));
        }
        self.named.retain(|known| known.id != *id);
        self.named.push(Subscription::new(id, topic));
        Ok(())
    }

    /// Takes a subscription away.
    pub fn remove(&mut self, id: &str) -> Result<(), Problem> {
        Self::check_id(id)?;
        self.named.retain(|known| known.id != id);
        Ok(())
    }

    fn check_id(id: &str) -> Result<(), Problem> {
        let detail = || format!("an id has at most {} bytes", Self::MAX_ID);
        if id.len() > Self::MAX_ID { Err(Problem::invalid_parameter(detail())) } else { Ok(()) }
    }

    /// Whether `stats` are asked for.
    pub fn want_stats(&self) -> bool {
        self.named.iter().any(|known| matches!(known.topic, Topic::Stats))
    }

    /// Whether the client gave names: only then it is told which subscriptions an event is for.
    fn are_named(&self) -> bool {
        self.named.iter().any(|known| !known.id.is_empty())
    }
}

fn filter_of(fields: &BTreeMap<String, OneOrMany>) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for (field, values) in fields {
        match values {
            OneOrMany::One(value) => add_to_filter(&mut filter, field, value)?,
            OneOrMany::Many(values) => {
                for value in values {
                    add_to_filter(&mut filter, field, value)?;
                }
            }
        }
    }
    Ok(filter)
}

/// One `events` message in the making: `{"type":"events","events":[…],"cursor":"…"}`.
#[derive(Debug, Default)]
pub struct EventsMessage {
    /// The events so far, with commas.
    text: String,
}

impl EventsMessage {
    const HEAD: &str = r#"{"type":"events","events":["#;
    /// A frame that reached this many bytes is sent before more is added.
    const ENOUGH: usize = 64 * 1_024;

    /// Adds the events after `seq` that pass, until the frame is full. Answers with the number of the last
    /// event that was looked at.
    pub fn add(&mut self, batch: &Batch, seq: u64, subscriptions: &Subscriptions) -> u64 {
        let mut looked_at = seq;
        let mut encoded: Option<&[Box<str>]> = None;
        let named = subscriptions.are_named();
        for (at, event) in batch.events.iter().enumerate() {
            if event.seq <= seq {
                continue;
            }
            if self.is_full() {
                break;
            }
            looked_at = event.seq;
            if !subscriptions.named.iter().any(|known| known.wants(event)) {
                continue;
            }
            // Only now: a batch that nobody wants is never encoded.
            let texts = *encoded.get_or_insert_with(|| batch.encoded(view::event_json));
            let Some(text) = texts.get(at) else { continue };
            self.text.push_str(if self.text.is_empty() { Self::HEAD } else { "," });
            match text.strip_suffix('}') {
                Some(open) if named => {
                    self.text.push_str(open);
                    self.text.push_str(r#","for":["#);
                    let ids = subscriptions.named.iter().filter(|known| known.wants(event));
                    for (at, known) in ids.enumerate() {
                        self.text.push_str(if at == 0 { "" } else { "," });
                        self.text.push_str(&known.json);
                    }
                    self.text.push_str("]}");
                }
                Some(_) | None => self.text.push_str(text),
            }
        }
        looked_at
    }

    /// Whether it is time to send.
    pub fn is_full(&self) -> bool {
        self.text.len() >= Self::ENOUGH
    }

    /// The message; `None` when nothing passed.
    pub fn finish(mut self, cursor: Cursor) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push_str(&format!(r#"],"cursor":"{cursor}"}}"#));
        Some(self.text)
    }
}
