//! Schedules over HTTP: creating, reading, changing, running and deleting them, and their events.

use serde_json::{Value, json};

use super::support::Server;

const HOURLY: &str = r#"{"cron":"0 * * * *","zone":"Europe/Berlin","kind":"echo","payload":{"n": 1.0},
    "queue":"night","tags":["t"],"priority":3,"max_attempts":2,"timeout_ms":900,"overlap":"skip","max_late_ms":60000}"#;

async fn put(server: &Server, name: &str, body: &str) -> super::support::Answer {
    let headers = [("content-type", "application/json")];
    server.send("PUT", &format!("/api/v1/schedules/{name}"), &headers, body).await
}

#[tokio::test]
async fn a_schedule_is_made_read_changed_and_removed() {
    let server = Server::start().await;
    let made = put(&server, "hourly", HOURLY).await;
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    let received: Vec<&Value> =
        ["name", "cron", "zone", "paused", "overlap", "max_late_ms", "origin", "last", "skipped"]
            .iter()
            .map(|field| &made[*field])
            .collect();
    let expected =
        json!(["hourly", "0 * * * *", "Europe/Berlin", false, "skip", 60000, "api", null, 0]);
    assert_eq!(json!(received), expected);
    assert_eq!(made["upcoming"].as_array().unwrap().len(), 5);
    assert_eq!(made["upcoming"][0], made["next_at"]);
    let job = &made["job"];
    assert_eq!(
        (&job["kind"], &job["queue"], &job["priority"]),
        (&json!("echo"), &json!("night"), &json!(3))
    );
    assert_eq!(
        (&job["tags"], &job["max_attempts"], &job["timeout_ms"]),
        (&json!(["t"]), &json!(2), &json!(900))
    );
    let read = server.get("/api/v1/schedules/hourly").await;
    assert!(read.body.contains(r#""payload":{"n": 1.0}"#), "exactly as it was sent: {}", read.body);

    put(&server, "another", r#"{"cron":"@daily","kind":"echo"}"#).await;
    let list = server.get("/api/v1/schedules").await.json();
    let names: Vec<&Value> =
        list["schedules"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!((json!(names), list["cursor"].is_string()), (json!(["another", "hourly"]), true));
    let changed = put(&server, "hourly", r#"{"cron":"every 15m","kind":"echo"}"#).await.json();
    assert_eq!((&changed["cron"], &changed["zone"]), (&json!("every 15m"), &json!("UTC")));

    let paused = server.post("/api/v1/schedules/hourly/pause", "").await.json();
    assert_eq!(paused["paused"], true);
    assert_eq!(server.post("/api/v1/schedules/hourly/resume", "").await.json()["paused"], false);
    assert_eq!(server.send("DELETE", "/api/v1/schedules/hourly", &[], "").await.status, 204);
    for (method, path) in
        [("GET", ""), ("DELETE", ""), ("POST", "/run"), ("POST", "/pause"), ("POST", "/resume")]
    {
        let path = format!("/api/v1/schedules/hourly{path}");
        server.send(method, &path, &[], "").await.is_problem(404, "no_such_schedule");
    }
}

#[tokio::test]
async fn a_schedule_that_is_run_makes_a_job_and_the_stream_tells() {
    let server = Server::start().await;
    put(&server, "hourly", HOURLY).await;
    let from = server.get("/api/v1/schedules").await.json()["cursor"].clone();
    let run = server.post("/api/v1/schedules/hourly/run", "").await.json();
    let id = run["last"]["job"].as_str().unwrap();
    assert!(run["last"]["due"].is_null(), "{run}");
    let job = server.get(&format!("/api/v1/jobs/{id}?wait=20s")).await.json();
    assert_eq!(
        (&job["state"], &job["tags"]),
        (&json!("completed"), &json!(["t", "schedule:hourly"]))
    );

    let from = from.as_str().unwrap();
    let events = server.get(&format!("/api/v1/events?type=schedule.*&after={from}")).await.json();
    let fired = &events["events"][0];
    let received =
        json!([fired["type"], fired["schedule"], fired["job_id"], fired["due"], fired["next_at"]]);
    assert_eq!(received, json!(["schedule.fired", "hourly", id, null, run["next_at"]]));
    assert!(fired.get("job").is_none() && fired.get("queue").is_none());
    let of_a_queue =
        server.get(&format!("/api/v1/events?queue=night&type=schedule.*&after={from}")).await;
    assert_eq!(of_a_queue.json()["events"], json!([]), "a schedule belongs to no queue");
    let tagged = server.get("/api/v1/jobs?tag=schedule:hourly").await.json();
    assert_eq!(tagged["jobs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_no_schedule_is_refused_by_field() {
    let server = Server::start().await;
    let fields = |problem: Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    let wrong =
        r#"{"cron":"soon","zone":"UTC","kind":"two words","priority":99999,"tags":["a,b"]}"#;
    let problem = put(&server, "a", wrong).await.is_problem(422, "invalid_fields");
    assert_eq!(fields(problem), ["priority", "cron", "kind", "tags[0]"]);
    let zone = r#"{"cron":"@daily","zone":"Mars/Olympus","kind":"echo"}"#;
    let problem = put(&server, "a", zone).await.is_problem(422, "invalid_fields");
    assert_eq!(fields(problem), ["zone"]);
    put(&server, "a", r#"{"cron":"@daily","kind":"nobody"}"#).await.is_problem(422, "unknown_kind");
    put(&server, "a", r#"{"cron":"@daily"}"#).await.is_problem(422, "invalid_fields");
    put(&server, "a", r#"{"cron":"@daily","kind":"echo","idempotency_key":"k"}"#)
        .await
        .is_problem(422, "invalid_fields");
    put(&server, "a%20b", HOURLY).await.is_problem(400, "invalid_parameter");
    let tags: Vec<String> = (0..32).map(|n| format!("\"t{n}\"")).collect();
    let many = format!(r#"{{"cron":"@daily","kind":"echo","tags":[{}]}}"#, tags.join(","));
    put(&server, "a", &many).await.is_problem(422, "invalid_fields");
    assert_eq!(server.get("/api/v1/schedules").await.json()["schedules"], json!([]));
}

#[tokio::test]
async fn a_pattern_is_previewed_in_words_and_times_before_it_is_a_schedule() {
    let server = Server::start().await;
    let asked = r#"{"cron":"30 2 * * *","zone":"+02:00"}"#;
    let received = server.post("/api/v1/cron/preview", asked).await.json();
    assert!(received["in_words"].as_str().unwrap().contains("02:30"), "{received}");
    let times = received["upcoming"].as_array().unwrap();
    assert!(
        times.len() == 5 && times.iter().all(|at| at.as_str().unwrap().ends_with("T00:30:00.000Z"))
    );
    server
        .post("/api/v1/cron/preview", r#"{"cron":"soon"}"#)
        .await
        .is_problem(422, "invalid_fields");
    for never in [", * * * * *", "* , * * * *", "1,,2 * * * *", "0 0 * * L", "0 0 1 * +1#5"] {
        let asked = json!({ "cron": never, "zone": "Europe/Berlin", "kind": "echo" }).to_string();
        put(&server, "never", &asked).await.is_problem(422, "invalid_fields");
        let asked = json!({ "cron": never }).to_string();
        let answer = server.post("/api/v1/cron/preview", &asked).await;
        answer.is_problem(422, "invalid_fields");
    }
}
