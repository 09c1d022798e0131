//! Kinds over HTTP: declaring, reading and deleting them, and the jobs that are submitted of them.

use serde_json::{Value, json};

use super::support::{Answer, Server, Setup, store_with};
use crate::store::StoreLimits;

const RESIZE: &str = r#"{"about":"Resizes a picture.","example":{"width": 640.0},
    "schema":{"type":"object","required":["width"]},"queue":"media","max_attempts":3,
    "backoff":{"base_ms":20,"cap_ms":70},"timeout_ms":900}"#;

async fn put(server: &Server, name: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/json")];
    server.send("PUT", &format!("/api/v1/kinds/{name}"), &headers, body).await
}

async fn delete(server: &Server, name: &str) -> Answer {
    server.send("DELETE", &format!("/api/v1/kinds/{name}"), &[], "").await
}

#[tokio::test]
async fn a_kind_is_declared_read_changed_and_deleted() {
    let server = Server::start().await;
    let from = server.get("/api/v1/kinds").await.json()["cursor"].clone();
    let made = put(&server, "resize", RESIZE).await;
    assert_eq!(made.status, 200, "{made:?}");
    let expected = json!({
        "kind": "resize", "source": "api", "about": "Resizes a picture.", "example": {"width": 640.0},
        "queue": "media", "timeout_ms": 900, "workers": 0, "retry": made.json()["retry"],
        "schema": {"type": "object", "required": ["width"]},
    });
    assert_eq!(made.json(), expected);
    let retry = &made.json()["retry"];
    assert_eq!((&retry["max_attempts"], &retry["backoff"]["cap_ms"]), (&json!(3), &json!(70)));
    let read = server.get("/api/v1/kinds/resize").await;
    assert!(read.body.contains("640.0"), "exactly as it was sent: {}", read.body);
    let list = server.get("/api/v1/kinds").await.json();
    let listed: Vec<(&Value, &Value, &Value)> = list["kinds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| (&kind["kind"], &kind["source"], &kind["workers"]))
        .collect();
    let (built_in, api) = (json!("built_in"), json!("api"));
    assert!(listed.contains(&(&json!("echo"), &built_in, &json!(1))), "{listed:?}");
    assert!(listed.contains(&(&json!("resize"), &api, &json!(0))), "{listed:?}");

    let job = r#"{"kind":"resize","payload":{"width":1},"run_at":"2099-01-01T00:00:00Z"}"#;
    let job = server.post("/api/v1/jobs", job).await;
    assert_eq!(job.status, 202, "{job:?}");
    let job = server.get(&format!("/api/v1/jobs/{}", job.json()["id"].as_str().unwrap())).await;
    let job = job.json();
    assert_eq!((&job["queue"], &job["max_attempts"]), (&json!("media"), &json!(3)));
    assert_eq!((&job["timeout_ms"], &job["backoff"]["base_ms"]), (&json!(900), &json!(20)));
    let wrong = r#"[{"kind":"resize","payload":{"width":1}},{"kind":"resize","payload":{}}]"#;
    let problem = server.post("/api/v1/jobs", wrong).await.is_problem(422, "invalid_payload");
    assert_eq!(problem["errors"][0]["field"], "[1].payload.width");

    let changed = put(&server, "resize", "{}").await.json();
    assert_eq!((&changed["queue"], &changed["about"]), (&json!("default"), &json!("Runs resize.")));
    assert!(changed.get("schema").is_none());
    assert_eq!(delete(&server, "resize").await.status, 204);
    delete(&server, "resize").await.is_problem(404, "no_such_kind");
    server.get("/api/v1/kinds/resize").await.is_problem(404, "no_such_kind");
    server.post("/api/v1/jobs", wrong).await.is_problem(422, "unknown_kind");

    let from = from.as_str().unwrap();
    let events = server.get(&format!("/api/v1/events?type=kind.*&kind=resize&after={from}")).await;
    let events = events.json();
    let types: Vec<(&Value, &Value)> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (&event["type"], &event["kind"]))
        .collect();
    let (set, deleted, resize) = (json!("kind.set"), json!("kind.deleted"), json!("resize"));
    assert_eq!(types, [(&set, &resize), (&set, &resize), (&deleted, &resize)]);
}

#[tokio::test]
async fn what_cannot_be_declared_is_refused_and_changes_nothing() {
    let limits = StoreLimits { max_kinds: 1, ..StoreLimits::default() };
    let server = Server::with(Setup { store: store_with(limits), ..Setup::default() }).await;
    put(&server, "echo", "{}").await.is_problem(409, "built_in_kind");
    delete(&server, "echo").await.is_problem(409, "built_in_kind");
    put(&server, "two%20words", "{}").await.is_problem(400, "invalid_parameter");
    put(&server, "resize", "[]").await.is_problem(422, "invalid_fields");
    let wrong = r#"{"schema":{"type":"objekt"},"max_attempts":0,"handler":"x"}"#;
    let problem = put(&server, "resize", wrong).await.is_problem(422, "invalid_fields");
    let fields: Vec<&Value> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["max_attempts", "handler", "schema"]);
    server.get("/api/v1/kinds/resize").await.is_problem(404, "no_such_kind");
    assert_eq!(put(&server, "resize", RESIZE).await.status, 200);
    put(&server, "bill", "{}").await.is_problem(422, "too_many_kinds");
    assert_eq!(put(&server, "resize", "{}").await.status, 200);
}
