//! Submitting, finding, reading and changing jobs.

use super::examples::{self, JOB};
use super::operation::Endpoint;
use super::schema::{
    ApiSchema, ObjectSchema, any_of, flag, idempotency_header, integer, job_id, job_id_or_empty,
    moment, named, one_of, plain_name, tag, text, text_of,
};
use crate::engine::submission::PRIORITY;
use crate::job::{IntegerRange, JobQuery, State};

/// How many jobs a page has if the request does not say.
const USUAL_PAGE: usize = 50;

/// The schemas of requests that change one job.
pub fn schemas() -> Vec<(&'static str, ApiSchema)> {
    let to = ObjectSchema::new("Where a job is moved.").has("queue", plain_name(), "").request();
    let priority =
        ObjectSchema::new("Another priority.").has("priority", integer(PRIORITY), "").request();
    vec![("Move", to), ("Priority", priority)]
}

/// The operations.
pub fn endpoints() -> Vec<Endpoint> {
    let mut all = vec![
        Endpoint::new("POST", "/api/v1/jobs", "submitJobs", "Submit a job, or an array of jobs")
            .about(
                "Answers when the jobs are on disk. All jobs of an array are accepted or none. With `wait`, the answer \
                 for one job comes when it is final.",
            )
            .query("wait", wait(), WAIT)
            .header("Idempotency-Key", idempotency_header(), "The idempotency key of one job, instead of the field.")
            .body(named("JobSubmissions"), examples::SUBMIT)
            .answer(
                202,
                "The jobs are stored. With `wait`: the job is not final yet.",
                any_of([named("SubmittedJobs"), named("JobRow"), named("Job")]),
            )
            .answer(
                200,
                "A job with this idempotency key existed already, or `wait` was given and the job is final.",
                any_of([named("JobRow"), named("Job")]),
            )
            .locating(202)
            .locating(200)
            .linked(202, "/id", "id", OF_A_JOB)
            .linked(200, "/id", "id", OF_A_JOB)
            .may_fail(&[
                "backlog_full", "batch_too_long", "idempotency_key_reused", "invalid_idempotency_key",
                "invalid_payload", "no_such_job", "payload_too_large", "too_many_queues", "unknown_kind",
            ]),
        Endpoint::new("GET", "/api/v1/jobs", "listJobs", "List jobs, the newest first")
            .about("A job must match all parameters. A page that is not full may have a `next`; the last one has none.")
            .query("q", text_of(1, 1_000), "A search of at most 20 conditions, such as `error:timeout` or `payload.user.id:42`.")
            .queries("state", one_of(State::ALL.map(State::as_str)), "States.")
            .queries("queue", plain_name(), "Queues.")
            .queries("kind", plain_name(), "Kinds.")
            .queries("tag", tag(), "Tags.")
            .query("since", moment(), "Submitted at or after a time (RFC 3339), a day, or a time ago such as `2h`.")
            .query("until", moment(), "Submitted before it.")
            .query("ended_since", moment(), "Ended at or after it.")
            .query("ended_until", moment(), "Ended before it.")
            .query("after", job_id_or_empty(), "The `next` of the page before.")
            .limit(JobQuery::MAX_LIMIT, USUAL_PAGE)
            .answer(200, "A page of jobs.", named("JobPage")),
        of_job("GET", "/api/v1/jobs/{id}", "getJob", "Read a job")
            .about("`why` says why it is waiting, if it is. With `wait`, the answer comes when the job is final.")
            .query("wait", wait(), WAIT)
            .answer(200, "The job.", named("Job"))
            .answer(202, "With `wait`: the job, which is not final yet.", named("Job")),
        of_job("DELETE", "/api/v1/jobs/{id}", "deleteJob", "Delete a job")
            .without_fields()
            .answer_empty(204, "The job is deleted.")
            .may_fail(&["not_allowed"]),
        log(of_job("GET", "/api/v1/jobs/{id}/log", "getJobLog", "Read or follow the log of a job")),
    ];
    for (path, id, summary, text) in [
        ("/api/v1/jobs/{id}/retry", "retryJob", "Make a job available again", ""),
        (
            "/api/v1/jobs/{id}/cancel",
            "cancelJob",
            "Cancel a job",
            "A running job is only asked to end: it is still `running`, with `cancel_asked`.",
        ),
    ] {
        all.push(action(path, id, summary).about(text).without_fields());
    }
    all.push(
        action("/api/v1/jobs/{id}/move", "moveJob", "Move a waiting job to another queue")
            .body(named("Move"), examples::MOVE)
            .may_fail(&["too_many_queues"]),
    );
    all.push(
        action(
            "/api/v1/jobs/{id}/reprioritise",
            "reprioritiseJob",
            "Change the priority of a waiting job",
        )
        .body(named("Priority"), examples::REPRIORITISE),
    );
    all
}

/// The operations on one job.
const OF_A_JOB: &[&str] =
    &["getJob", "deleteJob", "getJobLog", "retryJob", "cancelJob", "moveJob", "reprioritiseJob"];

const WAIT: &str =
    "How long to wait for the end of the job, such as `30s`; at most `http.max_wait`.";

/// A duration in a query.
pub fn wait() -> ApiSchema {
    super::schema::matching("^[0-9]{1,6}(ms|s|m|h|d)?$")
}

fn of_job(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Endpoint {
    let endpoint = Endpoint::new(method, path, id, summary);
    endpoint.segment("id", job_id(), JOB, "The id of the job.").may_fail(&["no_such_job"])
}

fn action(path: &'static str, id: &'static str, summary: &'static str) -> Endpoint {
    of_job("POST", path, id, summary)
        .answer(200, "The status of the job.", named("JobStatus"))
        .may_fail(&["not_allowed"])
}

/// What a log is answered with, whoever may read it.
pub fn log(endpoint: Endpoint) -> Endpoint {
    let subscribers = ["no_such_job", "sockets_full", "too_many_sockets"];
    endpoint
        .about(
            "As JSON; as text with `Accept: text/plain` or with `follow` or `download`; and one object per line with \
             `Accept: application/x-ndjson`: `{\"line\",\"at\",\"stream\",\"text\"}`, `{\"dropped\"}`, blank lines as \
             heartbeats, and at last `{\"end\"}`.",
        )
        .query("after", integer(IntegerRange::at_least(0)), "Skips the lines up to this number.")
        .query("follow", flag(), "Streams new lines until the job is final.")
        .query("download", flag(), "Makes browsers save a file.")
        .answer(200, "The log.", named("JobLog"))
        .answer_as(200, "text/plain", "The log.", text())
        .answer_as(200, "application/x-ndjson", "The log.", text())
        .may_fail(&subscribers)
}
