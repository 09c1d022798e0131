//! Schedules, and previews of their patterns.

use super::examples;
use super::job_schemas::template;
use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, anything, count, cron, cursor, flag, integer, job_id, list, named,
    one_of, or_null, plain_name, text, time, time_zone,
};
use crate::engine::submission::schedule::LATE_MS;

/// The schemas.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let zone = "A name such as `Europe/Berlin`, or an offset such as `+02:00`; UTC by default.";
    let overlap = || one_of(["allow", "skip"]);
    let spec = ObjectSchema::new("A schedule as it is set.")
        .has("cron", cron(), "Five or six fields, `every 15m`, or a name such as `@daily`.")
        .optional("zone", time_zone(), zone)
        .optional(
            "overlap",
            overlap(),
            "Whether a job is enqueued while the last one is not finished; `allow` by default.",
        )
        .optional("max_late_ms", integer(LATE_MS), "A time that was missed by more is skipped.");
    let job = ObjectSchema::new("The jobs of a schedule.")
        .has("kind", text(), "")
        .has("payload", anything(), "As it was submitted, without secrets.")
        .has("queue", text(), "")
        .has("priority", integer(crate::engine::submission::PRIORITY), "")
        .has("max_attempts", count(), "")
        .has("backoff", named("Backoff"), "")
        .has("timeout_ms", or_null(count()), "")
        .has("tags", list(text()), "")
        .shape();
    let problem = ObjectSchema::new("Why a schedule is not due at its times.")
        .has("code", one_of(["unknown_zone", "never_due", "invalid_pattern"]), "")
        .has("message", text(), "")
        .shape();
    let fired = ObjectSchema::new("The last run of a schedule.")
        .has("due", or_null(time()), "Null when it was fired by a request.")
        .has("at", time(), "")
        .has("job", job_id(), "")
        .shape();
    let schedule = ObjectSchema::new("A schedule.")
        .has("name", text(), "")
        .has("cron", text(), "")
        .has("zone", text(), "")
        .has("in_words", text(), "The pattern in plain language.")
        .has("paused", flag(), "")
        .has("overlap", overlap(), "")
        .has("max_late_ms", or_null(count()), "")
        .has("origin", one_of(["api", "config"]), "Where it is declared, and can be changed.")
        .has("set_at", time(), "")
        .has("next_at", or_null(time()), "A paused schedule skips it.")
        .has("problem", or_null(named("ScheduleProblem")), "")
        .may_have("upcoming", list(time()), "The next times; only in answers with one schedule.")
        .has("last", or_null(named("ScheduleRun")), "")
        .has("skipped", count(), "The number of times that were skipped since the last job.")
        .has("job", named("ScheduledJob"), "")
        .shape();
    let schedules = ObjectSchema::new("All schedules, by name.")
        .has("schedules", list(named("Schedule")), "")
        .has("cursor", cursor(), "")
        .shape();
    let pattern = ObjectSchema::new("A pattern.")
        .has("cron", cron(), "")
        .optional("zone", time_zone(), zone)
        .request();
    let preview = ObjectSchema::new("What a pattern means.")
        .has("in_words", text(), "")
        .has("upcoming", list(time()), "The next times.")
        .shape();
    vec![
        ("CronPattern", pattern),
        ("CronPreview", preview),
        ("Schedule", schedule),
        ("ScheduleProblem", problem),
        ("ScheduleRun", fired),
        ("ScheduleSubmission", template(spec).request()),
        ("ScheduledJob", job),
        ("Schedules", schedules),
    ]
}

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    let path = "/api/v1/schedules/{name}";
    let mut all =
        vec![
            Endpoint::new("GET", "/api/v1/schedules", "listSchedules", "List the schedules")
                .answer(200, "The schedules.", named("Schedules")),
            one("GET", path, "getSchedule", "Read a schedule and its next times")
                .may_fail(&["no_such_schedule"]),
            one("PUT", path, "setSchedule", "Create or replace a schedule")
                .body(named("ScheduleSubmission"), examples::SCHEDULE)
                .may_fail(&[
                    "declared_schedule",
                    "invalid_payload",
                    "payload_too_large",
                    "too_many_schedules",
                    "unknown_kind",
                ]),
            named_one("DELETE", path, "deleteSchedule", "Delete a schedule; its jobs stay")
                .without_fields()
                .answer_empty(204, "The schedule is deleted.")
                .may_fail(&["declared_schedule", "no_such_schedule"]),
        ];
    for (path, id, summary) in [
        ("/api/v1/schedules/{name}/pause", "pauseSchedule", "Pause a schedule"),
        ("/api/v1/schedules/{name}/resume", "resumeSchedule", "Resume a schedule"),
    ] {
        all.push(one("POST", path, id, summary).without_fields().may_fail(&["no_such_schedule"]));
    }
    all.push(
        one(
            "POST",
            "/api/v1/schedules/{name}/run",
            "runSchedule",
            "Enqueue the job of a schedule now",
        )
        .about("`last` in the answer has the id of the job.")
        .without_fields()
        .may_fail(&["invalid_idempotency_key", "no_such_schedule", "too_many_queues"]),
    );
    all.push(
        Endpoint::new(
            "POST",
            "/api/v1/cron/preview",
            "previewCron",
            "Explain a pattern without creating a schedule",
        )
        .body(named("CronPattern"), examples::CRON)
        .answer(200, "What it means.", named("CronPreview")),
    );
    all
}

fn named_one(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Endpoint {
    let about = "The name of the schedule. A `~` before a name is ignored.";
    Endpoint::new(method, path, id, summary).segment("name", plain_name(), "nightly", about)
}

fn one(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Endpoint {
    named_one(method, path, id, summary).answer(200, "The schedule.", named("Schedule"))
}
