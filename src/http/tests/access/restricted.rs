//! Tokens that are restricted to a queue and a kind × every interface for jobs and events.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::http::tests::support::{Answer, Server, Socket, errors, within};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::job::Role;

/// A server with jobs inside and outside of the scope of a token.
struct Restricted {
    server: Server,
    authorization: String,
    /// A job of the queue `mail` and the kind `echo`.
    inside: String,
    /// Jobs of another queue or another kind.
    outside: Vec<String>,
}

/// The queues and kinds of jobs outside of the scope.
const OUTSIDE: [(&str, &str); 3] = [("other", "echo"), ("mail", "refuse"), ("other", "refuse")];

impl Restricted {
    async fn start() -> Restricted {
        let server = Server::start().await;
        let inside = server.job(r#","queue":"mail""#).await["id"].as_str().unwrap().to_owned();
        let mut outside = Vec::new();
        for (queue, kind) in OUTSIDE {
            let job = json!({"kind": kind, "queue": queue, "delay_ms": 3_600_000}).to_string();
            let answer = server.post("/api/v1/jobs", &job).await;
            outside.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
        add_user(&server.engine, "root", Role::Admin).await;
        let (_, token) = add_token(&server.engine, "ci", Role::Operator, restrict).await;
        Restricted { server, authorization: bearer(&token), inside, outside }
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers =
            [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        self.server.send(method, path, &headers, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }
}

#[tokio::test]
async fn a_submission_outside_of_the_scope_is_forbidden() {
    let it = Restricted::start().await;
    let job =
        |queue: &str, kind: &str| json!({"kind": kind, "queue": queue, "delay_ms": 3_600_000});
    let submit = async |body: Value| it.send("POST", "/api/v1/jobs", &body.to_string()).await;
    assert_eq!(submit(job("mail", "echo")).await.status, 202);
    assert_eq!(submit(json!([job("mail", "echo")])).await.status, 202);
    for (queue, kind) in OUTSIDE {
        let before = it.server.engine.head();
        let problem = submit(job(queue, kind)).await.is_problem(403, "forbidden");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("queues: mail; kinds: echo"), "{detail}");
        submit(json!([job("mail", "echo"), job(queue, kind)])).await.is_problem(403, "forbidden");
        assert_eq!(it.server.engine.head(), before, "nothing was stored");
    }
    submit(json!({"kind": "echo"})).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn an_idempotency_key_tells_nothing_about_a_job_outside_of_the_scope() {
    let it = Restricted::start().await;
    let job = |queue: &str, key: &str| json!({"kind": "echo", "queue": queue, "idempotency_key": key, "delay_ms": 3_600_000});
    let (_, token) = add_token(&it.server.engine, "ops", Role::Operator, |_| {}).await;
    let ops = bearer(&token);
    let post = async |path: &str, body: Value| {
        let headers = [("authorization", ops.as_str()), ("content-type", "application/json")];
        it.server.send("POST", path, &headers, &body.to_string()).await
    };
    let add = async |job: Value| post("/api/v1/jobs", job).await.json();
    add(job("other", "foreign")).await;
    let moved = add(job("mail", "moved")).await;
    let path = format!("/api/v1/jobs/{}/move", moved["id"].as_str().unwrap());
    assert_eq!(post(&path, json!({"queue": "other"})).await.status, 200);
    let own = add(job("mail", "own")).await;
    let head = it.server.engine.head();
    let in_use = "the idempotency key is in use; use a new key for another job";
    for key in ["foreign", "moved"] {
        let new = json!({"kind": "echo", "queue": "mail", "payload": 7}).to_string();
        let headers = [
            ("authorization", it.authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        let by_header = it.server.send("POST", "/api/v1/jobs", &headers, &new).await;
        let one = job("mail", key).to_string();
        let batch = json!([job("mail", "new"), job("mail", key)]).to_string();
        for (answer, field) in [
            (it.send("POST", "/api/v1/jobs", &one).await, "idempotency_key"),
            (it.send("POST", "/api/v1/jobs?wait=1s", &one).await, "idempotency_key"),
            (by_header, "idempotency_key"),
            (it.send("POST", "/api/v1/jobs", &format!("[{one}]")).await, "[0].idempotency_key"),
            (it.send("POST", "/api/v1/jobs", &batch).await, "[1].idempotency_key"),
        ] {
            let problem = answer.is_problem(422, "idempotency_key_reused");
            assert_eq!(problem["detail"], in_use, "{key}");
            assert_eq!(errors(&problem), [format!("{field}: {in_use}")], "{key}");
        }
    }
    assert_eq!(it.server.engine.head(), head, "nothing was stored");
    let again = it.send("POST", "/api/v1/jobs", &job("mail", "own").to_string()).await;
    assert_eq!((again.status, &again.json()["id"]), (200, &own["id"]));
}

#[tokio::test]
async fn a_job_outside_of_the_scope_does_not_exist() {
    let it = Restricted::start().await;
    let actions = [
        ("GET", "", ""),
        ("GET", "?wait=1s", ""),
        ("GET", "/log", ""),
        ("GET", "/log?follow", ""),
        ("POST", "/retry", ""),
        ("POST", "/move", r#"{"queue":"mail"}"#),
        ("POST", "/reprioritise", r#"{"priority":5}"#),
        ("POST", "/cancel", ""),
        ("DELETE", "", ""),
    ];
    let nobody = "019ab001-7c3e-7d10-8a55-0242ac120002";
    for (method, action, body) in actions {
        for id in it.outside.iter().map(String::as_str).chain([nobody]) {
            let answer = it.send(method, &format!("/api/v1/jobs/{id}{action}"), body).await;
            let problem = answer.is_problem(404, "no_such_job");
            assert_eq!(problem["detail"], format!("no such job: {id}"), "{method} {action}");
        }
    }
    for id in &it.outside {
        let job = it.server.engine.job(id.parse().unwrap()).await.unwrap().0.unwrap();
        assert_eq!(job.status.state.as_str(), "scheduled", "nothing has happened to it");
    }
    let inside = format!("/api/v1/jobs/{}", it.inside);
    let moved = it.send("POST", &format!("{inside}/move"), r#"{"queue":"other"}"#).await;
    moved.is_problem(403, "forbidden");
    let changes_nothing_else =
        |(_, action, _): &(&str, &str, &str)| !["/log?follow", "/retry", "/move"].contains(action);
    for (method, action, body) in actions.into_iter().filter(changes_nothing_else) {
        let answer = it.send(method, &format!("{inside}{action}"), body).await;
        assert!(answer.status < 300, "{method} {action}: {answer:?}");
    }
}

#[tokio::test]
async fn a_list_has_only_the_jobs_of_the_scope() {
    let it = Restricted::start().await;
    for (query, found) in [
        ("", 1),
        ("?queue=mail", 1),
        ("?queue=mail,other", 1),
        ("?queue=other", 0),
        ("?kind=refuse", 0),
        ("?kind=echo&state=scheduled", 1),
        ("?q=queue:other", 0),
        ("?q=kind:echo", 1),
        ("?queue=other&queue=elsewhere", 0),
    ] {
        let page = it.get(&format!("/api/v1/jobs{query}")).await.json();
        let jobs = page["jobs"].as_array().unwrap();
        assert_eq!(jobs.len(), found, "{query}: {page}");
        assert!(jobs.iter().all(|job| job["id"] == it.inside.as_str()), "{query}: {page}");
        assert_eq!(page["examined"], found, "{query}: {page}");
    }
    let kinds = it.get("/api/v1/kinds").await.json();
    let kinds: Vec<&Value> =
        kinds["kinds"].as_array().unwrap().iter().map(|kind| &kind["kind"]).collect();
    assert_eq!(kinds, ["echo"]);
    let me = it.get("/api/v1/me").await.json();
    assert_eq!((&me["queues"], &me["kinds"]), (&json!(["mail"]), &json!(["echo"])));
    assert_eq!((&me["actor"], &me["role"]), (&json!({"token": "ci"}), &json!("operator")));
}

/// The jobs and other subjects that events are about.
fn subjects(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["job"]["id"].as_str().unwrap_or("no job").to_owned()).collect()
}

#[tokio::test]
async fn the_stream_has_only_the_events_of_the_scope_on_every_transport() {
    let it = Restricted::start().await;
    let start = crate::job::Cursor { seq: 0, ..it.server.engine.head() };
    // More events, live ones for the streams: of a queue outside, of a schedule, of a user.
    let queue = |name: &str| crate::job::QueueName::parse(name).unwrap();
    it.server.engine.pause(queue("other")).await.unwrap();
    for (query, expected) in [
        ("", 1),
        ("&queue=mail", 1),
        ("&queue=other", 0),
        ("&kind=refuse", 0),
        ("&type=queue.*", 0),
        ("&type=user.*,token.*", 0),
    ] {
        let path = format!("/api/v1/events?after={start}{query}");
        let polled = it.get(&path).await.json();
        let polled = subjects(polled["events"].as_array().unwrap());
        assert_eq!(polled, vec![it.inside.clone(); expected], "poll {query}");
    }
    let path = format!("/api/v1/events?after={start}");
    let headers = [("authorization", it.authorization.as_str()), ("accept", "text/event-stream")];
    let mut stream = it.server.open(&path, &headers).await;
    let url = format!("ws://{}/api/v1/ws?after={start}", it.server.address);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", it.authorization.parse().unwrap());
    let mut socket = Socket(within(tokio_tungstenite::connect_async(request)).await.unwrap().0);
    // First what is stored, then what happens: what is outside comes before what is inside, and is not sent.
    for round in ["stored", "live"] {
        let sent = stream.sent_of("message").await.data;
        assert_eq!(
            subjects(&[sent]),
            std::slice::from_ref(&it.inside),
            "{round} events on the event stream"
        );
        let message = socket.next_of("events").await;
        let sent = subjects(message["events"].as_array().unwrap());
        assert_eq!(sent, std::slice::from_ref(&it.inside), "{round} events on the WebSocket");
        let outside: crate::job::JobId = it.outside[0].parse().unwrap();
        let inside: crate::job::JobId = it.inside.parse().unwrap();
        it.server.engine.reprioritise(outside, 7).await.unwrap();
        it.server.engine.pause(queue("elsewhere")).await.unwrap();
        it.server.engine.reprioritise(inside, 7).await.unwrap();
    }
}

#[tokio::test]
async fn what_shows_the_server_as_a_whole_is_forbidden() {
    let it = Restricted::start().await;
    for path in [
        "/api/v1/stats",
        "/api/v1/queues",
        "/api/v1/schedules",
        "/api/v1/failures",
        "/api/v1/workers",
        "/api/v1/metrics/history",
        "/api/v1/bulk",
        "/api/v1/export",
        "/api/v1/sessions",
        "/metrics",
        "/api/v1/events?stats",
    ] {
        let problem = it.get(path).await.is_problem(403, "forbidden");
        let detail = problem["detail"].as_str().unwrap();
        let is_role = path == "/api/v1/export";
        assert!(is_role || detail.contains("restricted to queues: mail; kinds: echo"), "{detail}");
    }
    let run = r#"{"action":"delete","filter":{}}"#;
    it.send("POST", "/api/v1/bulk", run).await.is_problem(403, "forbidden");
}
