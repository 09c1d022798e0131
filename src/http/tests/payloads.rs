//! Values that look valid but are not: payloads that readers would understand differently, and values without content.

use serde_json::json;

use super::support::{Server, errors};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn a_payload_that_readers_would_understand_differently_matches_no_schema() {
    let server = Server::start().await;
    let character = "must be a string, but has an escape that is not a character";
    for (payload, error) in [
        (r#"{"to":"a","to":"b"}"#, "payload.to: occurs more than once".to_owned()),
        (r#"{"to":"a","\u0074o":"b"}"#, "payload.to: occurs more than once".to_owned()),
        (
            r#"{"to":"a","headers":[{"x":1,"x":1}]}"#,
            "payload.headers[0].x: occurs more than once".to_owned(),
        ),
        (r#"{"to":"\ud800"}"#, format!("payload.to: {character}")),
        (r#"{"to":"a","more":["\ud800\u0041"]}"#, format!("payload.more[0]: {character}")),
    ] {
        let job = format!(r#"{{"kind":"mail","payload":{payload}}}"#);
        let problem = server.post("/api/v1/jobs", &job).await.is_problem(422, "invalid_payload");
        assert_eq!(errors(&problem), [error.as_str()]);
        let batch = format!("[{job}]");
        let problem = server.post("/api/v1/jobs", &batch).await.is_problem(422, "invalid_payload");
        assert_eq!(errors(&problem), [format!("[0].{error}")]);
        let schedule = format!(r#"{{"cron":"@daily","kind":"mail","payload":{payload}}}"#);
        let answer = server.send("PUT", "/api/v1/schedules/s", &JSON, &schedule).await;
        assert_eq!(errors(&answer.is_problem(422, "invalid_payload")), [error.as_str()]);
    }
    // Bytes are kept as they were sent for kinds that do not say what they accept.
    let job = r#"{"kind":"echo","payload":{"a":1,"a":2}}"#;
    assert_eq!(server.post("/api/v1/jobs", job).await.status, 202);
}

#[tokio::test]
async fn a_list_has_no_empty_element_and_an_object_has_a_value() {
    let server = Server::start().await;
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    for (name, value) in
        [("queue", "a,,b"), ("queue", "a,"), ("kind", ",a"), ("tag", "a, ,b"), ("queue", ",")]
    {
        let words =
            format!("list {value:?} is not valid: every name between the commas must not be empty");
        let query = format!("{name}={}", value.replace(' ', "+"));
        for path in ["/api/v1/jobs", "/api/v1/events", "/api/v1/ws"] {
            let answer = server.get(&format!("{path}?{query}")).await;
            let problem = answer.is_problem(400, "invalid_parameter");
            assert_eq!(errors(&problem), [format!("{name}: {words}")], "{path}");
        }
        for (at, value) in [("", json!(value)), ("[0]", json!([value]))] {
            let body = json!({ "action": "delete", "filter": { name: value } }).to_string();
            let answer = server.post("/api/v1/bulk/preview", &body).await;
            let problem = answer.is_problem(422, "invalid_fields");
            assert_eq!(errors(&problem), [format!("filter.{name}{at}: {words}")]);
            let message = json!({ "type": "subscribe", "id": "x", "filter": { name: value } });
            socket.say(&message.to_string()).await;
            let error = socket.next_of("error").await;
            assert_eq!(error["code"], "invalid_parameter");
            assert!(error["message"].as_str().unwrap().contains(&words), "{error}");
        }
    }
    let empty = "zone: must not be empty: give it a value, or leave it out";
    for (method, path, body, error) in [
        ("POST", "/api/v1/cron/preview", r#"{"cron":"@daily","zone":""}"#, empty),
        ("POST", "/api/v1/cron/preview", r#"{"cron":"@daily","zone":" "}"#, empty),
        ("PUT", "/api/v1/schedules/s", r#"{"cron":"@daily","kind":"echo","zone":""}"#, empty),
    ] {
        let answer = server.send(method, path, &JSON, body).await;
        let problem = answer.is_problem(422, "invalid_fields");
        assert_eq!(errors(&problem), [error], "{path} {body}");
    }
}

#[tokio::test]
async fn a_filter_with_too_many_names_says_which_field_has_them() {
    let server = Server::start().await;
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    let many = (0..101).map(|n| format!("n{n}")).collect::<Vec<_>>().join(",");
    for name in ["queue", "kind", "tag"] {
        let words = format!(
            "{name} \"more than 100 names\" is not valid: use at most 100 names in one field"
        );
        for path in ["/api/v1/jobs", "/api/v1/events"] {
            let answer = server.get(&format!("{path}?{name}={many}")).await;
            let problem = answer.is_problem(400, "invalid_parameter");
            assert_eq!(errors(&problem), [format!("{name}: {words}")], "{path}");
        }
        let body = json!({ "action": "delete", "filter": { name: many } }).to_string();
        let answer = server.post("/api/v1/bulk/preview", &body).await;
        let problem = answer.is_problem(422, "invalid_fields");
        assert_eq!(errors(&problem), [format!("filter.{name}: {words}")]);
        let message = json!({ "type": "subscribe", "id": "x", "filter": { name: many } });
        socket.say(&message.to_string()).await;
        let error = socket.next_of("error").await;
        assert!(error["message"].as_str().unwrap().contains(&words), "{error}");
    }
}
