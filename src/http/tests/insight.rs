//! Failures, workers, the history, and the settings of a queue.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::{Server, within};

/// Repeats a request until the answer is as expected: these counters follow the events a little later.
async fn until(server: &Server, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    within(async {
        loop {
            let answer = server.get(path).await.json();
            if wanted(&answer) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn failures_are_listed_in_groups() {
    let server = Server::start().await;
    let job = server.post("/api/v1/jobs?wait=20s", r#"{"kind":"refuse"}"#).await.json();
    let answer =
        until(&server, "/api/v1/failures", |answer| answer["groups"][0]["dead"] == 1).await;
    let group = &answer["groups"][0];
    assert_eq!((&group["kind"], &group["pattern"]), (&json!("refuse"), &json!("no such coffee")));
    assert_eq!((&group["example"], &group["retrying"]), (&job["id"], &json!(0)));
    assert_eq!(group["minutes"].as_array().unwrap().len(), 60);
    assert_eq!((&answer["total"], &answer["beyond"]), (&json!(1), &json!(0)));
    assert!(answer["counting"].is_boolean() && answer["cursor"].is_string());
    server.get("/api/v1/failures?limit=0").await.is_problem(400, "invalid_parameter");
    server.get("/api/v1/failures?kind=x").await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn the_history_is_that_of_the_server_or_of_one_queue() {
    let server = Server::start().await;
    server.post("/api/v1/jobs?wait=20s", r#"{"kind":"echo","queue":"mail"}"#).await;
    let completed = |answer: &Value| {
        let points = answer["minutes"].as_array().unwrap();
        points.iter().map(|point| point["completed"].as_u64().unwrap()).sum::<u64>()
    };
    let answer = until(&server, "/api/v1/metrics/history", |answer| completed(answer) == 1).await;
    assert!(answer["queue"].is_null() && answer["now"].is_string() && answer["cursor"].is_string());
    assert_eq!(answer["starts"].as_array().unwrap().len(), 1);
    let periods = answer["periods"].as_array().unwrap();
    assert_eq!((periods.len(), &periods[0]["until"]), (1, &answer["now"]));
    assert!(periods[0]["from"].as_str() < answer["now"].as_str(), "{answer}");
    let mail = until(&server, "/api/v1/metrics/history?queue=mail", |answer| {
        answer["seconds"].as_array().is_some_and(|seconds| !seconds.is_empty())
    })
    .await;
    assert_eq!((&mail["queue"], completed(&mail)), (&json!("mail"), 1));
    assert!(mail["seconds"][0]["wait_ms"]["p95"].is_u64(), "{mail}");
    assert_eq!(completed(&server.get("/api/v1/metrics/history?queue=other").await.json()), 0);
    server.get("/api/v1/metrics/history?queue=a/b").await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn the_history_of_every_range_can_be_asked_for() {
    let server = Server::start().await;
    server.post("/api/v1/jobs?wait=20s", r#"{"kind":"echo","queue":"mail"}"#).await;
    let total = |answer: &Value| {
        let points = answer["points"].as_array().unwrap();
        points.iter().map(|point| point["completed"].as_u64().unwrap()).sum::<u64>()
    };
    for (range, interval) in
        [("5m", 1), ("1h", 60), ("6h", 60), ("24h", 600), ("7d", 3_600), ("30d", 3_600)]
    {
        let path = format!("/api/v1/metrics/history?range={range}&queue=mail");
        let answer = until(&server, &path, |answer| total(answer) == 1).await;
        assert_eq!((&answer["range"], &answer["interval_s"]), (&json!(range), &json!(interval)));
        assert_eq!(answer["queue"], "mail");
        let at: crate::job::Time = answer["points"][0]["at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.millis() % (interval * 1_000), 0, "{answer}");
        assert!(answer["starts"].is_array() && answer["periods"].is_array(), "{answer}");
        assert!(answer["now"].is_string() && answer["cursor"].is_string());
        let fields: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), 8, "{fields:?}");
    }
    for bad in ["range=2h", "range=", "range=1h&range=6h", "span=1h"] {
        let answer = server.get(&format!("/api/v1/metrics/history?{bad}")).await;
        answer.is_problem(400, "invalid_parameter");
    }
    let answer = server.get("/api/v1/metrics/history?range=2h").await.json();
    assert!(answer["detail"].as_str().unwrap().contains("5m, 1h, 6h, 24h, 7d or 30d"), "{answer}");
}

#[tokio::test]
async fn workers_tell_which_jobs_they_hold() {
    let server = Server::start().await;
    let job = server.post("/api/v1/jobs", r#"{"kind":"hold","queue":"mail"}"#).await.json();
    let answer = until(&server, "/api/v1/workers", |answer| answer["total"] == 1).await;
    let attempt = &answer["attempts"][0];
    assert_eq!((&attempt["job"], &attempt["queue"]), (&job["id"], &json!("mail")));
    assert_eq!((&attempt["attempt"], &attempt["ending"]), (&json!(1), &json!(false)));
    let worker = &answer["workers"][0];
    assert_eq!((&worker["running"], &worker["name"]), (&json!(1), &attempt["worker"]));
    server.gate.add_permits(1);
    until(&server, "/api/v1/workers", |answer| answer["total"] == 0).await;
}

#[tokio::test]
async fn the_concurrency_of_a_queue_can_be_set_and_given_back() {
    let server = Server::start().await;
    let path = "/api/v1/queues/mail/concurrency";
    assert_eq!(server.post(path, r#"{"concurrency":3}"#).await.status, 204);
    let queues = server.get("/api/v1/queues").await.json();
    assert_eq!(
        (&queues["queues"][0]["name"], &queues["queues"][0]["concurrency"]),
        (&json!("mail"), &json!(3))
    );
    assert_eq!(queues["queues"][0]["slots"], 3);
    assert!(queues["queues"][0]["waiting_since"].is_null());
    let events = server.get("/api/v1/events?type=queue.*&after=00000000:0").await;
    assert_eq!(events.status, 200, "{events:?}");
    assert_eq!(server.post(path, r#"{"concurrency":null}"#).await.status, 204);
    let queues = server.get("/api/v1/queues").await.json();
    assert_eq!(queues["queues"], json!([]), "the queue is not known any more");
    server.post(path, "{").await.is_problem(400, "malformed_json");
    for bad in [r#"{"concurrency":-1}"#, r#"{"concurency":1}"#, "3"] {
        server.post(path, bad).await.is_problem(422, "invalid_fields");
    }
    server
        .post("/api/v1/queues/a%20b/concurrency", "{}")
        .await
        .is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn the_rate_of_a_queue_can_be_set_taken_away_and_given_back() {
    let server = Server::start().await;
    let from = server.get("/api/v1/events").await.json()["cursor"].as_str().unwrap().to_owned();
    let path = "/api/v1/queues/mail/rate_limit";
    for (body, shown) in
        [(r#"{"rate_limit":"30/1m"}"#, json!("30/1m")), (r#"{"rate_limit":"none"}"#, json!(null))]
    {
        assert_eq!(server.post(path, body).await.status, 204);
        let queues = server.get("/api/v1/queues").await.json();
        let queue = &queues["queues"][0];
        assert_eq!((&queue["name"], &queue["rate_limit"]), (&json!("mail"), &shown));
    }
    assert_eq!(server.post(path, r#"{"rate_limit":null}"#).await.status, 204);
    let queues = server.get("/api/v1/queues").await.json();
    assert_eq!(queues["queues"], json!([]), "the queue is not known any more");
    let log = format!("/api/v1/events?type=queue.rate_limit_set&after={from}");
    let answer = server.get(&log).await.json()["events"].as_array().unwrap().clone();
    let rates: Vec<_> = answer.iter().map(|event| event["rate_limit"].clone()).collect();
    assert_eq!(rates, [json!("30/1m"), json!("none"), json!(null)]);
    server.post(path, "{").await.is_problem(400, "malformed_json");
    for bad in [r#"{"rate_limit":"often"}"#, r#"{"rate_limit":"0/1m"}"#, r#"{"rate":1}"#] {
        server.post(path, bad).await.is_problem(422, "invalid_fields");
    }
}
