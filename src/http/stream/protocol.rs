//! The messages of the subprotocol `cortado.v1+json`: those of the server, those of clients, and the one that carries
//! events. Each is a JSON object with a `type`.

use axum::http::StatusCode;
use serde::Serialize;

use crate::engine::Batch;
use crate::http::Problem;
use crate::http::access::job_scope::JobScope;
use crate::http::access::messages::SocketMessage;
use crate::http::api::query::{EVENT_FILTER, add_to_filter, filter_values};
use crate::http::view::{self, Displayed};
use crate::job::fields::{REPEATED, unknown};
use crate::job::shorten::{MAX_ERRORS, MAX_NAME, shorten};
use crate::job::{Cursor, Event, FieldErrors, Fields, Filter, parse_value};

/// The name of the subprotocol, which the server selects when a client offers it.
pub const SUBPROTOCOL: &str = "cortado.v1+json";

/// The messages of the server, except `events`, which [`EventsMessage`] builds, and `stats`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage<'a> {
    /// The first message, with the cursor at which the stream begins and the longest time between two messages.
    Hello { epoch: String, cursor: Displayed<Cursor>, heartbeat_ms: u64, server: ServerInfo },
    /// The log does not reach back to `from`. The client must load its state anew; the events after `to` follow.
    Gap { from: Displayed<Cursor>, to: Displayed<Cursor> },
    /// Every event up to here was sent or filtered out.
    Mark { cursor: Displayed<Cursor> },
    /// The reply to `ping`.
    Pong,
    /// The subscription applies to every event after `cursor`.
    Subscribed { id: &'a str, cursor: Displayed<Cursor> },
    /// The subscription no longer applies to events after `cursor`.
    Unsubscribed { id: &'a str, cursor: Displayed<Cursor> },
    /// The server is stopping. Running jobs have `grace_ms` to end, and their events are still sent.
    Draining { grace_ms: u64 },
    /// The server is about to close the connection. The client should reconnect after a random delay of at most
    /// `retry_ms`.
    Bye { why: &'a str, retry_ms: u64 },
    /// A message of the client was refused; the connection stays open.
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

    /// The `type` of the message.
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

/// The name and version of the server.
#[derive(Debug, Serialize)]
pub struct ServerInfo {
    name: &'static str,
    version: &'static str,
}

impl ServerInfo {
    /// This server.
    pub const THIS: ServerInfo = ServerInfo { name: "cortado", version: env!("CARGO_PKG_VERSION") };
}

/// The messages of a client.
#[derive(Debug)]
pub enum ClientMessage {
    /// Asks for a `pong`.
    Ping,
    /// Adds a subscription, or replaces the one with the same id.
    Subscribe(Subscribe),
    /// Removes a subscription. The filter of the query string has the empty id.
    Unsubscribe { id: String },
}

/// A subscription that a client asks for.
#[derive(Debug)]
pub struct Subscribe {
    /// The client's name for it, at most [`Subscriptions::MAX_ID`] bytes.
    pub id: String,
    /// The filter on events, with the fields of the query string; `None` when the client gave none.
    pub filter: Option<Filter>,
    /// The cursor at which the client believes the connection is. A connection has only one; any other is refused.
    pub after: Option<String>,
    /// Asks for `stats` messages instead of events.
    pub stats: bool,
}

impl ClientMessage {
    /// The message as the table of access has it.
    pub fn access(&self) -> SocketMessage {
        match self {
            ClientMessage::Ping => SocketMessage::Ping,
            ClientMessage::Subscribe(Subscribe { stats: true, .. }) => {
                SocketMessage::SubscribeStats
            }
            ClientMessage::Subscribe(Subscribe { stats: false, .. }) => {
                SocketMessage::SubscribeEvents
            }
            ClientMessage::Unsubscribe { .. } => SocketMessage::Unsubscribe,
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// `malformed_message` when the message is not JSON or has the wrong fields, and `invalid_parameter` when its filter
    /// is not valid.
    pub fn parse(text: &str) -> Result<ClientMessage, Problem> {
        let malformed =
            |detail: String| Problem::new(StatusCode::BAD_REQUEST, "malformed_message", detail);
        let json = parse_value("the message", text).map_err(malformed)?;
        let (mut errors, mut of_filter) = (FieldErrors::default(), FieldErrors::default());
        let message = Fields::read("", json.get(), &mut errors).and_then(|mut fields| {
            let message = message(&mut fields, &mut errors, &mut of_filter);
            if message.is_some() {
                fields.finish(&mut errors);
            }
            message
        });
        let described = |errors: FieldErrors| {
            let errors = errors.into_errors().into_iter();
            Problem::invalid_parameters(errors.map(|error| (error.field.into(), error.message)))
        };
        match message {
            Some(_) if !of_filter.is_empty() => Err(described(of_filter)),
            Some(message) if errors.is_empty() => Ok(message),
            Some(_) | None => Err(malformed(described(errors).detail().to_owned())),
        }
    }
}

fn message(
    fields: &mut Fields<'_>,
    errors: &mut FieldErrors,
    of_filter: &mut FieldErrors,
) -> Option<ClientMessage> {
    const TYPES: [&str; 3] = ["ping", "subscribe", "unsubscribe"];
    let name = fields.required_text("type", errors)?;
    let id = |fields: &mut Fields<'_>, errors: &mut FieldErrors| {
        fields.required_text("id", errors).unwrap_or_default().into_owned()
    };
    match name.as_ref() {
        "ping" => Some(ClientMessage::Ping),
        "subscribe" => {
            let filter = fields.raw("filter");
            let filter = filter.and_then(|json| Fields::read("filter", json.get(), errors));
            Some(ClientMessage::Subscribe(Subscribe {
                id: id(fields, errors),
                filter: filter
                    .filter(|filter| !filter.is_empty())
                    .map(|filter| event_filter(filter, of_filter)),
                after: fields.text("after", errors).map(Into::into),
                stats: fields.flag("stats", errors).unwrap_or_default(),
            }))
        }
        "unsubscribe" => Some(ClientMessage::Unsubscribe { id: id(fields, errors) }),
        _ => {
            errors.add("type", format!("is not known; expected one of {}", TYPES.join(", ")));
            None
        }
    }
}

/// Reads a filter on events: its fields are those of a query string, each a string or an array of strings.
fn event_filter(fields: Fields<'_>, errors: &mut FieldErrors) -> Filter {
    let mut filter = Filter::default();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in fields.into_members() {
        let path = format!("filter.{}", shorten(&name, MAX_NAME));
        if !EVENT_FILTER.contains(&name.as_ref()) {
            errors.add(path, unknown(&EVENT_FILTER));
        } else if seen.iter().any(|seen| *seen == name) {
            errors.add(path, REPEATED);
        } else {
            for (path, value) in filter_values(&path, value, errors) {
                if let Err(wrong) = add_to_filter(&mut filter, &name, &value) {
                    errors.add(path, wrong);
                }
            }
            seen.push(name.into_owned());
        }
        if errors.len() > MAX_ERRORS {
            break; // the answer lists fewer
        }
    }
    filter
}

/// The subscriptions of one connection. An event is sent when it passes at least one of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscriptions {
    named: Vec<Subscription>,
    /// The events that the client may see, whatever it subscribes to.
    scope: JobScope,
    /// The largest allowed number.
    max: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subscription {
    id: String,
    /// The id as JSON text, so that it is encoded only once.
    id_json: String,
    topic: Topic,
}

/// What a subscription asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Topic {
    Events(Filter),
    Stats,
}

impl Subscription {
    fn new(id: &str, topic: Topic) -> Self {
        Subscription { id: id.to_owned(), id_json: view::to_json(&id), topic }
    }

    fn wants(&self, event: &Event) -> bool {
        match &self.topic {
            Topic::Events(filter) => filter.matches(event),
            Topic::Stats => false,
        }
    }
}

impl Subscriptions {
    /// The longest allowed id in bytes; it is sent with every event of its subscription.
    pub const MAX_ID: usize = 64;

    /// Creates the subscriptions of a new connection: the filter of the query string, with the empty id.
    pub fn new(filter: Filter, max: usize) -> Self {
        let named = vec![Subscription::new("", Topic::Events(filter))];
        Subscriptions { named, scope: JobScope::Everything, max }
    }

    /// Restricts them to the events that a client may see.
    #[must_use]
    pub fn within(mut self, scope: JobScope) -> Self {
        for one in &mut self.named {
            if let Topic::Events(filter) = &mut one.topic {
                *filter = scope.readable(std::mem::take(filter));
            }
        }
        Subscriptions { scope, ..self }
    }

    /// Adds or replaces a subscription. `here` is the cursor of the connection.
    pub fn add(&mut self, request: &Subscribe, here: Cursor) -> Result<(), Problem> {
        let refuse = |field, detail: String| Err(Problem::invalid_parameter(field, detail));
        let id = &request.id;
        Self::check_id(id)?;
        let after = request.after.as_deref().filter(|after| !after.is_empty());
        let after = after.map(str::parse).transpose();
        let after: Option<Cursor> =
            after.map_err(|error: String| Problem::invalid_parameter("after", error))?;
        if let Some(after) = after.filter(|after| *after != here) {
            let detail = format!(
                "this connection and all its subscriptions are at {here}; to read from {after}, open \
                 another connection"
            );
            return refuse("after", detail);
        }
        let topic = match (request.stats, &request.filter) {
            (true, None) => Topic::Stats,
            (true, Some(_)) => {
                return refuse("filter", "a subscription to stats cannot have a filter".to_owned());
            }
            (false, filter) => {
                Topic::Events(self.scope.readable(filter.clone().unwrap_or_default()))
            }
        };
        let known = self.named.iter().any(|known| known.id == *id);
        if !known && self.named.len() >= self.max {
            let detail = format!("a connection can have at most {} subscriptions", self.max);
            return refuse("id", detail);
        }
        self.named.retain(|known| known.id != *id);
        self.named.push(Subscription::new(id, topic));
        Ok(())
    }

    /// Removes a subscription.
    pub fn remove(&mut self, id: &str) -> Result<(), Problem> {
        Self::check_id(id)?;
        self.named.retain(|known| known.id != id);
        Ok(())
    }

    fn check_id(id: &str) -> Result<(), Problem> {
        let detail = || format!("an id can have at most {} bytes", Self::MAX_ID);
        if id.len() <= Self::MAX_ID {
            return Ok(());
        }
        Err(Problem::invalid_parameter("id", detail()))
    }

    /// Whether one of them is a subscription to stats.
    pub fn want_stats(&self) -> bool {
        self.named.iter().any(|known| matches!(known.topic, Topic::Stats))
    }

    /// Whether a subscription has an id: only then the events list the ids that they are for.
    fn are_named(&self) -> bool {
        self.named.iter().any(|known| !known.id.is_empty())
    }
}

/// Builds an `events` message: `{"type":"events","events":[…],"cursor":"…"}`.
#[derive(Debug, Default)]
pub struct EventsMessage {
    /// The beginning of the message with the events so far.
    text: String,
}

impl EventsMessage {
    const HEAD: &str = r#"{"type":"events","events":["#;
    /// The size in bytes at which a message is full.
    const FULL_BYTES: usize = 64 * 1_024;

    /// Adds the events of a batch after `seq` that pass, until the message is full. Returns the number of the last
    /// event that was examined.
    pub fn add(&mut self, batch: &Batch, seq: u64, subscriptions: &Subscriptions) -> u64 {
        let mut examined = seq;
        let mut encoded: Option<&[Box<str>]> = None;
        let named = subscriptions.are_named();
        for (at, event) in batch.events.iter().enumerate() {
            if event.seq <= seq {
                continue;
            }
            if self.is_full() {
                break;
            }
            examined = event.seq;
            let is_wanted = subscriptions.named.iter().any(|known| known.wants(event));
            if !is_wanted || !subscriptions.scope.shows(event) {
                continue;
            }
            let own = subscriptions.scope.own_json(event);
            // Encoded only when it is needed: a batch of which no event passes is never encoded.
            let mut shared = || {
                let texts = *encoded.get_or_insert_with(|| batch.encoded(view::event_json));
                texts.get(at).map(|text| &**text)
            };
            let Some(text) = own.as_deref().or_else(&mut shared) else { continue };
            self.text.push_str(if self.text.is_empty() { Self::HEAD } else { "," });
            match text.strip_suffix('}') {
                Some(open) if named => {
                    self.text.push_str(open);
                    self.text.push_str(r#","for":["#);
                    let ids = subscriptions.named.iter().filter(|known| known.wants(event));
                    for (at, known) in ids.enumerate() {
                        self.text.push_str(if at == 0 { "" } else { "," });
                        self.text.push_str(&known.id_json);
                    }
                    self.text.push_str("]}");
                }
                Some(_) | None => self.text.push_str(text),
            }
        }
        examined
    }

    /// Whether the message is full.
    pub fn is_full(&self) -> bool {
        self.text.len() >= Self::FULL_BYTES
    }

    /// Returns the message; `None` when no event passed.
    pub fn finish(mut self, cursor: Cursor) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push_str(&format!(r#"],"cursor":"{cursor}"}}"#));
        Some(self.text)
    }
}
