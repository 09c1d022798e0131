//! The schemas of the protocol of workers, over HTTP and over WebSocket, and of the list of workers.

use super::schema::{
    ApiSchema, ObjectSchema, any_of, anything, count, cursor, either, flag, integer, job_id, line,
    list, list_of, named, one_of, or_null, plain_name, text, time,
};
use crate::engine::WorkerState;
use crate::http::workers::read::{
    CONCURRENCY, DELAY_MS, LEASE_MS, MAX, MAX_ABOUT, MAX_ITEMS, MAX_NAMES, PID, UNITS, WAIT_MS,
};

/// The schemas, by their names.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let mut all = claims();
    all.extend(reports());
    all.extend(answers());
    all.extend(listed());
    all
}

/// What a worker says about itself when it claims jobs or gets ready for them.
pub fn registration(members: ObjectSchema) -> ObjectSchema {
    members
        .has("kinds", list_of(plain_name(), 1, MAX_NAMES), "The kinds that it can run.")
        .optional("queues", list_of(plain_name(), 1, MAX_NAMES), "By default `default`.")
        .optional("lease_ms", integer(LEASE_MS), "How long leases last; 30 s by default.")
        .optional("about", named("WorkerAbout"), "Shown on the page of workers.")
}

fn claims() -> Vec<(&'static str, ApiSchema)> {
    let word = || line(MAX_ABOUT);
    let about = ObjectSchema::new("What a worker says about itself.")
        .optional("host", word(), "")
        .optional("pid", integer(PID), "")
        .optional("client", word(), "")
        .optional("version", word(), "")
        .optional(
            "concurrency",
            integer(CONCURRENCY),
            "How many jobs it runs at once. It is never given more.",
        )
        .optional(
            "instance",
            word(),
            "A random text that tells its process from others with its name.",
        )
        .request();
    let claim = registration(ObjectSchema::new("Which jobs a worker can run."))
        .optional("max", integer(MAX), "The most jobs; 1 by default.")
        .optional("wait_ms", integer(WAIT_MS), "How long to wait for a job; 0 by default.")
        .request();
    let job = ObjectSchema::new("A job to run.")
        .has("id", job_id(), "")
        .has("kind", text(), "")
        .has("queue", text(), "")
        .has("payload", anything(), "")
        .has("attempt", count(), "The number of this attempt.")
        .has("max_attempts", count(), "")
        .has("timeout_ms", or_null(count()), "")
        .has("priority", integer(crate::engine::submission::PRIORITY), "")
        .has("tags", list(text()), "")
        .has("enqueued_at", time(), "")
        .shape();
    let lease = ObjectSchema::new("A job with the lease on one attempt of it.")
        .has("lease", text(), "It cannot be guessed. Whoever has it can act on the attempt.")
        .has("expires_in_ms", count(), "")
        .has("job", named("LeasedJob"), "")
        .shape();
    let claimed = ObjectSchema::new("The claimed jobs, none if there were none in time.")
        .has("leases", list(named("Lease")), "")
        .may_have("command", one_of(["quiet", "stop"]), "What somebody has told the worker.")
        .shape();
    vec![
        ("Claim", claim),
        ("ClaimedJobs", claimed),
        ("Lease", lease),
        ("LeasedJob", job),
        ("WorkerAbout", about),
    ]
}

/// How an attempt ended: one form for each outcome. `base` has the members that all of them have.
fn ending(base: fn() -> ObjectSchema) -> ApiSchema {
    let outcome = |name: &'static str| base().has("outcome", one_of([name]), "");
    let error = |members: ObjectSchema| members.has("error", text(), "What went wrong.");
    let after = "The shortest delay before the next attempt, at most a year.";
    either([
        outcome("done").may_have("result", anything(), "Null by default.").request(),
        error(outcome("retry")).optional("after_ms", integer(DELAY_MS), after).request(),
        outcome("snooze").has("delay_ms", integer(DELAY_MS), "At most a year.").request(),
        error(outcome("discard")).request(),
        outcome("cancelled").request(),
        outcome("returned").request(),
    ])
}

fn note(members: ObjectSchema) -> ObjectSchema {
    members.optional("lines", list_of(named("ReportedLine"), 0, MAX_ITEMS), "").optional(
        "progress",
        named("ReportedProgress"),
        "",
    )
}

/// The members of a report about several attempts.
pub fn report(members: ObjectSchema) -> ObjectSchema {
    members
        .optional("extend", list_of(text(), 0, MAX_ITEMS), "The leases to extend.")
        .optional("lease_ms", integer(LEASE_MS), "How long they last from now.")
        .optional(
            "note",
            list_of(named("Note"), 0, MAX_ITEMS),
            "Log lines and progress, which are stored first.",
        )
        .optional("settle", list_of(named("Settlement"), 0, MAX_ITEMS), "How attempts ended.")
}

fn reports() -> Vec<(&'static str, ApiSchema)> {
    let line = ObjectSchema::new("A line of the log.")
        .has("text", text(), "It is cut after 8 KiB.")
        .optional("stream", one_of(["log", "stdout", "stderr"]), "`log` by default.")
        .optional("at", time(), "The time of arrival by default.")
        .request();
    let progress = ObjectSchema::new("How far a job has come.")
        .has("done", integer(UNITS), "")
        .optional("total", integer(UNITS), "")
        .optional("message", text(), "It is cut after 1 KiB.")
        .request();
    let callback = ObjectSchema::new("What a service reports about the one lease in the path.")
        .optional("extend", flag(), "Whether to extend the lease.")
        .optional("lease_ms", integer(LEASE_MS), "")
        .optional("note", named("CallbackNote"), "")
        .optional("settle", named("CallbackSettlement"), "")
        .request();
    vec![
        ("CallbackNote", note(ObjectSchema::new("Log lines and progress.")).request()),
        ("CallbackReport", callback),
        ("CallbackSettlement", ending(|| ObjectSchema::new(""))),
        (
            "Note",
            note(ObjectSchema::new("Log lines and progress.").has("lease", text(), "")).request(),
        ),
        ("Report", report(ObjectSchema::new("A report about attempts.")).request()),
        ("ReportedLine", line),
        ("ReportedProgress", progress),
        ("Settlement", ending(|| ObjectSchema::new("").has("lease", text(), ""))),
    ]
}

fn settled(members: ObjectSchema) -> ObjectSchema {
    members
        .has(
            "status",
            one_of(["settled", "stale", "gone", "invalid"]),
            "What is `settled` is durable.",
        )
        .may_have("state", named("JobState"), "Of the job; only if settled.")
        .may_have("detail", text(), "Only if invalid.")
}

/// The members of the answer to a report.
pub fn report_answer(members: ObjectSchema) -> ObjectSchema {
    members
        .has("extend", list(named("LeaseStatus")), "")
        .has("note", list(named("NoteStatus")), "")
        .has("settle", list(named("SettlementStatus")), "")
}

fn answers() -> Vec<(&'static str, ApiSchema)> {
    let kept = || one_of(["kept", "cancel", "lost"]);
    let lease = ObjectSchema::new("The answer to an extension.")
        .has("lease", text(), "")
        .has("status", kept(), "`cancel`: extended, but the job is to be cancelled.")
        .shape();
    let note = ObjectSchema::new("The answer to a note.")
        .has("lease", text(), "")
        .has("status", one_of(["noted", "lost"]), "")
        .shape();
    let callback = ObjectSchema::new("One answer for each part that was given.")
        .may_have("extend", kept(), "")
        .may_have("note", one_of(["noted", "lost"]), "")
        .may_have("settle", named("CallbackSettlementStatus"), "")
        .shape();
    let settlement =
        ObjectSchema::new("The answer to the end of an attempt.").has("lease", text(), "");
    let returned = ObjectSchema::new("A worker has signed off.")
        .has("returned", count(), "How many jobs it gave back.")
        .shape();
    vec![
        ("CallbackAnswer", callback),
        (
            "CallbackSettlementStatus",
            settled(ObjectSchema::new("The answer to the end of an attempt.")).shape(),
        ),
        ("LeaseStatus", lease),
        ("NoteStatus", note),
        ("ReportAnswer", report_answer(ObjectSchema::new("One answer for each item.")).shape()),
        ("SettlementStatus", settled(settlement).shape()),
        ("SignedOff", returned),
    ]
}

fn listed() -> Vec<(&'static str, ApiSchema)> {
    let own = ObjectSchema::new("The worker in the server's own process.")
        .has("name", text(), "")
        .has("remote", flag(), "")
        .has("started_at", or_null(time()), "")
        .has("running", count(), "")
        .has("max_running", count(), "")
        .has("lingering", count(), "Attempts that are over, but whose handlers have not returned.")
        .has("lease_ms", count(), "")
        .shape();
    let remote = ObjectSchema::new("A worker in another process.")
        .has("name", text(), "")
        .has("remote", flag(), "")
        .has("host", or_null(text()), "")
        .has("pid", or_null(count()), "")
        .has("client", or_null(text()), "")
        .has("version", or_null(text()), "")
        .has("transport", one_of(["http", "websocket"]), "")
        .has("kinds", list(text()), "")
        .has("queues", list(text()), "")
        .has("concurrency", or_null(count()), "")
        .has("running", count(), "")
        .has("state", one_of(WorkerState::ALL.map(WorkerState::as_str)), "")
        .has("connected_at", time(), "")
        .has("seen_at", time(), "")
        .has("lease_ms", count(), "")
        .shape();
    let attempt = ObjectSchema::new("A running attempt.")
        .has("job", job_id(), "")
        .has("queue", text(), "")
        .has("kind", text(), "")
        .has("attempt", count(), "")
        .has("worker", text(), "")
        .has("started_at", time(), "")
        .has("heartbeat_at", time(), "")
        .has("lease_until", time(), "")
        .has("ending", flag(), "Whether it is to end.")
        .shape();
    let workers = ObjectSchema::new("A page of workers.")
        .has("workers", list(any_of([named("RemoteWorker"), named("OwnWorker")])), "")
        .has("next", or_null(text()), "The `after` of the next page; null at the end.")
        .has("attempts", list(named("RunningAttempt")), "The oldest attempts of all workers.")
        .has("total", count(), "The number of all attempts.")
        .has("cursor", cursor(), "")
        .shape();
    vec![
        ("OwnWorker", own),
        ("RemoteWorker", remote),
        ("RunningAttempt", attempt),
        ("Workers", workers),
    ]
}
