//! The schemas of jobs: as they are submitted, as lists and answers show them, and their logs.

use super::schema::{
    ApiSchema, ObjectSchema, anything, count, cursor, either, flag, idempotency_key, integer,
    job_id, list, list_of, moment, named, one_of, one_or_some, or_null, plain_name,
    request_with_any, some, tag, text, text_of, time,
};
use crate::engine::submission::{ATTEMPTS, BACKOFF_MS, DELAY_MS, MAX_TAGS, PRIORITY, TIMEOUT_MS};
use crate::job::{JobQuery, State};

/// The schemas, by their names.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let mut all = submitted();
    all.extend(parts());
    all.extend(shown());
    all
}

/// The fields that a submission and the job of a schedule have in common.
pub fn template(members: ObjectSchema) -> ObjectSchema {
    members
        .has("kind", plain_name(), "The kind, which says who can run it.")
        .optional("payload", anything(), "The input of the handler: any JSON.")
        .optional("queue", plain_name(), "The queue; by default that of the kind, or `default`.")
        .optional(
            "priority",
            integer(PRIORITY),
            "Jobs with higher numbers run first; 0 by default.",
        )
        .optional(
            "max_attempts",
            integer(ATTEMPTS),
            "The most attempts; by default those of the kind.",
        )
        .optional("backoff", named("BackoffOptions"), "By default that of the kind.")
        .optional(
            "timeout_ms",
            integer(TIMEOUT_MS),
            "The longest attempt; by default that of the kind.",
        )
        .optional("tags", list(tag()), &format!("At most {MAX_TAGS} different tags."))
}

/// The values of a condition on jobs.
fn condition(name: &str) -> ApiSchema {
    match name {
        "q" => either([text_of(1, 1_000), list_of(text_of(1, 1_000), 1, JobQuery::MAX_TERMS)]),
        "state" => one_or_some(|| one_of(State::ALL.map(State::as_str))),
        "queue" | "kind" => one_or_some(plain_name),
        "tag" => one_or_some(tag),
        _ => one_or_some(moment),
    }
}

fn submitted() -> Vec<(&'static str, ApiSchema)> {
    let base = "The upper bound of the first delay.";
    let cap = "The upper bound of all delays, which is not below the other one.";
    let backoff = request_with_any(
        "The delays between attempts. At least one of the two is needed.",
        &[("base_ms", integer(BACKOFF_MS), base), ("cap_ms", integer(BACKOFF_MS), cap)],
    );
    let submission = template(ObjectSchema::new("A job as it is submitted."))
        .optional("delay_ms", integer(DELAY_MS), "The delay before it is due; not with `run_at`.")
        .optional(
            "run_at",
            time(),
            "When it is due; not with `delay_ms`. A time in the past means now.",
        )
        .optional(
            "idempotency_key",
            idempotency_key(),
            "Submissions with the same key create only one job.",
        )
        .request();
    let body = either([named("JobSubmission"), some(named("JobSubmission"))]);
    let filter = crate::http::api::query::JOB_FILTER.into_iter().fold(
        ObjectSchema::new("Conditions, all of which a job must meet. `{}` selects every job."),
        |filter, name| filter.may_have(name, condition(name), ""),
    );
    vec![
        ("BackoffOptions", backoff),
        ("JobFilter", filter.request()),
        ("JobSubmission", submission),
        ("JobSubmissions", body),
    ]
}

fn parts() -> Vec<(&'static str, ApiSchema)> {
    let progress = ObjectSchema::new("How far a job has come.")
        .has("done", count(), "")
        .has("total", or_null(count()), "")
        .has("message", or_null(text()), "")
        .shape();
    let failure = ObjectSchema::new("Why an attempt failed.")
        .has("class", one_of(["error", "timeout", "panic", "lost"]), "")
        .has("message", text(), "")
        .may_have(
            "summary",
            text(),
            "The line that says what happened, if it is not the first one.",
        )
        .shape();
    let line = ObjectSchema::new("A line that a handler has logged.")
        .has("at", time(), "")
        .has("stream", one_of(["log", "stdout", "stderr"]), "")
        .has("text", text(), "")
        .shape();
    let backoff = ObjectSchema::new("The delays between attempts.")
        .has("base_ms", count(), "The upper bound of the first delay.")
        .has("cap_ms", count(), "The upper bound of all delays.")
        .shape();
    let retry = ObjectSchema::new("How often and when a job is tried again.")
        .has("max_attempts", count(), "")
        .has("backoff", named("Backoff"), "")
        .has("in_words", text(), "What it amounts to.")
        .shape();
    let actor = ObjectSchema::new("Who caused something; exactly one member.")
        .may_have("user", text(), "")
        .may_have("token", text(), "")
        .may_have("schedule", text(), "")
        .may_have("link", text(), "The id of a share link.")
        .shape();
    let states = State::ALL.map(State::as_str);
    let counts =
        states.into_iter().fold(ObjectSchema::new("The numbers of jobs by state."), |all, name| {
            all.has(name, count(), "")
        });
    vec![
        ("Actor", actor),
        ("Backoff", backoff),
        ("Failure", failure),
        ("JobCounts", counts.shape()),
        ("JobState", one_of(states)),
        ("LogLine", line),
        ("Progress", progress),
        ("RetryPolicy", retry),
    ]
}

fn row(members: ObjectSchema) -> ObjectSchema {
    members
        .has("id", job_id(), "")
        .has("kind", text(), "")
        .has("queue", text(), "")
        .has("state", named("JobState"), "")
        .has("priority", integer(PRIORITY), "")
        .has("tags", list(text()), "")
        .has("attempt", count(), "The number of attempts so far.")
        .has("max_attempts", count(), "")
        .has("enqueued_at", time(), "")
        .may_have("enqueued_by", named("Actor"), "Absent when nobody was authenticated.")
        .has("run_at", time(), "When it is or was due.")
        .has("finished_at", or_null(time()), "")
        .has("progress", or_null(named("Progress")), "")
        .has("error", or_null(named("Failure")), "Of the last failed attempt, unless it completed.")
        .has("cancel_asked", flag(), "Whether it is running and is to be cancelled.")
        .has("idempotency_key", or_null(text()), "")
        .has("seq", count(), "The number of the last event about it.")
        .may_have("existing", flag(), "True if a job with the idempotency key existed already.")
}

/// What events and entries of the timeline say beyond their type, by the type.
pub fn change(members: ObjectSchema) -> ObjectSchema {
    members
        .may_have("priority", integer(PRIORITY), "")
        .may_have("max_attempts", count(), "")
        .may_have("run_at", time(), "")
        .may_have("worker", text(), "")
        .may_have("progress", named("Progress"), "")
        .may_have("lines", list(named("LogLine")), "")
        .may_have("error", named("Failure"), "")
        .may_have("why", text(), "")
        .may_have("from", text(), "The previous queue.")
        .may_have("concurrency", or_null(count()), "Null means the configured value.")
        .may_have("rate_limit", or_null(text()), "Null means the configured value.")
        .may_have("due", or_null(time()), "Null means that a schedule was fired by a request.")
        .may_have("job_id", job_id(), "")
        .may_have("next_at", or_null(time()), "Null means never.")
}

fn shown() -> Vec<(&'static str, ApiSchema)> {
    let outcomes = ["completed", "failed", "snoozed", "cancelled", "interrupted", "lost"];
    let attempt = ObjectSchema::new("One attempt of a job.")
        .has("number", count(), "")
        .has("worker", text(), "")
        .has("started_at", time(), "")
        .has("ended_at", or_null(time()), "")
        .has("duration_ms", or_null(count()), "")
        .has("outcome", or_null(one_of(outcomes)), "Null while it is running.")
        .has("error", or_null(named("Failure")), "")
        .may_have("why", text(), "Why it was interrupted or lost.")
        .shape();
    let moment = ObjectSchema::new("A change of a job.")
        .has("seq", count(), "")
        .has("at", time(), "")
        .has("type", text(), "The type of the event.")
        .has("state", named("JobState"), "The state after it.")
        .has("attempt", count(), "")
        .may_have("by", named("Actor"), "");
    let why = ObjectSchema::new("Why a job is waiting.")
        .has("code", text(), "")
        .has("text", text(), "The same in a sentence.")
        .may_have("ahead", count(), "How many jobs come before it, counted up to 1,000.")
        .shape();
    let job = row(ObjectSchema::new("A job without its log."))
        .has("payload", anything(), "As it was submitted, without secrets.")
        .has("result", anything(), "What the handler returned, or null.")
        .has("timeout_ms", or_null(count()), "")
        .has("backoff", named("Backoff"), "")
        .has("attempts", list(named("Attempt")), "")
        .has("timeline", list(named("Moment")), "")
        .may_have("why", named("WaitReason"), "Only while it waits.")
        .may_have("cursor", cursor(), "The position in the event log at which it was read.")
        .shape();
    let page = ObjectSchema::new("A page of jobs, the newest first.")
        .has("jobs", list(named("JobRow")), "")
        .has("next", or_null(text()), "The `after` of the next page; null at the end.")
        .has("examined", count(), "How many jobs were examined for this page.")
        .has("cursor", cursor(), "")
        .shape();
    let submitted = ObjectSchema::new("The jobs of a submission, in its order.")
        .has("jobs", list(named("JobRow")), "")
        .shape();
    let status = ObjectSchema::new("The status of a job after an action.")
        .has("id", job_id(), "")
        .has("state", named("JobState"), "")
        .has("attempt", count(), "")
        .has("max_attempts", count(), "")
        .has("cancel_asked", flag(), "Whether it is running and is to be cancelled.")
        .shape();
    let numbered =
        ObjectSchema::new("A line of a log. Lines are numbered from 1 across all attempts.")
            .has("line", count(), "")
            .has("at", time(), "")
            .has("stream", one_of(["log", "stdout", "stderr"]), "")
            .has("text", text(), "")
            .shape();
    let log = ObjectSchema::new("The log of a job, oldest line first.")
        .has("lines", list(named("NumberedLine")), "")
        .has("dropped", count(), "The number of older lines that were dropped.")
        .has("cursor", cursor(), "")
        .shape();
    vec![
        ("Attempt", attempt),
        ("Job", job),
        ("JobLog", log),
        ("JobPage", page),
        ("JobRow", row(ObjectSchema::new("A job without payload, result and attempts.")).shape()),
        ("JobStatus", status),
        ("Moment", change(moment).shape()),
        ("NumberedLine", numbered),
        ("SubmittedJobs", submitted),
        ("WaitReason", why),
    ]
}
