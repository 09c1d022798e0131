//! Kinds, and the failures of their jobs.

use super::examples;
use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, anything, count, cursor, either, flag, integer, job_id, list, map,
    named, not_blank, one_of, or_null, plain_name, text, time,
};
use crate::engine::submission::{ATTEMPTS, TIMEOUT_MS};
use crate::http::api::failures::{MAX_GROUPS, USUAL_GROUPS};
use crate::job::KindSpec;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let kind = ObjectSchema::new("A kind of jobs.")
        .has("kind", text(), "")
        .has("source", one_of(["built_in", "config", "api", "worker"]), "Who says that it exists.")
        .has("about", text(), "")
        .has("example", anything(), "A payload.")
        .has("retry", named("RetryPolicy"), "By default.")
        .has("queue", text(), "By default.")
        .has("timeout_ms", or_null(count()), "By default; null means that of the server.")
        .has("workers", count(), "How many workers run its jobs now.")
        .may_have("schema", anything(), "The JSON Schema of its payloads, if it declares one.")
        .shape();
    let kinds = ObjectSchema::new("The kinds, by name.")
        .has("kinds", list(named("Kind")), "")
        .has("cursor", cursor(), "")
        .shape();
    let declaration =
        ObjectSchema::new("What is declared about a kind. It replaces what was declared before.")
            .optional("about", not_blank(KindSpec::MAX_ABOUT), "")
            .optional(
                "example",
                anything(),
                "A payload, of at most 64 KiB, which matches the schema.",
            )
            .optional(
                "schema",
                either([map(anything()), flag()]),
                "The JSON Schema of its payloads, of at most 64 KiB.",
            )
            .optional("queue", plain_name(), "")
            .optional("max_attempts", integer(ATTEMPTS), "")
            .optional("backoff", named("BackoffOptions"), "")
            .optional("timeout_ms", integer(TIMEOUT_MS), "")
            .request();
    let group = ObjectSchema::new("Jobs that failed with the same error.")
        .has("id", text(), "")
        .has("kind", text(), "")
        .has("class", one_of(["error", "timeout", "panic", "lost"]), "")
        .has("pattern", text(), "The error without what differs from job to job.")
        .has("message", text(), "The error of the last failure.")
        .has("example", job_id(), "")
        .has("dead", count(), "Discarded jobs.")
        .has("retrying", count(), "Jobs that are going to be tried again.")
        .has("first_at", time(), "")
        .has("last_at", time(), "")
        .has("minutes", list(count()), "Failed attempts in each minute, the current one last.")
        .has("hours", list(count()), "Failed attempts in each hour, the current one last.")
        .shape();
    let groups = ObjectSchema::new("The groups, the one with the latest failure first.")
        .has("groups", list(named("FailureGroup")), "")
        .has("total", count(), "")
        .has(
            "counting",
            flag(),
            "Whether jobs that failed before the start of the server are still being counted.",
        )
        .has("beyond", count(), "Failed jobs in no group, because there are too many groups.")
        .has("cursor", cursor(), "")
        .shape();
    vec![
        ("FailureGroup", group),
        ("FailureGroups", groups),
        ("Kind", kind),
        ("KindDeclaration", declaration),
        ("Kinds", kinds),
    ]
}

/// The operations on kinds.
pub fn endpoints() -> Vec<Endpoint> {
    let path = "/api/v1/kinds/{kind}";
    vec![
        Endpoint::new("GET", "/api/v1/kinds", "listKinds", "List the kinds").answer(
            200,
            "The kinds.",
            named("Kinds"),
        ),
        one("GET", path, "getKind", "Read a kind")
            .answer(200, "The kind.", named("Kind"))
            .may_fail(&["no_such_kind"]),
        one("PUT", path, "declareKind", "Declare a kind, or change what is declared")
            .body(named("KindDeclaration"), examples::KIND)
            .answer(200, "The kind.", named("Kind"))
            .may_fail(&["built_in_kind", "declared_kind", "no_such_kind", "too_many_kinds"]),
        one("DELETE", path, "deleteKind", "Delete the declaration of a kind; its jobs stay")
            .without_fields()
            .answer_empty(204, "The declaration is deleted.")
            .may_fail(&["built_in_kind", "declared_kind", "no_such_kind"]),
    ]
}

/// The operation on failures.
pub fn failures() -> Vec<Endpoint> {
    vec![
        Endpoint::new("GET", "/api/v1/failures", "listFailures", "List groups of failed jobs")
            .limit(MAX_GROUPS, USUAL_GROUPS)
            .answer(200, "The groups.", named("FailureGroups")),
    ]
}

fn one(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Endpoint {
    let about = "The name of the kind. A `~` before a name is ignored.";
    Endpoint::new(method, path, id, summary).segment("kind", plain_name(), "resize", about)
}
