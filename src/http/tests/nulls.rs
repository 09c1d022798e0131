//! `null` in bodies and messages: one rule for every interface. An optional member that is null is left out, and anything
//! else is never null, except the limits of a queue and the payload, for which null has a meaning.

use serde_json::json;

use super::support::{Server, errors};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn an_optional_member_that_is_null_is_left_out_at_every_interface() {
    let server = Server::start().await;
    let of_a_job =
        ["queue", "priority", "max_attempts", "backoff", "timeout_ms", "tags", "payload"];
    let of_a_start = ["delay_ms", "run_at", "idempotency_key"];
    for name in of_a_job.into_iter().chain(of_a_start) {
        let job = json!({"kind": "echo", name: null}).to_string();
        for body in [job.clone(), format!("[{job}]")] {
            let answer = server.post("/api/v1/jobs", &body).await;
            assert_eq!(answer.status, 202, "{body}: {answer:?}");
        }
    }
    for name in of_a_job.into_iter().chain(["zone", "overlap", "max_late_ms"]) {
        let body = json!({"cron": "@daily", "kind": "echo", name: null}).to_string();
        let answer = server.send("PUT", "/api/v1/schedules/s", &JSON, &body).await;
        assert_eq!(answer.status, 200, "{body}: {answer:?}");
    }
    for (path, body) in [
        ("cron/preview", json!({"cron": "@daily", "zone": null})),
        ("bulk/preview", json!({"action": "retry", "filter": {}, "ids": null, "queue": null})),
        ("bulk/preview", json!({"action": "retry", "filter": {}, "priority": null})),
        ("queues/mail/concurrency", json!({"concurrency": null})),
        ("queues/mail/rate_limit", json!({"rate_limit": null})),
        ("jobs", json!({"kind": "echo", "backoff": {"base_ms": null, "cap_ms": 90}})),
        ("jobs", json!({"kind": "echo", "backoff": {"base_ms": 90, "cap_ms": null}})),
    ] {
        let answer = server.post(&format!("/api/v1/{path}"), &body.to_string()).await;
        assert!(answer.status < 300, "{path} {body}: {answer:?}");
    }
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    socket.say(r#"{"type":"subscribe","id":"x","after":null,"stats":null}"#).await;
    socket.next_of("subscribed").await;
}

#[tokio::test]
async fn nothing_else_is_null() {
    let server = Server::start().await;
    let id = server.job("").await["id"].as_str().unwrap().to_owned();
    let neither = "backoff: must have base_ms or cap_ms, but has neither";
    let priority = "priority: must be an integer from -32768 to 32767, but is null";
    let condition = "must be a string or an array of strings, but is null";
    for (method, path, body, words) in [
        ("POST", "jobs", json!({"kind": null}), "kind: must be a string, but is null".to_owned()),
        ("POST", "jobs", json!({"kind": "echo", "backoff": {"base_ms": null}}), neither.into()),
        ("POST", "jobs", json!({"kind": "echo", "backoff": {"cap_ms": null}}), neither.into()),
        (
            "POST",
            "jobs",
            json!({"kind": "echo", "backoff": {"base_ms": null, "cap_ms": null}}),
            neither.into(),
        ),
        (
            "POST",
            "jobs",
            json!({"kind": "echo", "tags": ["a", null]}),
            "tags[1]: must be a string, but is null".into(),
        ),
        ("POST", "jobs", json!([null]), "[0]: must be an object, but is null".into()),
        (
            "PUT",
            "schedules/s",
            json!({"cron": null, "kind": "echo"}),
            "cron: must be a string, but is null".into(),
        ),
        (
            "PUT",
            "schedules/s",
            json!({"cron": "@daily", "kind": "echo", "backoff": {"base_ms": null}}),
            neither.into(),
        ),
        (
            "POST",
            "cron/preview",
            json!({"cron": null}),
            "cron: must be a string, but is null".into(),
        ),
        (
            "POST",
            "bulk/preview",
            json!({"action": null, "filter": {}}),
            "action: must be a string, but is null".into(),
        ),
        (
            "POST",
            "bulk/preview",
            json!({"action": "retry", "filter": null}),
            "filter: must be an object, but is null".into(),
        ),
        (
            "POST",
            "bulk/preview",
            json!({"action": "retry", "filter": {"queue": null}}),
            format!("filter.queue: {condition}"),
        ),
        (
            "POST",
            "bulk/preview",
            json!({"action": "retry", "ids": [null]}),
            "ids[0]: must be a string, but is null".into(),
        ),
        (
            "POST",
            "bulk/preview",
            json!({"action": "move", "filter": {}, "queue": null}),
            "queue: is required with move".into(),
        ),
        ("POST", &format!("jobs/{id}/reprioritise"), json!({"priority": null}), priority.into()),
        (
            "POST",
            &format!("jobs/{id}/move"),
            json!({"queue": null}),
            "queue: must be a string, but is null".into(),
        ),
    ] {
        let answer =
            server.send(method, &format!("/api/v1/{path}"), &JSON, &body.to_string()).await;
        let problem = answer.is_problem(422, "invalid_fields");
        assert_eq!(errors(&problem)[0], words, "{path} {body}");
    }
}
