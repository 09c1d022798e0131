//! The event stream: long polls, server-sent events and the handshakes of WebSockets.

use std::collections::BTreeSet;

use super::job_schemas::change;
use super::operation::Endpoint;
use super::queues::queue;
use super::schema::{
    ApiSchema, ObjectSchema, USER_NAME, count, cursor, cursor_or_empty, either, flag, job_id, list,
    map, matching, named, number, one_of, or_null, plain_name, tag, text, time,
};
use crate::http::api::query::MAX_EVENTS;
use crate::job::EventType;

/// How many events an answer has at most if the request does not say.
const USUAL_EVENTS: usize = 100;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let types: Vec<String> =
        EventType::ALL.iter().map(|known| format!("`{}`", known.as_str())).collect();
    let types = format!("Ignore types that you do not know. Known are {}.", types.join(", "));
    let job = ObjectSchema::new("The job that an event is about, after the event.")
        .has("id", job_id(), "")
        .may_have("queue", text(), "Absent for the holder of a share link.")
        .has("kind", text(), "")
        .has("state", named("JobState"), "")
        .has("attempt", count(), "")
        .may_have("tags", list(text()), "Absent for the holder of a share link.")
        .shape();
    let token = ObjectSchema::new("A token.").has("id", text(), "").has("name", text(), "").shape();
    let session = ObjectSchema::new("A session.")
        .has("id", text(), "")
        .has("of", named("Actor"), "Who logged in.")
        .shape();
    let to = ObjectSchema::new("What a share link shows.")
        .may_have("job", job_id(), "")
        .may_have("queue", text(), "")
        .shape();
    let link = ObjectSchema::new("A share link.").has("id", text(), "").has("to", to, "").shape();
    let event = ObjectSchema::new("An event. `docs/stream.md` says which members each type has.")
        .has("seq", count(), "Its number in the log.")
        .has("at", time(), "")
        .has("type", matching("^[a-z]+\\.[a-z_]+$"), &types)
        .may_have("by", named("Actor"), "Who caused it.")
        .may_have("job", named("EventJob"), "")
        .may_have("queue", text(), "")
        .may_have("schedule", text(), "")
        .may_have("kind", text(), "")
        .may_have("user", text(), "")
        .may_have("token", named("EventToken"), "")
        .may_have("session", named("EventSession"), "")
        .may_have("link", named("EventLink"), "")
        .may_have("role", named("Role"), "")
        .may_have("expires_at", or_null(time()), "Null means never.")
        .may_have(
            "for",
            list(text()),
            "The subscriptions for which it passed; only on a WebSocket.",
        );
    let gap = ObjectSchema::new("The log does not reach back to `from`. Read the lists again; the events after `to` follow.")
        .has("from", cursor(), "")
        .has("to", cursor(), "")
        .shape();
    let events = ObjectSchema::new("Events, oldest first.")
        .has("events", list(named("Event")), "")
        .has("cursor", cursor(), "The `after` of the next poll.")
        .may_have("gap", named("Gap"), "")
        .may_have("stats", named("StatsMessage"), "With `stats=true`.")
        .shape();
    let mut all = vec![
        ("Event", change(event).shape()),
        ("EventJob", job),
        ("EventLink", link),
        ("EventSession", session),
        ("EventToken", token),
        ("Events", events),
        ("Gap", gap),
    ];
    all.extend(stats());
    all
}

/// The schemas of live statistics.
fn stats() -> Vec<(&'static str, ApiSchema)> {
    let each = |members: ObjectSchema, shape: fn() -> ApiSchema| {
        let names = ["events", "enqueued", "started", "completed", "failed"];
        names.into_iter().fold(members, |all, name| all.has(name, shape(), ""))
    };
    let times = |members: ObjectSchema| {
        members.has("wait_ms", or_null(named("Latency")), "How long jobs waited.").has(
            "run_ms",
            or_null(named("Latency")),
            "How long attempts ran.",
        )
    };
    let latency = ObjectSchema::new("Percentiles in milliseconds.")
        .has("p50", count(), "")
        .has("p95", count(), "")
        .has("p99", count(), "")
        .shape();
    let live_queue = queue(ObjectSchema::new("A queue with its rates."))
        .has("per_second", named("Rates"), "")
        .has("second", named("Second"), "The last whole second.")
        .shape();
    let message = ObjectSchema::new("The live statistics.").has("type", one_of(["stats"]), "");
    let message = times(counters(message, "LiveQueue").has("per_second", named("Rates"), ""))
        .has("second", named("HistoryPoint"), "The last whole second.")
        .shape();
    let point = ObjectSchema::new("What happened in a period.").has("at", time(), "Its beginning.");
    vec![
        ("HistoryPoint", times(each(point, count)).shape()),
        ("Latency", latency),
        ("LiveQueue", live_queue),
        ("Rates", each(ObjectSchema::new("Events per second."), number).shape()),
        ("Second", times(each(ObjectSchema::new("What happened in a second."), count)).shape()),
        ("StatsMessage", message),
    ]
}

/// The counters of the server.
pub fn counters(members: ObjectSchema, queue: &str) -> ObjectSchema {
    members
        .has("states", named("JobCounts"), "")
        .has("queues", list(named(queue)), "")
        .has("kinds", map(named("JobCounts")), "The numbers of jobs by kind and state.")
        .has("cursor", cursor(), "")
        .has("oldest", cursor(), "The start of the log.")
}

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        poll(filtered(Endpoint::new(
            "GET",
            "/api/v1/events",
            "readEvents",
            "Read or follow the event stream",
        ))),
        socket(begun(filtered(Endpoint::new(
            "GET",
            "/api/v1/ws",
            "connectEvents",
            "Follow the event stream over WebSocket",
        ))))
        .about(
            "The subprotocol is `cortado.v1+json`. `/api/asyncapi.json` describes the messages.",
        ),
    ]
}

/// Whoever may cause an event, as filters name them.
fn actor() -> ApiSchema {
    matching(&format!("^(user:{USER_NAME}|(token|schedule|link):[A-Za-z0-9_.:-]{{1,64}})$"))
}

/// The filter on events.
fn filtered(endpoint: Endpoint) -> Endpoint {
    endpoint
        .queries("queue", plain_name(), "Queues.")
        .queries("kind", plain_name(), "Kinds.")
        .queries("job", job_id(), "Jobs.")
        .queries("tag", tag(), "Tags.")
        .queries("by", actor(), "Who caused it, such as `user:anna`.")
}

/// Where a stream begins, and the types that it has. A share link has no other filter.
pub fn begun(endpoint: Endpoint) -> Endpoint {
    let parts = EventType::ALL.iter().filter_map(|known| known.as_str().split_once('.'));
    let (subjects, verbs): (BTreeSet<&str>, BTreeSet<&str>) = parts.unzip();
    let any_of = |words: BTreeSet<&str>| words.into_iter().collect::<Vec<_>>().join("|");
    let (subjects, verbs) = (any_of(subjects), any_of(verbs));
    let globs = matching(&format!(r"^(({subjects}|\*)\.\*|\*\.({verbs}))$"));
    let types = either([one_of(EventType::ALL.map(EventType::as_str)), globs]);
    endpoint
        .query(
            "after",
            cursor_or_empty(),
            "The cursor after which to begin; by default the end of the log.",
        )
        .queries("type", types, "Types, or globs such as `job.*`.")
}

/// The parameters and the answers of polls and server-sent events.
pub fn poll(endpoint: Endpoint) -> Endpoint {
    begun(endpoint)
        .about(
            "Answers with the events after `after` that pass the filter. If there are none, it waits for some, at most \
             `wait`. With `Accept: text/event-stream`, it streams server-sent events without end. `docs/stream.md` \
             describes the guarantees, and `/api/asyncapi.json` the messages.",
        )
        .query("wait", super::jobs::wait(), "How long to wait, such as `20s`; at most `http.max_wait`. Not for a stream.")
        .query("stats", flag(), "Adds live statistics.")
        .limit(MAX_EVENTS, USUAL_EVENTS)
        .header("Last-Event-ID", cursor_or_empty(), "A cursor, which counts more than `after`.")
        .answer(200, "The events.", named("Events"))
        .answer_as(200, "text/event-stream", "The events.", text())
        .may_fail(&["sockets_full", "too_many_sockets"])
}

/// A handshake, which is refused before the upgrade with ordinary problem documents.
pub fn socket(endpoint: Endpoint) -> Endpoint {
    endpoint
        .header("Sec-WebSocket-Protocol", text(), "The subprotocol, if the client names one.")
        .answer_empty(101, "The connection is a WebSocket from now on.")
        .may_fail(&[
            "not_a_websocket",
            "sockets_full",
            "too_many_sockets",
            "too_many_workers",
            "too_many_workers_of_token",
            "unknown_subprotocol",
            "wrong_origin",
        ])
}
