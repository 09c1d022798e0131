//! What a server answers to all operations is compared with the document.

use std::collections::BTreeSet;

use super::super::support::within;
use super::{Described, operations};
use crate::http::openapi::examples::KIND;

/// A job that waits, so that everything can be done to it.
const WAITING: &str = r#"{"kind":"echo","delay_ms":3600000}"#;

#[tokio::test]
async fn the_answers_of_all_operations_are_those_of_the_document() {
    let described = Described::start().await;
    jobs(&described).await;
    logs(&described).await;
    queues_and_schedules(&described).await;
    kinds_and_workers(&described).await;
    server(&described).await;
    access(&described).await;
    shared(&described).await;
    refusals(&described).await;
    let seen = described.seen.borrow();
    let mut unseen = BTreeSet::new();
    for (method, path, operation) in operations(&described.document) {
        for status in operation["responses"].as_object().unwrap().keys() {
            let status: u16 = status.parse().unwrap();
            if status < 300 && !seen.contains(&(method.clone(), path.clone(), status)) {
                unseen.insert(format!("{method} {path} {status}"));
            }
        }
    }
    let expected = [
        // Nobody has logged in on the pages.
        "DELETE /api/v1/sessions/{id} 204",
        // Sockets are opened by other tests.
        "GET /api/v1/workers/{name}/ws 101",
        "GET /api/v1/ws 101",
        "GET /shared/{link}/ws 101",
    ];
    assert_eq!(unseen, expected.map(str::to_owned).into());
}

async fn jobs(described: &Described) {
    let call = async |method: &str, route: &str, path: &str, body: &str, status: u16| {
        let answer = described.call(method, route, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        answer
    };
    let (all, one) = ("/api/v1/jobs", "/api/v1/jobs/{id}");
    call("POST", all, all, r#"{"kind":"echo","idempotency_key":"a","tags":["x"]}"#, 202).await;
    call("POST", all, all, r#"{"kind":"echo","idempotency_key":"a","tags":["x"]}"#, 200).await;
    call("POST", all, all, r#"[{"kind":"echo"},{"kind":"echo"}]"#, 202).await;
    let done = "/api/v1/jobs?wait=30s";
    let id = call("POST", all, done, r#"{"kind":"echo","payload":{"a":[1,null]}}"#, 200).await;
    let done = id.json()["id"].as_str().unwrap().to_owned();
    call("GET", one, &format!("{all}/{done}"), "", 200).await;
    let refused = r#"{"kind":"refuse","queue":"mail"}"#;
    let dead = call("POST", all, "/api/v1/jobs?wait=30s", refused, 200).await.json();
    let dead = dead["id"].as_str().unwrap();
    call("POST", "/api/v1/jobs/{id}/retry", &format!("{all}/{dead}/retry"), "", 200).await;
    call("GET", one, &format!("{all}/{dead}?wait=30s"), "", 200).await;
    let held = described.job(r#"{"kind":"hold"}"#).await;
    call("POST", all, "/api/v1/jobs?wait=1ms", r#"{"kind":"hold"}"#, 202).await;
    call("GET", one, &format!("{all}/{held}?wait=1ms"), "", 202).await;
    call("POST", "/api/v1/jobs/{id}/cancel", &format!("{all}/{held}/cancel"), "", 200).await;
    let waiting = described.job(WAITING).await;
    call("GET", one, &format!("{all}/{waiting}"), "", 200).await;
    let to = r#"{"queue":"slow"}"#;
    call("POST", "/api/v1/jobs/{id}/move", &format!("{all}/{waiting}/move"), to, 200).await;
    let path = format!("{all}/{waiting}/reprioritise");
    call("POST", "/api/v1/jobs/{id}/reprioritise", &path, r#"{"priority":-7}"#, 200).await;
    call("GET", one, &format!("{all}/{waiting}"), "", 200).await;
    call("GET", all, "/api/v1/jobs?limit=3&state=completed,running&since=1h", "", 200).await;
    call("GET", all, "/api/v1/jobs?q=error:coffee&kind=refuse", "", 200).await;
    call("DELETE", one, &format!("{all}/{waiting}"), "", 204).await;
    let bulk = "/api/v1/bulk";
    let request = r#"{"action":"retry","filter":{"state":["discarded","completed"]}}"#;
    call("POST", "/api/v1/bulk/preview", "/api/v1/bulk/preview", request, 200).await;
    let run = call("POST", bulk, bulk, request, 202).await.json();
    let run = run["id"].as_str().unwrap();
    call("POST", "/api/v1/bulk/{id}/stop", &format!("{bulk}/{run}/stop"), "{}", 200).await;
    call("GET", "/api/v1/bulk/{id}", &format!("{bulk}/{run}"), "", 200).await;
    call("POST", bulk, bulk, r#"{"action":"move","queue":"x","filter":{"state":"running"}}"#, 202)
        .await;
    call("GET", bulk, bulk, "", 200).await;
}

async fn logs(described: &Described) {
    let held = described.job(r#"{"kind":"hold"}"#).await;
    let (route, path) = ("/api/v1/jobs/{id}/log", format!("/api/v1/jobs/{held}/log"));
    described.server.gate.add_permits(10);
    let wait = format!("/api/v1/jobs/{held}?wait=30s");
    within(described.call("GET", "/api/v1/jobs/{id}", &wait, "")).await;
    for accepted in ["application/json", "text/plain", "application/x-ndjson"] {
        for query in ["", "?after=1", "?follow", "?download"] {
            let path = format!("{path}{query}");
            described.call_with("GET", route, &path, &[("accept", accepted)], "").await;
        }
    }
}

async fn queues_and_schedules(described: &Described) {
    let call = async |method: &str, route: &str, path: &str, body: &str, status: u16| {
        let answer = described.call(method, route, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        answer
    };
    for (verb, body) in [
        ("pause", ""),
        ("resume", "null"),
        ("concurrency", r#"{"concurrency":3}"#),
        ("rate_limit", r#"{"rate_limit":"100/1m"}"#),
    ] {
        let route = format!("/api/v1/queues/{{name}}/{verb}");
        call("POST", &route, &format!("/api/v1/queues/mail/{verb}"), body, 204).await;
    }
    call("GET", "/api/v1/queues", "/api/v1/queues", "", 200).await;
    let (one, path) = ("/api/v1/schedules/{name}", "/api/v1/schedules/often");
    call("PUT", one, path, r#"{"cron":"every 15m","kind":"echo","max_late_ms":5000}"#, 200).await;
    for verb in ["pause", "resume", "run"] {
        let route = format!("{one}/{verb}");
        call("POST", &route, &format!("{path}/{verb}"), "", 200).await;
    }
    call("GET", one, path, "", 200).await;
    call("GET", "/api/v1/schedules", "/api/v1/schedules", "", 200).await;
    call("DELETE", one, path, "", 204).await;
    call("POST", "/api/v1/cron/preview", "/api/v1/cron/preview", r#"{"cron":"@daily"}"#, 200).await;
}

async fn kinds_and_workers(described: &Described) {
    let call = async |method: &str, route: &str, path: &str, body: &str, status: u16| {
        let answer = described.call(method, route, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        answer
    };
    let (one, path) = ("/api/v1/kinds/{kind}", "/api/v1/kinds/resize");
    call("PUT", one, path, KIND[0].body, 200).await;
    call("GET", one, path, "", 200).await;
    call("GET", "/api/v1/kinds", "/api/v1/kinds", "", 200).await;
    let lease = described.lease().await;
    let worker = "/api/v1/workers/leaser";
    call("GET", "/api/v1/workers", "/api/v1/workers", "", 200).await;
    let report = format!(
        r#"{{"extend":["{lease}","x"],"note":[{{"lease":"{lease}","lines":[{{"text":"a"}}]}},{{"lease":"x"}}],
            "settle":[{{"lease":"{lease}","outcome":"snooze","delay_ms":5}},{{"lease":"x","outcome":"returned"}}]}}"#
    );
    call("POST", "/api/v1/leases", "/api/v1/leases", &report, 200).await;
    let lease = described.lease().await;
    let (route, path) = ("/api/v1/leases/{lease}", format!("/api/v1/leases/{lease}"));
    let note = r#"{"extend":true,"note":{"progress":{"done":1}},"settle":{"outcome":"discard","error":"no"}}"#;
    call("POST", route, &path, note, 200).await;
    for verb in ["quiet", "stop", "resume"] {
        let route = format!("/api/v1/workers/{{name}}/{verb}");
        call("POST", &route, &format!("{worker}/{verb}"), "", 204).await;
    }
    call("POST", "/api/v1/workers/{name}/quiet", &format!("{worker}/quiet"), "", 204).await;
    let claim = r#"{"kinds":["resize"]}"#;
    call("POST", "/api/v1/workers/{name}/claim", &format!("{worker}/claim"), claim, 200).await;
    call("GET", "/api/v1/workers", "/api/v1/workers?state=quiet&limit=1", "", 200).await;
    call("DELETE", "/api/v1/workers/{name}", worker, "", 200).await;
    call("DELETE", one, "/api/v1/kinds/resize", "", 204).await;
}

async fn server(described: &Described) {
    let mut paths = vec![
        "/api/v1/failures",
        "/api/v1/nodes",
        "/api/v1/stats",
        "/api/v1/me",
        "/api/v1/export",
        "/api/v1/backup",
        "/api/openapi.json",
        "/api/asyncapi.json",
        "/metrics",
        "/healthz",
        "/readyz",
    ];
    paths.push("/api/v1/metrics/history");
    for path in paths {
        assert_eq!(described.call("GET", path, path, "").await.status, 200, "{path}");
    }
    let history = "/api/v1/metrics/history";
    for query in ["?range=1h", "?queue=mail", "?queue=mail&range=30d"] {
        let path = format!("{history}{query}");
        assert_eq!(described.call("GET", history, &path, "").await.status, 200, "{path}");
    }
    let open = [("accept", "application/openmetrics-text; version=1.0.0")];
    described.call_with("GET", "/metrics", "/metrics", &open, "").await;
    described.call("POST", "/api/v1/resume", "/api/v1/resume", "").await;
    let events = "/api/v1/events";
    let epoch = described.server.engine.head().to_string();
    let start = format!("{}:0", epoch.split(':').next().unwrap());
    for query in
        [format!("?after={start}&limit=1000&stats=true"), "?after=1:7".into(), "?wait=1ms".into()]
    {
        let path = format!("{events}{query}");
        assert_eq!(described.call("GET", events, &path, "").await.status, 200, "{path}");
    }
}

async fn access(described: &Described) {
    let call = async |method: &str, route: &str, path: &str, body: &str, status: u16| {
        let answer = described.call(method, route, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        answer
    };
    let (users, user) = ("/api/v1/users", "/api/v1/users/{name}");
    let new = r#"{"name":"bert","password":"correct horse battery","role":"viewer"}"#;
    call("POST", users, users, new, 201).await;
    call("PUT", user, "/api/v1/users/bert", r#"{"role":"operator","disabled":true}"#, 200).await;
    call("GET", user, "/api/v1/users/bert", "", 200).await;
    call("GET", users, users, "", 200).await;
    call("DELETE", user, "/api/v1/users/bert", "", 204).await;
    let tokens = "/api/v1/tokens";
    let new = r#"{"name":"ci","role":"worker","queues":["a"],"expires_at":"2100-01-01T00:00:00Z"}"#;
    let token = call("POST", tokens, tokens, new, 201).await.json();
    call("GET", tokens, tokens, "", 200).await;
    let path = format!("{tokens}/{}", token["id"].as_str().unwrap());
    call("DELETE", "/api/v1/tokens/{id}", &path, "", 204).await;
    call("GET", "/api/v1/sessions", "/api/v1/sessions", "", 200).await;
}

async fn shared(described: &Described) {
    let links = "/api/v1/links";
    let job = described.job(r#"{"kind":"hold"}"#).await;
    for subject in [format!(r#""job":"{job}""#), r#""queue":"default""#.to_owned()] {
        let body = format!(r#"{{{subject},"expires_in":"1h"}}"#);
        let link = described.call("POST", links, links, &body).await.json();
        let url = url::Url::parse(link["url"].as_str().unwrap()).unwrap();
        let path = url.path();
        let epoch = described.server.engine.head().to_string();
        let start = format!("{}:0", epoch.split(':').next().unwrap());
        let events = format!("{path}/events?after={start}");
        let answer = described.send("GET", "/shared/{link}/events", &events, &[], "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for accepted in ["application/json", "text/plain", "application/x-ndjson"] {
            let log = format!("{path}/log");
            described.send("GET", "/shared/{link}/log", &log, &[("accept", accepted)], "").await;
        }
        described.call("GET", links, links, "").await;
        let one = format!("{links}/{}", link["id"].as_str().unwrap());
        described.call("DELETE", "/api/v1/links/{id}", &one, "").await;
        described.send("GET", "/shared/{link}/log", &format!("{path}/log"), &[], "").await;
    }
}

async fn refusals(described: &Described) {
    let json = [("content-type", "application/json")];
    let (jobs, job) = ("/api/v1/jobs", "/api/v1/jobs/{id}");
    for (method, route, path, body, status, code) in [
        ("POST", jobs, jobs, "{", 400, "malformed_json"),
        ("POST", jobs, jobs, r#"{"kind":"none"}"#, 422, "unknown_kind"),
        ("POST", jobs, jobs, r#"{"kind":"echo","x":1}"#, 422, "invalid_fields"),
        ("POST", jobs, jobs, r#"{"kind":"mail","payload":{}}"#, 422, "invalid_payload"),
        ("GET", jobs, "/api/v1/jobs?limit=0", "", 400, "invalid_parameter"),
        ("GET", job, "/api/v1/jobs/none", "", 404, "no_such_job"),
        ("GET", "/api/v1/ws", "/api/v1/ws", "", 400, "not_a_websocket"),
        ("GET", "/api/v1/workers/{name}/ws", "/api/v1/workers/a/ws", "", 400, "not_a_websocket"),
        ("DELETE", "/api/v1/sessions/{id}", "/api/v1/sessions/none", "", 404, "no_such_session"),
        ("DELETE", "/api/v1/kinds/{kind}", "/api/v1/kinds/echo", "", 409, "built_in_kind"),
        ("POST", "/api/v1/leases/{lease}", "/api/v1/leases/x", "{}", 404, "no_such_lease"),
    ] {
        described.call(method, route, path, body).await.is_problem(status, code);
    }
    let answer = described.send("POST", jobs, jobs, &json, r#"{"kind":"echo"}"#).await;
    answer.is_problem(401, "unauthorized");
    let wrong = [("authorization", "Bearer cortado_x"), ("content-type", "text/plain")];
    described.send("POST", jobs, jobs, &wrong, "{}").await.is_problem(401, "unauthorized");
    let text = [("content-type", "text/plain")];
    let answer = described.call_with("POST", jobs, jobs, &text, "").await;
    answer.is_problem(415, "wrong_content_type");
}
