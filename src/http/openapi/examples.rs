//! The requests in the document. The tests send each of them, and the page shows them as commands.

use super::operation::Example;

/// The id that stands for a job.
pub const JOB: &str = "019ab001-7c3e-7d10-8a55-0242ac120002";
/// The text that stands for a lease.
pub const LEASE: &str = "AZqwAXw-fRCKVQJCrBIAAgAAAAAAAAArcW1fXJm8c1Iu6x1w0p9mBw";

const fn example(name: &'static str, summary: &'static str, body: &'static str) -> Example {
    Example { name, summary, body }
}

pub const SUBMIT: &[Example] = &[
    example("one", "One job", r#"{"kind": "echo", "payload": {"text": "hello"}}"#),
    example(
        "options",
        "A job with every option",
        r#"{"kind": "echo", "payload": 1, "queue": "mail", "priority": 5, "delay_ms": 60000, "max_attempts": 10,
            "backoff": {"base_ms": 1000, "cap_ms": 60000}, "timeout_ms": 30000, "idempotency_key": "order 4711",
            "tags": ["nightly", "customer=42"]}"#,
    ),
    example("later", "A job at a time", r#"{"kind": "echo", "run_at": "2100-01-01T08:00:00Z"}"#),
    example(
        "several",
        "Two jobs, both or none",
        r#"[{"kind": "echo"}, {"kind": "echo", "queue": "mail"}]"#,
    ),
];

pub const MOVE: &[Example] = &[example("move", "To the queue mail", r#"{"queue": "mail"}"#)];

pub const REPRIORITISE: &[Example] = &[example("sooner", "Run it sooner", r#"{"priority": 5}"#)];

pub const BULK: &[Example] = &[
    example(
        "retry",
        "Retry all discarded jobs with a timeout",
        r#"{"action": "retry", "filter": {"state": "discarded", "q": "error:timeout"}}"#,
    ),
    example(
        "move",
        "Move listed jobs to another queue",
        r#"{"action": "move", "queue": "slow", "ids": ["019ab001-7c3e-7d10-8a55-0242ac120002"]}"#,
    ),
    example(
        "reprioritise",
        "Raise the priority of the jobs of two queues",
        r#"{"action": "reprioritise", "priority": 9, "filter": {"queue": ["mail", "web"]}}"#,
    ),
];

pub const CONCURRENCY: &[Example] = &[
    example("set", "At most eight at once", r#"{"concurrency": 8}"#),
    example("restore", "As configured", r#"{"concurrency": null}"#),
];

pub const RATE_LIMIT: &[Example] = &[
    example("set", "At most 100 in a minute", r#"{"rate_limit": "100/1m"}"#),
    example("none", "No limit, even if one is configured", r#"{"rate_limit": "none"}"#),
    example("restore", "As configured", r#"{"rate_limit": null}"#),
];

pub const SCHEDULE: &[Example] = &[
    example("often", "Every quarter of an hour", r#"{"cron": "every 15m", "kind": "echo"}"#),
    example(
        "nightly",
        "On working days, with every option",
        r#"{"cron": "30 2 * * mon-fri", "zone": "+01:00", "overlap": "skip", "max_late_ms": 3600000, "kind": "echo",
            "payload": {"text": "good night"}, "queue": "mail", "priority": -1, "max_attempts": 3,
            "backoff": {"base_ms": 1000, "cap_ms": 60000}, "timeout_ms": 30000, "tags": ["nightly"]}"#,
    ),
];

pub const CRON: &[Example] =
    &[example("last", "The last day of a month", r#"{"cron": "0 0 L * *", "zone": "+01:00"}"#)];

pub const KIND: &[Example] = &[
    example(
        "resize",
        "A kind with a schema and defaults",
        r#"{"about": "Resizes a picture.", "example": {"url": "https://example.com/a.png", "width": 640},
            "schema": {"type": "object", "required": ["url", "width"],
                       "properties": {"url": {"type": "string", "format": "uri"},
                                      "width": {"type": "integer", "minimum": 1}}},
            "queue": "media", "max_attempts": 5, "backoff": {"base_ms": 2000, "cap_ms": 60000},
            "timeout_ms": 300000}"#,
    ),
    example("nothing", "Only its name", "{}"),
];

pub const CLAIM: &[Example] = &[
    example("smallest", "One job, without waiting", r#"{"kinds": ["resize"]}"#),
    example(
        "all",
        "Every field",
        r#"{"queues": ["default", "mail"], "kinds": ["resize"], "max": 10, "lease_ms": 30000, "wait_ms": 1000,
            "about": {"host": "web-1", "pid": 4711, "client": "my-client", "version": "1.0", "concurrency": 10,
                      "instance": "5f0c2a9e71d84b36"}}"#,
    ),
];

pub const REPORT: &[Example] = &[
    example(
        "progress",
        "Extend a lease, with a log line and progress",
        r#"{"extend": ["AZqwAXw-fRCKVQJCrBIAAgAAAAAAAAArcW1fXJm8c1Iu6x1w0p9mBw"], "lease_ms": 30000,
            "note": [{"lease": "AZqwAXw-fRCKVQJCrBIAAgAAAAAAAAArcW1fXJm8c1Iu6x1w0p9mBw",
                      "lines": [{"text": "half done", "stream": "stderr", "at": "2026-11-23T08:00:01.500Z"}],
                      "progress": {"done": 1, "total": 2, "message": "encoding"}}]}"#,
    ),
    example(
        "done",
        "The job is completed",
        r#"{"settle": [{"lease": "AZqwAXw-fRCKVQJCrBIAAgAAAAAAAAArcW1fXJm8c1Iu6x1w0p9mBw", "outcome": "done",
                        "result": {"bytes": 5120}}]}"#,
    ),
    example(
        "retry",
        "The attempt failed",
        r#"{"settle": [{"lease": "AZqwAXw-fRCKVQJCrBIAAgAAAAAAAAArcW1fXJm8c1Iu6x1w0p9mBw", "outcome": "retry",
                        "error": "connection refused", "after_ms": 60000}]}"#,
    ),
];

pub const CALLBACK: &[Example] = &[
    example(
        "progress",
        "Extend the lease, with progress",
        r#"{"extend": true, "lease_ms": 60000, "note": {"lines": [{"text": "half done"}], "progress": {"done": 1}}}"#,
    ),
    example(
        "done",
        "The job is completed",
        r#"{"settle": {"outcome": "done", "result": {"bytes": 5120}}}"#,
    ),
];

pub const USER: &[Example] = &[example(
    "anna",
    "An operator",
    r#"{"name": "anna", "password": "correct horse battery", "role": "operator"}"#,
)];

pub const USER_CHANGE: &[Example] = &[
    example("role", "Another role", r#"{"role": "viewer"}"#),
    example("disable", "Lock somebody out", r#"{"disabled": true}"#),
];

pub const TOKEN: &[Example] = &[
    example(
        "ci",
        "A token that submits jobs",
        r#"{"name": "ci", "role": "submitter", "expires_in": "90d"}"#,
    ),
    example(
        "workers",
        "A token for workers of one queue",
        r#"{"name": "image-workers", "role": "worker", "queues": ["default"], "kinds": ["resize"]}"#,
    ),
];

pub const LINK: &[Example] = &[
    example(
        "job",
        "A link to a job, without its payload",
        r#"{"job": "019ab001-7c3e-7d10-8a55-0242ac120002", "expires_in": "7d", "payload": "hidden"}"#,
    ),
    example("queue", "A link to a queue", r#"{"queue": "default", "expires_in": "1d"}"#),
];
