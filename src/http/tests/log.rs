//! The log of a job: reading, downloading and following it.

use serde_json::{Value, json};

use super::support::{Server, within};

const OBJECTS: [(&str, &str); 1] = [("accept", "application/x-ndjson")];

async fn held(server: &Server) -> String {
    let answer = server.post("/api/v1/jobs", r#"{"kind":"hold"}"#).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    format!("{}/log", answer.header("location"))
}

#[tokio::test]
async fn a_followed_log_gives_each_line_once_and_ends_with_the_job() {
    let server = Server::start().await;
    let path = held(&server).await;
    let mut plain = server.open(&format!("{path}?follow"), &[]).await;
    assert_eq!(plain.response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(plain.line().await.unwrap(), "before");
    let mut late = server.open(&format!("{path}?follow=true&after=1"), &OBJECTS).await;
    assert_eq!(late.response.headers()["content-type"], "application/x-ndjson");
    server.gate.add_permits(1);
    assert_eq!(plain.line().await.unwrap(), "after");
    assert_eq!(plain.line().await, None);
    let line: Value = serde_json::from_str(&late.line().await.unwrap()).unwrap();
    assert_eq!((&line["line"], &line["text"]), (&json!(2), &json!("after")));
    assert_eq!(late.line().await.unwrap(), r#"{"end":"completed"}"#);
    assert_eq!(late.line().await, None);
}

#[tokio::test]
async fn a_log_of_the_past_is_json_text_or_a_file() {
    let server = Server::start().await;
    let path = held(&server).await;
    server.gate.add_permits(1);
    server.get(&format!("{}?wait=20s", path.strip_suffix("/log").unwrap())).await;
    let log = server.get(&path).await.json();
    assert_eq!((&log["lines"][1]["line"], &log["lines"][1]["text"]), (&json!(2), &json!("after")));
    assert!(log["cursor"].is_string());
    assert_eq!(server.get(&format!("{path}?after=1")).await.json()["lines"][0]["line"], 2);
    let text = server.send("GET", &path, &[("accept", "text/plain")], "").await;
    assert_eq!(text.body, "before\nafter\n");
    let file = server.get(&format!("{path}?download")).await;
    assert_eq!(file.body, "before\nafter\n");
    let name = file.header("content-disposition");
    assert!(name.starts_with("attachment; filename=") && name.ends_with(".log\""), "{name}");
    let objects = server.send("GET", &format!("{path}?follow"), &OBJECTS, "").await;
    let last = objects.body.lines().last().unwrap();
    assert_eq!((objects.body.lines().count(), last), (3, r#"{"end":"completed"}"#));
    server.get(&format!("{path}?after=x")).await.is_problem(400, "invalid_parameter");
    server.get(&format!("{path}?tail=3")).await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn a_follower_sees_the_lines_of_a_job_that_ends_during_the_stop() {
    let server = Server::start().await;
    let path = held(&server).await;
    let mut log = server.open(&format!("{path}?follow"), &OBJECTS).await;
    assert!(log.line().await.unwrap().contains("before"));
    // A second job that does not end: its follower learns that the server is stopping.
    let other = server.post("/api/v1/jobs", r#"{"kind":"echo","delay_ms":3600000}"#).await;
    let other = format!("{}/log?follow", other.header("location"));
    let mut waiting = server.open(&other, &OBJECTS).await;
    let (gate, draining) = (server.gate.clone(), server.shutdown.draining.clone());
    let stopping = tokio::spawn(server.stop());
    within(draining.cancelled()).await;
    gate.add_permits(1);
    assert!(log.line().await.unwrap().contains("after"));
    assert_eq!(log.line().await.unwrap(), r#"{"end":"completed"}"#);
    assert_eq!(waiting.line().await.unwrap(), r#"{"end":"stopping"}"#);
    assert_eq!(waiting.line().await, None);
    assert!(within(stopping).await.unwrap().clean);
}
