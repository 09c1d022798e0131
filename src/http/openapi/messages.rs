//! The AsyncAPI document, `GET /api/asyncapi.json`: the messages of the event stream and of the protocol of workers, with
//! the schemas of the OpenAPI document.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::schema::{
    ApiSchema, ObjectSchema, count, cursor, either, flag, integer, list, list_of, named, one_of,
    text, text_of,
};
use super::worker_schemas::{registration, report, report_answer};
use crate::http::stream::protocol::{self, Subscriptions};
use crate::http::view::to_json;
use crate::http::workers::read::{CREDIT, ID};
use crate::http::workers::ws;

const ABOUT: &str = "The messages of Cortado's event stream and of its protocol of workers. Each message is a JSON object in \
a text frame. `docs/stream.md` and `docs/workers.md` describe their order, limits and close codes. Clients ignore members and \
events that they do not know; the server refuses members that it does not know.";

/// A message: who sends it in which protocol, its type, what it means, and its payload.
struct DocumentedMessage {
    channel: &'static str,
    /// `send` for messages of the server, `receive` for those of its clients.
    action: &'static str,
    name: &'static str,
    summary: &'static str,
    payload: ApiSchema,
}

/// The channel of the event stream.
const EVENTS: &str = "events";
/// The channel of workers.
const WORKER: &str = "worker";

/// An object with the type of the message.
fn typed(name: &'static str) -> ObjectSchema {
    ObjectSchema::new("").has("type", one_of([name]), "")
}

/// What the server sends to subscribers.
fn of_stream() -> Vec<DocumentedMessage> {
    let message = |name, summary, payload: ApiSchema| DocumentedMessage {
        channel: EVENTS,
        action: "send",
        name,
        summary,
        payload,
    };
    let at = |name: &'static str| typed(name).has("cursor", cursor(), "");
    let server = ObjectSchema::new("").has("name", text(), "").has("version", text(), "").shape();
    vec![
        message(
            "hello",
            "The first message: the cursor at which the stream begins, and the longest time between two messages.",
            at("hello")
                .has("epoch", text(), "")
                .has("heartbeat_ms", count(), "")
                .has("server", server, "")
                .shape(),
        ),
        message(
            "events",
            "Events that passed the filter, and the cursor after them.",
            at("events").has("events", list(named("Event")), "").shape(),
        ),
        message(
            "stats",
            "Live statistics, for those who subscribed to them.",
            named("StatsMessage"),
        ),
        message(
            "gap",
            "The log does not reach back to `from`. Read the lists again; the events after `to` follow.",
            typed("gap").has("from", cursor(), "").has("to", cursor(), "").shape(),
        ),
        message("mark", "Every event up to here was sent or filtered out.", at("mark").shape()),
        message("pong", "The reply to `ping`.", typed("pong").shape()),
        message(
            "subscribed",
            "The subscription applies to every event after `cursor`.",
            at("subscribed").has("id", text(), "").shape(),
        ),
        message(
            "unsubscribed",
            "The subscription does not apply to events after `cursor`.",
            at("unsubscribed").has("id", text(), "").shape(),
        ),
        message(
            "draining",
            "The server is stopping. Running jobs have `grace_ms` to end.",
            typed("draining").has("grace_ms", count(), "").shape(),
        ),
        message(
            "bye",
            "The server closes the connection; reconnect after a random delay of at most `retry_ms`.",
            typed("bye").has("why", text(), "").has("retry_ms", count(), "").shape(),
        ),
        message(
            "error",
            "A message was refused; the connection stays open.",
            typed("error").has("code", named("ErrorCode"), "").has("message", text(), "").shape(),
        ),
    ]
}

/// What subscribers send.
fn to_stream() -> Vec<DocumentedMessage> {
    let message = |name, summary, payload: ApiSchema| DocumentedMessage {
        channel: EVENTS,
        action: "receive",
        name,
        summary,
        payload,
    };
    let values = || either([text_of(1, 1_000), list_of(text_of(1, 1_000), 1, 100)]);
    let filter = crate::http::api::query::EVENT_FILTER
        .into_iter()
        .fold(ObjectSchema::new("An event must match all members."), |filter, name| {
            filter.may_have(name, values(), "")
        });
    let id = || text_of(0, Subscriptions::MAX_ID);
    vec![
        message("ping", "Asks for a `pong`.", typed("ping").request()),
        message(
            "subscribe",
            "Adds a subscription, or replaces the one with the same id.",
            typed("subscribe")
                .has("id", id(), "")
                .optional("filter", filter.request(), "")
                .optional("after", text(), "Only the cursor at which the connection is.")
                .optional("stats", flag(), "Asks for `stats` instead of events.")
                .request(),
        ),
        message(
            "unsubscribe",
            "Removes a subscription. The filter of the query string has the empty id.",
            typed("unsubscribe").has("id", id(), "").request(),
        ),
    ]
}

/// What the server sends to workers.
fn of_workers() -> Vec<DocumentedMessage> {
    let message = |name, summary, payload: ApiSchema| DocumentedMessage {
        channel: WORKER,
        action: "send",
        name,
        summary,
        payload,
    };
    let server = ObjectSchema::new("").has("name", text(), "").has("version", text(), "").shape();
    vec![
        message(
            "hello",
            "The answer to the first `ready`: extend the leases every `heartbeat_ms`.",
            typed("hello")
                .has("heartbeat_ms", count(), "")
                .has("lease_ms", count(), "")
                .has("held", list(named("LeaseStatus")), "")
                .may_have("command", one_of(["quiet", "stop"]), "")
                .has("server", server, "")
                .shape(),
        ),
        message(
            "jobs",
            "Jobs to run; each takes one credit.",
            typed("jobs").has("leases", list(named("Lease")), "").shape(),
        ),
        message(
            "updated",
            "The answer to the report with this number; its outcomes are durable.",
            report_answer(typed("updated").has("id", integer(ID), "")).shape(),
        ),
        message(
            "cancel",
            "The job is to be cancelled.",
            typed("cancel").has("lease", text(), "").shape(),
        ),
        message(
            "lost",
            "The lease is lost: stop, and report nothing.",
            typed("lost").has("lease", text(), "").shape(),
        ),
        message(
            "command",
            "Somebody tells the worker what to do.",
            typed("command").has("command", one_of(["quiet", "stop", "resume"]), "").shape(),
        ),
        message(
            "error",
            "A message was refused. `id` is the number of the report that was refused.",
            typed("error")
                .may_have("id", integer(ID), "")
                .has("code", named("ErrorCode"), "")
                .may_have("field", text(), "")
                .has("message", text(), "")
                .shape(),
        ),
        message("pong", "The answer to `ping`.", typed("pong").shape()),
        message(
            "bye",
            "The server closes the connection.",
            typed("bye").has("why", text(), "").may_have("retry_ms", count(), "").shape(),
        ),
    ]
}

/// What workers send.
fn to_workers() -> Vec<DocumentedMessage> {
    let message = |name, summary, payload: ApiSchema| DocumentedMessage {
        channel: WORKER,
        action: "receive",
        name,
        summary,
        payload,
    };
    let ready =
        typed("ready").has("free", integer(CREDIT), "How many jobs it can be sent.").optional(
            "held",
            list(text()),
            "The leases that it still holds from an earlier connection.",
        );
    let update = typed("update").has("id", integer(ID), "The answer repeats it.").optional(
        "free",
        integer(CREDIT),
        "How many more jobs it can be sent.",
    );
    vec![
        message(
            "ready",
            "What the worker can run. It may be repeated.",
            registration(ready).request(),
        ),
        message("update", "A report.", report(update).request()),
        message("ping", "Asks for a `pong`.", typed("ping").request()),
        message(
            "bye",
            "Signs off: the jobs that the worker holds are given back.",
            typed("bye").request(),
        ),
    ]
}

/// The document as JSON.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| to_json(&document()));

/// The document as JSON.
pub fn text_of_document() -> &'static str {
    &DOCUMENT
}

fn document() -> Value {
    let mut schemas = Map::new();
    for (name, schema) in super::schemas::schemas() {
        schemas.insert(name.to_owned(), value(&schema));
    }
    let (mut messages, mut operations) = (Map::new(), Map::new());
    let (mut of_events, mut of_worker) = (Map::new(), Map::new());
    let all = [of_stream(), to_stream(), of_workers(), to_workers()];
    for DocumentedMessage { channel, action, name, summary, payload } in all.into_iter().flatten() {
        let way = if action == "send" { "server" } else { "client" };
        let key = format!("{channel}.{way}.{name}");
        let message =
            json!({"name": name, "title": name, "summary": summary, "payload": value(&payload)});
        messages.insert(key.clone(), message);
        let of_channel = if channel == EVENTS { &mut of_events } else { &mut of_worker };
        let reference = json!({"$ref": format!("#/components/messages/{key}")});
        of_channel.insert(format!("{way}.{name}"), reference);
        let operation = operations.entry(format!("{channel}.{way}")).or_insert_with(|| {
            let channel = json!({"$ref": format!("#/channels/{channel}")});
            json!({"action": action, "channel": channel, "messages": []})
        });
        if let Some(list) = operation["messages"].as_array_mut() {
            list.push(json!({"$ref": format!("#/channels/{channel}/messages/{way}.{name}")}));
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Cortado",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:8080", "protocol": "ws"}},
        "channels": {
            "events": {
                "address": "/api/v1/ws",
                "title": "The event stream",
                "description": format!(
                    "The subprotocol is `{}`. Server-sent events, `GET /api/v1/events` with `Accept: text/event-stream`, \
                     have the same messages, except that each event is a message of its own without a name, whose data is an \
                     `Event`. A poll, `GET /api/v1/events`, is answered with `Events`. Both are in the OpenAPI document.",
                    protocol::SUBPROTOCOL,
                ),
                "messages": of_events,
            },
            "worker": {
                "address": "/api/v1/workers/{name}/ws",
                "title": "The protocol of workers",
                "description": format!(
                    "The subprotocol is `{}`. Over HTTP, the same is claimed and reported with the operations `claimJobs`, \
                     `reportLeases` and `signOffWorker` of the OpenAPI document.",
                    ws::SUBPROTOCOL,
                ),
                "parameters": {"name": {"description": "The name of the worker."}},
                "messages": of_worker,
            },
        },
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    })
}

fn value(shape: &ApiSchema) -> Value {
    serde_json::to_value(shape).unwrap_or_default()
}
