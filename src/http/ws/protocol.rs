//! The messages of `cortado.v1+json`: one JSON object a text message, told apart by `type`.
//! What the server may say, what a client may say, and the frame that carries events.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::Batch;
use crate::http::Problem;
use crate::http::query::add_to_filter;
use crate::http::view::{self, Shown};
use crate::job::{Cursor, Filter};

/// What the server says, but for `events`, which [`Frame`] writes.
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
    /// Lets more events through, or replaces the filter of the same id.
    Subscribe {
        id: String,
        #[serde(default)]
        filter: BTreeMap<String, OneOrMany>,
    },
    /// Takes a filter away. The filter of the query string has the empty id.
    Unsubscribe { id: String },
}

/// `"a"` or `["a", "b"]`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The filters of one socket: an event passes when any lets it through.
#[derive(Debug)]
pub struct Subscriptions {
    named: Vec<(String, Filter)>,
}

impl Subscriptions {
    const MAX: usize = 32;

    /// The filter of the query string alone.
    pub fn new(filter: Filter) -> Self {
        Subscriptions { named: vec![(String::new(), filter)] }
    }

    /// Adds or replaces a filter.
    pub fn add(&mut self, id: &str, fields: &BTreeMap<String, OneOrMany>) -> Result<(), Problem> {
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
        let known = self.named.iter().position(|(known, _)| known == id);
        if known.is_none() && self.named.len() >= Self::MAX {
            let detail = format!("at most {} subscriptions on one socket", Self::MAX);
            return Err(Problem::invalid_parameter(detail));
        }
        self.remove(id);
        self.named.push((id.to_owned(), filter));
        Ok(())
    }

    /// Takes a filter away.
    pub fn remove(&mut self, id: &str) {
        self.named.retain(|(known, _)| known != id);
    }
}

/// One `events` message in the making: `{"type":"events","events":[…],"cursor":"…"}`.
#[derive(Debug, Default)]
pub struct Frame {
    /// The events so far, with commas.
    text: String,
}

impl Frame {
    const HEAD: &str = r#"{"type":"events","events":["#;
    /// A frame that reached this many bytes is sent before more is added.
    const ENOUGH: usize = 64 * 1_024;

    /// Adds the events after `seq` that pass.
    pub fn add(&mut self, batch: &Batch, seq: u64, wanted: &Subscriptions) {
        let mut encoded: Option<&[Box<str>]> = None;
        for (at, event) in batch.events.iter().enumerate() {
            let passes =
                event.seq > seq && wanted.named.iter().any(|(_, filter)| filter.matches(event));
            if !passes {
                continue;
            }
            // Only now: a batch that nobody wants is never encoded.
            let texts = *encoded.get_or_insert_with(|| batch.encoded(view::event_json));
            let Some(text) = texts.get(at) else { continue };
            self.text.push_str(if self.text.is_empty() { Self::HEAD } else { "," });
            self.text.push_str(text);
        }
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
