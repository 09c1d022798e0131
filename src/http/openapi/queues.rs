//! Queues: their settings and counters.

use super::examples;
use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, count, cursor, flag, integer, list, matching, named, or_null,
    plain_name, text, time,
};
use crate::job::Concurrency;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let queues = ObjectSchema::new("The known queues.")
        .has("queues", list(named("Queue")), "")
        .has("cursor", cursor(), "")
        .shape();
    let concurrency = ObjectSchema::new("How many attempts may run at once.")
        .has(
            "concurrency",
            or_null(integer(Concurrency::RANGE)),
            "Null restores the configured number.",
        )
        .request();
    let rate = matching("^(none|[1-9][0-9]{0,5}/[1-9][0-9]{0,4}(ms|s|m|h|d))$");
    let rate_limit = ObjectSchema::new("How many attempts may start in a period.")
        .has(
            "rate_limit",
            or_null(rate),
            "Such as `100/1m`. `none` removes the limit, null restores the configured one.",
        )
        .request();
    vec![
        ("Concurrency", concurrency),
        ("Queue", queue(ObjectSchema::new("A queue.")).shape()),
        ("Queues", queues),
        ("RateLimit", rate_limit),
    ]
}

/// The members of a queue.
pub fn queue(members: ObjectSchema) -> ObjectSchema {
    members
        .has("name", text(), "")
        .has("paused", flag(), "")
        .has(
            "concurrency",
            or_null(count()),
            "How many attempts may run at once over all workers; null for no limit.",
        )
        .has("slots", count(), "How many of them may run in the server's process.")
        .has("weight", count(), "Its share when queues compete for the server's last slots.")
        .may_have("rate_limit", text(), "Only if it has one, such as `100/1m`.")
        .has("states", named("JobCounts"), "")
        .has(
            "waiting_since",
            or_null(time()),
            "When the job that has waited longest became available.",
        )
}

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new("GET", "/api/v1/queues", "listQueues", "List the queues").answer(
            200,
            "The known queues.",
            named("Queues"),
        ),
        setting(
            "/api/v1/queues/{name}/pause",
            "pauseQueue",
            "Pause a queue: its jobs are not started",
        )
        .without_fields(),
        setting("/api/v1/queues/{name}/resume", "resumeQueue", "Resume a queue").without_fields(),
        setting(
            "/api/v1/queues/{name}/concurrency",
            "setQueueConcurrency",
            "Limit how many attempts run at once",
        )
        .about("The limit holds over all workers and survives restarts.")
        .body(named("Concurrency"), examples::CONCURRENCY),
        setting(
            "/api/v1/queues/{name}/rate_limit",
            "setQueueRateLimit",
            "Limit how many attempts start in a period",
        )
        .about("The limit holds over all workers and survives restarts.")
        .body(named("RateLimit"), examples::RATE_LIMIT),
    ]
}

fn setting(path: &'static str, id: &'static str, summary: &'static str) -> Endpoint {
    Endpoint::new("POST", path, id, summary)
        .segment(
            "name",
            plain_name(),
            "mail",
            "The name of the queue. A `~` before a name is ignored.",
        )
        .answer_empty(204, "Done, also if nothing had to be changed.")
        .may_fail(&["too_many_queues"])
}
