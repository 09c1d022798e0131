//! Idempotency keys in the header and in the body, and keys that were used for another submission.

use serde_json::json;

use super::support::{Server, errors};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn a_key_stands_for_one_submission_whether_it_is_in_the_header_or_in_the_body() {
    let server = Server::start().await;
    let send = async |key: &str, body: &str| {
        let headers = [JSON[0], ("idempotency-key", key)];
        server.send("POST", "/api/v1/jobs", &headers, body).await
    };
    let body = r#"{"kind":"echo","payload":{"n":1,"m":2},"delay_ms":3600000}"#;
    let first = send("\"k 1\"", body).await;
    assert_eq!(first.status, 202, "{first:?}");
    let id = first.json()["id"].clone();
    let same = r#"{"kind":"echo","payload":{"m":2,"n":1},"delay_ms":3500000}"#;
    let in_body = r#"{"kind":"echo","payload":{"n":1,"m":2},"idempotency_key":"k 1"}"#;
    for again in [
        send("\"k 1\"", body).await,
        send("k 1", same).await,
        send("k 1", in_body).await,
        server.post("/api/v1/jobs", in_body).await,
        server
            .send("POST", "/api/v1/jobs?wait=0", &[JSON[0], ("idempotency-key", "k 1")], body)
            .await,
    ] {
        assert_eq!(again.status, 200, "{again:?}");
        assert_eq!((&again.json()["id"], &again.json()["existing"]), (&id, &json!(true)));
    }
    let job = server.get(&format!("/api/v1/jobs/{}", id.as_str().unwrap())).await.json();
    assert_eq!(job["idempotency_key"], "k 1");

    for (other, field) in [
        (r#"{"kind":"hold","payload":{"n":1,"m":2}}"#, "kind"),
        (r#"{"kind":"echo","payload":{"n":1}}"#, "payload"),
        (r#"{"kind":"echo","payload":{"n":1,"m":2},"queue":"mail"}"#, "queue"),
        (r#"{"kind":"echo","payload":{"n":1,"m":2},"priority":1}"#, "priority"),
        (r#"{"kind":"echo","payload":{"n":1,"m":2},"max_attempts":1}"#, "max_attempts"),
        (r#"{"kind":"echo","payload":{"n":1,"m":2},"timeout_ms":9}"#, "timeout_ms"),
        (r#"{"kind":"echo","payload":{"n":1,"m":2},"tags":["x"]}"#, "tags"),
        (r#"{"kind":"echo","payload":{"n":1,"m":2},"backoff":{"cap_ms":90}}"#, "backoff"),
    ] {
        let problem = send("k 1", other).await.is_problem(422, "idempotency_key_reused");
        let all = errors(&problem);
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("idempotency_key: ") && all[0].contains(field), "{all:?}");
        assert!(all[0].contains(id.as_str().unwrap()), "{all:?}");
    }
    let batch =
        format!(r#"[{{"kind":"echo"}},{{"kind":"hold","idempotency_key":"k 1"}},{in_body}]"#);
    let problem =
        server.post("/api/v1/jobs", &batch).await.is_problem(422, "idempotency_key_reused");
    assert!(errors(&problem)[0].starts_with("[1].idempotency_key: "), "{problem}");
    let twice = r#"[{"kind":"echo","idempotency_key":"n"},{"kind":"hold","idempotency_key":"n"}]"#;
    let problem =
        server.post("/api/v1/jobs", twice).await.is_problem(422, "idempotency_key_reused");
    assert!(errors(&problem)[0].contains("the job [0] of the same batch"), "{problem}");
    assert_eq!(server.get("/api/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 1);

    let moved = format!("/api/v1/jobs/{}/move", id.as_str().unwrap());
    assert_eq!(server.post(&moved, r#"{"queue":"slow"}"#).await.status, 200);
    assert_eq!(send("k 1", body).await.json()["id"], id, "it is compared as it was submitted");

    send("other", in_body).await.is_problem(400, "invalid_idempotency_key");
    for bad in ["", "\"\"", "\"open", "a, b", "\"a\";x", &"k".repeat(201)] {
        send(bad, body).await.is_problem(400, "invalid_idempotency_key");
    }
    send("k 2", &format!("[{body}]")).await.is_problem(400, "invalid_idempotency_key");
    let twice = [JSON[0], ("idempotency-key", "a"), ("idempotency-key", "a")];
    server
        .send("POST", "/api/v1/jobs", &twice, body)
        .await
        .is_problem(400, "invalid_idempotency_key");
    let headers = [JSON[0], ("idempotency-key", "a")];
    for path in ["/api/v1/bulk", "/api/v1/schedules/x/run"] {
        let answer = server.send("POST", path, &headers, r#"{"action":"retry","filter":{}}"#).await;
        answer.is_problem(400, "invalid_idempotency_key");
    }
}

#[tokio::test]
async fn a_repetition_stays_the_same_when_the_defaults_of_its_kind_change() {
    let server = Server::start().await;
    let declare = async |body: &str| {
        let answer = server.send("PUT", "/api/v1/kinds/resize", &JSON, body).await;
        assert!(answer.status < 300, "{answer:?}");
    };
    let submit = async |more: &str| {
        let body = format!(r#"{{"kind":"resize","idempotency_key":"k"{more}}}"#);
        server.post("/api/v1/jobs", &body).await
    };
    declare(r#"{"queue":"media","max_attempts":5,"backoff":{"base_ms":50},"timeout_ms":700}"#)
        .await;
    let first = submit("").await;
    assert_eq!(first.status, 202, "{first:?}");
    for defaults in
        ["{}", r#"{"queue":"other","max_attempts":9,"backoff":{"base_ms":70,"cap_ms":90}}"#]
    {
        declare(defaults).await;
        for more in [
            "",
            r#","queue":"media""#,
            r#","max_attempts":5,"backoff":{"base_ms":50}"#,
            r#","timeout_ms":700"#,
        ] {
            let again = submit(more).await;
            assert_eq!(again.status, 200, "{defaults} {more}: {again:?}");
            assert_eq!(again.json()["id"], first.json()["id"]);
        }
        for (more, field) in [
            (r#","queue":"other""#, "queue"),
            (r#","max_attempts":9"#, "max_attempts"),
            (r#","backoff":{"base_ms":70}"#, "backoff"),
            (r#","timeout_ms":9"#, "timeout_ms"),
        ] {
            let problem = submit(more).await.is_problem(422, "idempotency_key_reused");
            assert!(errors(&problem)[0].contains(field), "{problem}");
        }
    }
}
