//! Acting on many jobs at once.

use super::examples;
use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, count, either, flag, integer, job_id, list, list_of, named, one_of,
    or_null, plain_name, text, text_of, time,
};
use crate::engine::bulk::MAX_LISTED;
use crate::engine::submission::PRIORITY;
use crate::http::api::bulk::ACTIONS;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let about = "What to do, and with which jobs: either `ids` or `filter` is needed.";
    let request = either(ACTIONS.into_iter().flat_map(|action| {
        let begun = move || {
            let request = ObjectSchema::new("").has("action", one_of([action]), "");
            match action {
                "move" => request.has("queue", plain_name(), ""),
                "reprioritise" => request.has("priority", integer(PRIORITY), ""),
                _ => request,
            }
        };
        let listed = begun().has("ids", list_of(job_id(), 1, MAX_LISTED), "");
        [listed.request(), begun().has("filter", named("JobFilter"), "").request()]
    }));
    let request = super::schema::about(request, about);
    let count_ = ObjectSchema::new("A number of jobs.")
        .has("count", count(), "")
        .has("exact", flag(), "If not, there may be more.")
        .shape();
    let refusals = ObjectSchema::new("Jobs that could not be changed, for one reason.")
        .has("reason", text(), "")
        .has("count", count(), "")
        .has("jobs", list(job_id()), "Some of them.")
        .shape();
    let states = ["running", "finished", "stopped", "server_stopped", "failed"];
    let run = ObjectSchema::new("The report of a bulk run.")
        .has("id", text(), "")
        .may_have(
            "node",
            text(),
            "The node that executes it, where several servers share a database.",
        )
        .has("action", one_of(ACTIONS), "")
        .may_have("queue", text(), "With `move`.")
        .may_have("priority", integer(PRIORITY), "With `reprioritise`.")
        .has("state", one_of(states), "")
        .has("began_at", time(), "")
        .has("ended_at", or_null(time()), "")
        .has("expected", named("BulkCount"), "")
        .has("examined", count(), "")
        .has("done", count(), "")
        .has("refused", list(named("BulkRefusals")), "")
        .may_have("error", text(), "Of a failed run.")
        .shape();
    let runs = ObjectSchema::new("The last runs, the newest first.").has(
        "runs",
        list(named("BulkRun")),
        "",
    );
    vec![
        ("BulkCount", count_),
        ("BulkRefusals", refusals),
        ("BulkRequest", request),
        ("BulkRun", run),
        ("BulkRuns", runs.shape()),
    ]
}

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new("POST", "/api/v1/bulk", "beginBulkRun", "Begin a bulk run")
            .about("Answers at once. The run acts on each job that matches when the run reaches it, the newest first.")
            .body(named("BulkRequest"), examples::BULK)
            .answer(202, "The run has begun.", named("BulkRun"))
            .locating(202)
            .linked(202, "/id", "id", &["getBulkRun", "stopBulkRun"])
            .may_fail(&["invalid_idempotency_key", "too_many_bulk_runs", "too_many_queues"]),
        Endpoint::new("GET", "/api/v1/bulk", "listBulkRuns", "List the last bulk runs")
            .answer(200, "The runs.", named("BulkRuns")),
        Endpoint::new("POST", "/api/v1/bulk/preview", "previewBulkRun", "Count the jobs of a bulk run")
            .about("Changes nothing.")
            .body(named("BulkRequest"), examples::BULK)
            .answer(200, "How many jobs the run would select.", named("BulkCount")),
        of_run("GET", "/api/v1/bulk/{id}", "getBulkRun", "Read the report of a bulk run"),
        of_run("POST", "/api/v1/bulk/{id}/stop", "stopBulkRun", "Stop a bulk run after its current step")
            .without_fields(),
    ]
}

fn of_run(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Endpoint {
    Endpoint::new(method, path, id, summary)
        .segment("id", text_of(1, 64), "1", "The id of the run.")
        .answer(200, "The report.", named("BulkRun"))
        .may_fail(&["no_such_bulk_run"])
}
