//! The server as a whole: counters, their history, nodes, exports, health checks and these documents.

use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, any_of, anything, count, cursor, flag, list, named, one_of, or_null,
    plain_name, text, time,
};
use crate::engine::HistoryRange;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let figures = [
        "disk_bytes",
        "journal_bytes",
        "journal_chunks",
        "archive_runs",
        "archived_jobs",
        "accepted_bytes",
        "written_bytes",
        "groups",
        "syncs",
        "publish_p50_ns",
        "publish_p99_ns",
    ];
    let storage = ObjectSchema::new(
        "The size of the store, and what was accepted, written and synced since the start.",
    );
    let storage = figures.into_iter().fold(storage, |all, name| all.has(name, count(), ""));
    let stats = super::stream::counters(ObjectSchema::new("The counters of the server."), "Queue")
        .has("paused", flag(), "Whether the server was started paused and was not resumed.")
        .has("store", named("Storage"), "")
        .shape();
    let period = ObjectSchema::new("A period for which there is data.")
        .has("from", time(), "")
        .has("until", time(), "")
        .shape();
    let points = || list(named("HistoryPoint"));
    let ends = |members: ObjectSchema| {
        members
            .has("starts", list(time()), "When this process and earlier ones started.")
            .has(
                "periods",
                list(named("HistoryPeriod")),
                "An interval in them that is left out had no events.",
            )
            .has("now", time(), "")
            .has("cursor", cursor(), "")
    };
    let history = ObjectSchema::new(
        "The seconds of the last five minutes, and the minutes of the last six hours.",
    )
    .has("queue", or_null(text()), "Null for the whole server.")
    .has("seconds", points(), "")
    .has("minutes", points(), "");
    let range = ObjectSchema::new("The intervals of a range.")
        .has("queue", or_null(text()), "Null for the whole server.")
        .has("range", one_of(HistoryRange::ALL.map(HistoryRange::as_str)), "")
        .has("interval_s", count(), "The length of an interval in seconds.")
        .has("points", points(), "");
    let node = ObjectSchema::new("A server of several that share a database.")
        .has("name", text(), "")
        .has("version", text(), "")
        .has("own", flag(), "Whether it is the one that answers.")
        .has("state", one_of(["active", "silent"]), "")
        .has("address", or_null(text()), "")
        .has("started_at", time(), "")
        .has("seen_at", time(), "")
        .has("seq", count(), "The number of the last event that it knew then.")
        .has("lag_ms", count(), "")
        .has("running", count(), "")
        .has("max_running", count(), "")
        .has("subscribers", count(), "")
        .has("workers", count(), "")
        .has("disagrees", list(text()), "The topics about which its configuration differs.")
        .shape();
    let nodes =
        ObjectSchema::new("The servers that share a database; none if there is only this one.")
            .has("nodes", list(named("Node")), "")
            .has("disagreements", list(text()), "In sentences.")
            .has("cursor", cursor(), "")
            .shape();
    let health = ObjectSchema::new("The state of the server.")
        .has("status", one_of(["alive", "ready"]), "")
        .may_have("paused", flag(), "True if it accepts work and starts none.")
        .shape();
    vec![
        ("Health", health),
        ("History", ends(history).shape()),
        ("HistoryPeriod", period),
        ("Node", node),
        ("Nodes", nodes),
        ("RangeHistory", ends(range).shape()),
        ("Stats", stats),
        ("Storage", storage.shape()),
    ]
}

/// The operations on counters and nodes.
pub fn figures() -> Vec<Endpoint> {
    let ranges = one_of(HistoryRange::ALL.map(HistoryRange::as_str));
    vec![
        Endpoint::new("GET", "/api/v1/stats", "getStats", "Read the counters").answer(
            200,
            "The counters.",
            named("Stats"),
        ),
        Endpoint::new(
            "GET",
            "/api/v1/metrics/history",
            "getHistory",
            "Read how the counters went on",
        )
        .query("queue", plain_name(), "One queue instead of the whole server.")
        .query("range", ranges, "Another range, in intervals of one length.")
        .answer(
            200,
            "The history; with `range`, that of the range.",
            any_of([named("History"), named("RangeHistory")]),
        ),
        Endpoint::new("GET", "/metrics", "getMetrics", "Read the metrics for Prometheus")
            .about("As OpenMetrics, if `Accept` asks for it. `docs/metrics.md` lists the metrics.")
            .answer_as(200, "text/plain", "The metrics.", text())
            .answer_as(200, "application/openmetrics-text", "The metrics.", text()),
        Endpoint::new(
            "GET",
            "/api/v1/nodes",
            "listNodes",
            "List the servers that share a database",
        )
        .answer(200, "The servers.", named("Nodes")),
    ]
}

/// The operations on the server itself.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new("GET", "/healthz", "getHealth", "Ask whether the process is alive").answer(
            200,
            "It is.",
            named("Health"),
        ),
        Endpoint::new("GET", "/readyz", "getReadiness", "Ask whether the server accepts work")
            .answer(200, "It does.", named("Health")),
        Endpoint::new(
            "POST",
            "/api/v1/resume",
            "resumeServer",
            "Start jobs and schedules of a paused server",
        )
        .without_fields()
        .answer_empty(204, "Done, also if it was not paused."),
        lines(Endpoint::new(
            "GET",
            "/api/v1/export",
            "export",
            "Export everything but users, tokens and links",
        )),
        lines(Endpoint::new("GET", "/api/v1/backup", "backup", "Export everything")),
    ]
}

/// The operations that answer with documents about the API.
pub fn documents() -> Vec<Endpoint> {
    vec![
        Endpoint::new("GET", "/api/openapi.json", "getOpenApi", "Read this document").answer(
            200,
            "An OpenAPI document.",
            anything(),
        ),
        Endpoint::new(
            "GET",
            "/api/asyncapi.json",
            "getAsyncApi",
            "Read the document of the messages",
        )
        .about("It describes the event stream and the protocol of workers.")
        .answer(200, "An AsyncAPI document.", anything()),
    ]
}

fn lines(endpoint: Endpoint) -> Endpoint {
    endpoint
        .about("Lines of JSON with checksums, as `docs/export.md` describes them. A complete one ends with `end`.")
        .answer_as(200, "application/jsonl", "The lines.", text())
}
