//! Every endpoint, with valid and invalid requests.

use serde_json::{Value, json};

use super::support::{Server, Setup, store_with};
use crate::http::{ExportCheck, HttpLimits};
use crate::store;

#[tokio::test]
async fn a_submitted_job_can_be_read_back_as_it_was_written() {
    let server = Server::start().await;
    let body = r#"{"kind":"echo","payload":{"z": 1.0,"a":[1]},"queue":"mail","priority":5,
        "delay_ms":3600000,"tags":["red"],"max_attempts":3,"timeout_ms":1000}"#;
    let answer = server.post("/api/v1/jobs", body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let row = answer.json();
    assert_eq!((&row["state"], &row["queue"]), (&json!("scheduled"), &json!("mail")));
    assert!(row.get("existing").is_none() && row.get("payload").is_none(), "{row}");
    let path = answer.header("location").to_owned();
    assert_eq!(path, format!("/api/v1/jobs/{}", row["id"].as_str().unwrap()));

    let job = server.get(&path).await;
    assert_eq!(job.status, 200);
    assert!(job.body.contains(r#""payload":{"z": 1.0,"a":[1]}"#), "{job:?}");
    let job = job.json();
    assert_eq!((&job["max_attempts"], &job["timeout_ms"]), (&json!(3), &json!(1000)));
    assert_eq!((&job["priority"], &job["tags"]), (&json!(5), &json!(["red"])));
    assert!(job["cursor"].as_str().unwrap().contains(':') && job["attempts"] == json!([]));
    let log = server.get(&format!("{path}/log")).await.json();
    assert_eq!((&log["lines"], &log["dropped"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn the_same_key_is_the_same_job() {
    let server = Server::start().await;
    let first = server.job(r#","idempotency_key":"k""#).await;
    let body = r#"{"kind":"echo","idempotency_key":"k"}"#;
    let second = server.post("/api/v1/jobs", body).await;
    assert_eq!(second.status, 200);
    assert_eq!((&second.json()["id"], &second.json()["existing"]), (&first["id"], &json!(true)));
    let batch = server.post("/api/v1/jobs", &format!("[{body},{body}]")).await;
    assert_eq!(batch.status, 202);
    assert_eq!(batch.json()["jobs"][1]["existing"], json!(true));
}

#[tokio::test]
async fn a_batch_is_accepted_whole_or_not_at_all() {
    let limits = HttpLimits { max_batch: 3, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let one = r#"{"kind":"echo","delay_ms":3600000}"#;
    let answer = server.post("/api/v1/jobs", &format!(" [{one},{one}]")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["jobs"].as_array().unwrap().len(), 2);

    let bad = format!(r#"[{one},{{"kind":"echo","priority":99999}},{{"kind":"a b"}}]"#);
    let problem = server.post("/api/v1/jobs", &bad).await.is_problem(422, "invalid_fields");
    let fields: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap())
        .collect();
    assert_eq!(fields, ["[1].priority", "[2].kind"]);
    let bad = format!(r#"[{one},{{"kind":"unknown"}}]"#);
    server.post("/api/v1/jobs", &bad).await.is_problem(422, "unknown_kind");
    let long = format!("[{one},{one},{one},{one}]");
    server.post("/api/v1/jobs", &long).await.is_problem(413, "batch_too_long");
    server.post("/api/v1/jobs", "[]").await.is_problem(422, "invalid_fields");
    assert_eq!(server.get("/api/v1/jobs").await.json()["jobs"].as_array().unwrap().len(), 2);
}

/// Each error in the only, the first, a later and the last job of an array, and in a job outside of an array.
#[tokio::test]
async fn an_error_in_a_batch_names_the_index_of_its_job_the_first_and_the_only_one_too() {
    let server = Server::start().await;
    let good = r#"{"kind":"echo","delay_ms":3600000}"#;
    let (long, deep) = ("x".repeat(1_100_000), format!("{}{}", "[".repeat(200), "]".repeat(200)));
    let (long, deep) = (format!(r#"{{"kind":"echo","payload":"{long}"}}"#), deep);
    let deep = format!(r#"{{"kind":"echo","payload":{deep}}}"#);
    for (bad, status, code, field) in [
        (r#"{"kind":"mail","payload":{"to":1}}"#, 422, "invalid_payload", "payload.to"),
        (r#"{"kind":"mail","payload":7}"#, 422, "invalid_payload", "payload"),
        (r#"{"kind":"unknown"}"#, 422, "unknown_kind", "kind"),
        (r#"{"kind":"echo","priority":99999}"#, 422, "invalid_fields", "priority"),
        (&long, 413, "payload_too_large", "payload"),
        (&deep, 422, "json_too_deep", "payload"),
    ] {
        let named = async |body: String| {
            let answer = server.post("/api/v1/jobs", &body).await.is_problem(status, code);
            answer["errors"][0]["field"].as_str().map(str::to_owned)
        };
        assert_eq!(named(bad.to_owned()).await.as_deref(), Some(field), "outside of an array");
        for (batch, index) in [
            (format!("[{bad}]"), 0),
            (format!("[{bad},{good}]"), 0),
            (format!("[{good},{bad},{good}]"), 1),
            (format!("[{good},{good},{bad}]"), 2),
        ] {
            let expected = format!("[{index}].{field}");
            assert_eq!(named(batch).await, Some(expected), "{code} at {index}");
        }
    }
}

#[tokio::test]
async fn the_response_to_an_invalid_submission_names_what_is_wrong() {
    let limits = HttpLimits { max_body: 3 * 1_024 * 1_024, ..HttpLimits::default() };
    let server = Server::with(Setup { limits, ..Setup::default() }).await;
    let post = async |body: &str| server.post("/api/v1/jobs", body).await;
    for bad in ["", "{", "nonsense", r#"{"kind":"echo"} x"#] {
        post(bad).await.is_problem(400, "malformed_json");
    }
    for bad in [
        r#"{"kind":7}"#,
        "{}",
        "7",
        r#"{"kind":"echo","colour":"red"}"#,
        r#"[["echo",1]]"#,
        r#"{"kind":"echo","backoff":[1,2]}"#,
    ] {
        post(bad).await.is_problem(422, "invalid_fields");
    }
    for (path, array, code) in [
        ("/api/v1/cron/preview", r#"["@daily","UTC"]"#, "invalid_fields"),
        ("/api/v1/bulk", r#"["retry",null,null,[],null]"#, "invalid_fields"),
    ] {
        let problem = server.post(path, array).await.is_problem(422, code);
        assert!(
            problem["detail"].as_str().unwrap().contains("must be an object, but is an array"),
            "{problem}"
        );
    }
    let problem = post(r#"{"kind":"echo","run_at":"soon","max_attempts":0}"#).await;
    let problem = problem.is_problem(422, "invalid_fields");
    assert_eq!(problem["errors"][0]["field"], "max_attempts");
    assert_eq!(problem["errors"][1]["field"], "run_at");
    assert!(problem["errors"][1]["message"].as_str().unwrap().contains("RFC 3339"));
    let problem = post(r#"{"kind":"nope"}"#).await.is_problem(422, "unknown_kind");
    assert!(problem["detail"].as_str().unwrap().contains("echo"));

    let long = format!(r#"{{"kind":"echo","payload":"{}"}}"#, "x".repeat(2 * 1_024 * 1_024));
    post(&long).await.is_problem(413, "payload_too_large");
    let longer = format!(r#"{{"kind":"echo","payload":"{}"}}"#, "x".repeat(3 * 1_024 * 1_024));
    post(&longer).await.is_problem(413, "body_too_large");

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let answer = server.send("POST", "/api/v1/jobs", &form, "kind=echo").await;
    answer.is_problem(415, "wrong_content_type");
    server.send("POST", "/api/v1/jobs", &[], "{}").await.is_problem(415, "wrong_content_type");
    let utf8 = [("content-type", "application/json; charset=utf-8")];
    let answer = server.send("POST", "/api/v1/jobs", &utf8, r#"{"kind":"echo"}"#).await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn a_full_backlog_asks_clients_to_retry_later() {
    let store = store_with(store::StoreLimits { max_waiting: 2, ..Default::default() });
    let server = Server::with(Setup { store, ..Setup::default() }).await;
    server.job("").await;
    server.job("").await;
    let answer = server.post("/api/v1/jobs", r#"{"kind":"echo","delay_ms":9999999}"#).await;
    answer.is_problem(429, "backlog_full");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
}

#[tokio::test]
async fn a_list_is_filtered_and_paged_newest_first() {
    let server = Server::start().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        let queue = if n % 2 == 0 { "even" } else { "odd" };
        let job = server.job(&format!(r#","queue":"{queue}","tags":["n{n}"]"#)).await;
        ids.insert(0, job["id"].clone());
    }
    let page = server.get("/api/v1/jobs?limit=3").await.json();
    let got: Vec<_> =
        page["jobs"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
    assert_eq!(got, ids[..3]);
    let next = format!("/api/v1/jobs?limit=3&after={}", page["next"].as_str().unwrap());
    let page = server.get(&next).await.json();
    assert_eq!((&page["jobs"][0]["id"], &page["jobs"][1]["id"]), (&ids[3], &ids[4]));
    assert!(page["next"].is_null() && page["cursor"].is_string(), "{page}");
    for (filter, count) in [
        ("queue=even", 3),
        ("tag=n1", 1),
        ("state=scheduled,running", 5),
        ("state=running", 0),
        ("kind=other", 0),
    ] {
        let page = server.get(&format!("/api/v1/jobs?{filter}")).await.json();
        assert_eq!(page["jobs"].as_array().unwrap().len(), count, "{filter}");
    }
    server.get("/api/v1/jobs?state=done").await.is_problem(400, "invalid_parameter");
    server.get("/api/v1/jobs?limit=0").await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn jobs_are_cancelled_retried_and_removed() {
    let server = Server::start().await;
    let id = server.job("").await["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/jobs/{id}");
    let answer = server.post(&format!("{path}/cancel"), "").await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("cancelled")));
    server.post(&format!("{path}/cancel"), "").await.is_problem(409, "not_allowed");
    let job = server.get(&path).await.json();
    assert_eq!(job["timeline"][0]["type"], "job.cancelled");
    assert!(job["finished_at"].is_string());
    assert_eq!(server.send("DELETE", &path, &[], "").await.status, 204);
    server.get(&path).await.is_problem(404, "no_such_job");
    server.get(&format!("{path}/log")).await.is_problem(404, "no_such_job");
    for verb in ["retry", "cancel"] {
        server.post(&format!("{path}/{verb}"), "").await.is_problem(404, "no_such_job");
    }
    server.send("DELETE", &path, &[], "").await.is_problem(404, "no_such_job");
    server.get("/api/v1/jobs/42").await.is_problem(404, "no_such_job");

    let id = server.job("").await["id"].as_str().unwrap().to_owned();
    let answer = server.post(&format!("/api/v1/jobs/{id}/retry"), "").await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("available")));
}

#[tokio::test]
async fn queues_are_paused_and_counted() {
    let server = Server::start().await;
    server.job(r#","queue":"mail""#).await;
    assert_eq!(server.post("/api/v1/queues/mail/pause", "").await.status, 204);
    assert_eq!(server.post("/api/v1/queues/mail/pause", "").await.status, 204);
    let queues = server.get("/api/v1/queues").await.json();
    let mail = queues["queues"].as_array().unwrap().iter().find(|q| q["name"] == "mail").unwrap();
    assert_eq!((&mail["paused"], &mail["states"]["scheduled"]), (&json!(true), &json!(1)));
    assert_eq!((&mail["concurrency"], &mail["slots"]), (&json!(null), &json!(64)), "no limit");
    assert_eq!(server.post("/api/v1/queues/mail/resume", "").await.status, 204);
    let stats = server.get("/api/v1/stats").await.json();
    assert_eq!(
        (&stats["states"]["scheduled"], &stats["states"]["running"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(stats["kinds"]["echo"]["scheduled"], 1);
    assert!(stats["cursor"].is_string() && stats["oldest"].is_string());
    let store = stats["store"].as_object().unwrap();
    assert!(store.len() == 11 && store.values().all(|n| n == 0), "memory takes no disk: {store:?}");
    server.post("/api/v1/queues/a%20b/pause", "").await.is_problem(400, "invalid_parameter");
    let kinds = server.get("/api/v1/kinds").await.json();
    let retry = json!({
        "max_attempts": 5, "backoff": {"base_ms": 1_000, "cap_ms": 60_000},
        "in_words": "up to 5 attempts over about 12 seconds",
    });
    assert_eq!(
        kinds["kinds"][0],
        json!({"kind":"echo","source":"built_in","about":"Gives back.","example":1,"retry":retry,
            "queue":"default","timeout_ms":null,"workers":1})
    );
}

#[tokio::test]
async fn an_export_is_one_line_a_piece_from_head_to_end() {
    let server = Server::start().await;
    for n in 1..=700 {
        server.job(&format!(r#","payload":{n}00000000000000000000"#)).await;
    }
    server.post("/api/v1/queues/mail/pause", "").await;
    let answer = server.get("/api/v1/export").await;
    assert_eq!(answer.header("content-type"), "application/jsonl");
    let lines: Vec<Value> =
        answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["head"]["head"], 701);
    let queue = json!({"name": "mail", "paused": true, "concurrency": null, "rate_limit": null});
    assert_eq!(lines[1]["queue"], queue);
    assert_eq!(lines[2]["event"]["seq"], 1);
    let job = &lines[lines.len() - 2]["job"];
    assert_eq!(job["spec"]["payload"], "70000000000000000000000");
    let end = json!({"jobs": 700, "events": 701, "queues": 1, "schedules": 0});
    assert_eq!((lines.len(), &lines[lines.len() - 1]["end"]), (2 + 701 + 700 + 1, &end));
    let mut check = ExportCheck::default();
    check.lines(answer.body.as_bytes()).unwrap();
    assert_eq!(check.finish(), Ok(true), "every line and the whole have their checksums");
}

#[tokio::test]
async fn events_can_be_polled_from_a_cursor() {
    let server = Server::start().await;
    let start = server.get("/api/v1/events").await.json();
    assert_eq!(start["events"], json!([]));
    for queue in ["a", "b", "a"] {
        server.job(&format!(r#","queue":"{queue}""#)).await;
    }
    let read = async |query: &str| {
        let cursor = start["cursor"].as_str().unwrap();
        server.get(&format!("/api/v1/events?after={cursor}{query}")).await.json()
    };
    let all = read("").await;
    assert_eq!(all["events"].as_array().unwrap().len(), 3);
    assert_eq!(all["events"][0]["type"], "job.enqueued");
    assert_eq!(read("&limit=2").await["events"].as_array().unwrap().len(), 2);
    let some = read("&queue=b&type=job.enqueued").await;
    assert_eq!(some["events"].as_array().unwrap().len(), 1);
    assert_eq!(some["cursor"], all["cursor"], "the cursor moves past what was filtered out");
    let lost = server.get("/api/v1/events?after=00000000:99").await.json();
    assert_eq!(lost["gap"]["from"], "00000000:99");
    server.get("/api/v1/events?after=x").await.is_problem(400, "invalid_parameter");
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems_too() {
    let server = Server::start().await;
    server.get("/api/v1/nothing").await.is_problem(404, "no_such_path");
    let answer = server.send("PUT", "/api/v1/jobs", &[], "").await;
    answer.is_problem(405, "wrong_method");
    assert!(answer.header("allow").contains("POST"), "{answer:?}");
    server.get("/api/v1/ws").await.is_problem(400, "not_a_websocket");
}

#[tokio::test]
async fn health_and_submissions_tell_of_a_store_that_is_closed_by_a_stop() {
    let store = store_with(store::StoreLimits::default());
    let server = Server::with(Setup { store: store.clone(), ..Setup::default() }).await;
    assert_eq!(server.get("/readyz").await.json(), json!({"status":"ready"}));
    store::Store::close(&*store).await.unwrap();
    let answer = server.get("/readyz").await;
    answer.is_problem(503, "draining");
    assert!(!answer.header("retry-after").is_empty());
    server.post("/api/v1/jobs", r#"{"kind":"echo"}"#).await.is_problem(503, "draining");
    assert_eq!(server.get("/healthz").await.json(), json!({"status":"alive"}));
}

#[tokio::test]
async fn a_waiting_job_says_why_it_is_not_running_and_a_finished_one_says_nothing() {
    let server = Server::start().await;
    let why = |job: &Value| job["why"].clone();
    let later = server.job(r#","queue":"mail""#).await;
    let path = format!("/api/v1/jobs/{}", later["id"].as_str().unwrap());
    assert_eq!(why(&server.get(&path).await.json())["code"], "not_due");
    assert_eq!(server.post("/api/v1/queues/mail/pause", "").await.status, 204);
    assert_eq!(server.post(&format!("{path}/retry"), "").await.status, 200);
    let expected = json!({"code": "queue_paused",
        "text": "Queue mail is paused. No job starts until it is resumed."});
    assert_eq!(why(&server.get(&path).await.json()), expected);
    server.post("/api/v1/queues/mail/resume", "").await;
    let done = server.get(&format!("{path}?wait=20s")).await.json();
    assert_eq!((&done["state"], why(&done)), (&json!("completed"), Value::Null));
}
