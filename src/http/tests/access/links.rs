//! Share links: what one opens, on every transport, and when it ends.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::access::AccessCommand;
use crate::engine::Transport;
use crate::http::HttpLimits;
use crate::http::access::access_watch::LINK_ENDED;
use crate::http::tests::support::{
    Answer, Growing, Server, Setup, Socket, errors, refused, within,
};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::job::{LinkId, QueueName, Role};

/// A server with users, and an operator who shares.
struct Sharing {
    server: Server,
    operator: String,
}

/// A link that was created.
#[derive(Debug)]
struct Link {
    id: String,
    /// The path that it opens.
    path: String,
    view: Value,
}

impl Sharing {
    async fn start() -> Sharing {
        Sharing::with(Setup::default()).await
    }

    async fn with(setup: Setup) -> Sharing {
        let server = Server::with(setup).await;
        add_user(&server.engine, "root", Role::Admin).await;
        let (_, token) = add_token(&server.engine, "ops", Role::Operator, |_| {}).await;
        Sharing { server, operator: bearer(&token) }
    }

    async fn send(&self, who: &str, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("authorization", who), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.server.send(method, path, &headers, &body).await
    }

    async fn submit(&self, job: Value) -> String {
        let answer = self.send(&self.operator, "POST", "/api/v1/jobs", &job).await;
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    async fn share(&self, body: Value) -> Link {
        let answer = self.send(&self.operator, "POST", "/api/v1/links", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let view = answer.json();
        let path = view["url"].as_str().unwrap().split_once(&self.host()).unwrap().1.to_owned();
        assert!(path.starts_with("/shared/"), "{path}");
        Link { id: view["id"].as_str().unwrap().to_owned(), path, view }
    }

    async fn share_job(&self, id: &str) -> Link {
        self.share(json!({"job": id, "expires_in": "1h"})).await
    }

    async fn share_queue(&self, name: &str) -> Link {
        self.share(json!({"queue": name, "expires_in": "1h"})).await
    }

    fn host(&self) -> String {
        self.server.address.to_string()
    }

    async fn socket(&self, path: &str) -> Socket {
        let url = format!("ws://{}{path}", self.server.address);
        Socket(within(tokio_tungstenite::connect_async(url)).await.unwrap().0)
    }

    async fn events(&self, path: &str) -> Growing {
        self.server.open(path, &[("accept", "text/event-stream")]).await
    }
}

/// A job that runs until the gate of the server opens.
fn held(queue: &str) -> Value {
    json!({"kind": "hold", "queue": queue, "payload": {"customer": "secret-customer"}, "tags": ["secret-tag"],
           "idempotency_key": format!("secret-key-{queue}")})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_are_created_listed_and_revoked_by_those_who_may_act() {
    let it = Sharing::start().await;
    let job = it.submit(held("mail")).await;
    let of_job = it.share(json!({"job": job, "expires_in": "7d", "payload": "hidden"})).await;
    assert_eq!(of_job.view["job"], job.as_str());
    assert_eq!((&of_job.view["queue"], &of_job.view["payload"]), (&Value::Null, &json!("hidden")));
    assert_eq!(of_job.view["created_by"], json!({"token": "ops"}));
    let of_queue = it.share_queue("mail").await;
    assert_eq!((&of_queue.view["job"], &of_queue.view["payload"]), (&Value::Null, &Value::Null));
    let listed = it.send(&it.operator, "GET", "/api/v1/links", &Value::Null).await.json();
    let urls = |listed: &Value| -> Vec<String> {
        let links = listed["links"].as_array().unwrap().iter();
        links.map(|link| link["url"].as_str().unwrap().to_owned()).collect()
    };
    let mut listed_urls = urls(&listed);
    listed_urls.sort();
    let mut created = vec![&of_job, &of_queue]
        .into_iter()
        .map(|link| link.view["url"].as_str().unwrap().to_owned())
        .collect::<Vec<_>>();
    created.sort();
    assert_eq!(listed_urls, created, "the address can be shown again");

    for (role, name) in
        [(Role::Viewer, "reader"), (Role::Submitter, "sender"), (Role::Worker, "worker")]
    {
        let (_, token) = add_token(&it.server.engine, name, role, |_| {}).await;
        let body = json!({"job": job, "expires_in": "1h"});
        let answer = it.send(&bearer(&token), "POST", "/api/v1/links", &body).await;
        answer.is_problem(403, "forbidden");
        it.send(&bearer(&token), "GET", "/api/v1/links", &Value::Null)
            .await
            .is_problem(403, "forbidden");
    }
    let path = format!("/api/v1/links/{}", of_job.id);
    assert_eq!(it.send(&it.operator, "DELETE", &path, &Value::Null).await.status, 204);
    it.send(&it.operator, "DELETE", &path, &Value::Null).await.is_problem(404, "no_such_link");
    let listed = it.send(&it.operator, "GET", "/api/v1/links", &Value::Null).await.json();
    assert_eq!(urls(&listed), [of_queue.view["url"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_link_that_makes_no_sense_is_refused_with_the_reason() {
    let it = Sharing::start().await;
    let job = it.submit(held("mail")).await;
    for (body, status, code, error) in [
        (json!({}), 422, "invalid_fields", "job: is required, or queue"),
        (json!({"job": job}), 422, "invalid_fields", "expires_in: is required"),
        (json!({"job": "x", "expires_in": "1h"}), 422, "invalid_fields", "job: "),
        (
            json!({"job": job, "queue": "mail", "expires_in": "1h"}),
            422,
            "invalid_fields",
            "queue: cannot be given with job",
        ),
        (
            json!({"job": job, "expires_in": "soon"}),
            422,
            "invalid_fields",
            "expires_in: must be a duration such as 1h or 7d",
        ),
        (
            json!({"job": job, "expires_in": "31d"}),
            422,
            "invalid_fields",
            "expires_in: must be from 1 second to 30 days",
        ),
        (
            json!({"job": job, "expires_in": "0"}),
            422,
            "invalid_fields",
            "expires_in: must be from 1 second",
        ),
        (
            json!({"job": job, "expires_in": "1h", "payload": "no"}),
            422,
            "invalid_fields",
            "payload: must be shown or hidden",
        ),
        (json!({"job": job, "expires_in": "1h", "x": 1}), 422, "invalid_fields", "x: is not known"),
        (
            json!({"job": "019ab001-7c3e-7d10-8a55-0242ac120002", "expires_in": "1h"}),
            404,
            "no_such_job",
            "",
        ),
        (json!({"queue": "nowhere", "expires_in": "1h"}), 404, "no_such_queue", ""),
    ] {
        let answer = it.send(&it.operator, "POST", "/api/v1/links", &body).await;
        let problem = answer.is_problem(status, code);
        if !error.is_empty() {
            let errors = errors(&problem);
            assert!(errors.iter().any(|found| found.starts_with(error)), "{body}: {errors:?}");
        }
    }
    assert_eq!(it.server.engine.access_table().borrow().links().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restricted_credentials_share_only_what_they_are_for_and_manage_only_their_links() {
    let it = Sharing::start().await;
    let (inside, outside) =
        (it.submit(json!({"kind": "echo", "queue": "mail"})).await, it.submit(held("other")).await);
    let (_, token) = add_token(&it.server.engine, "ci", Role::Operator, restrict).await;
    let ci = bearer(&token);
    let share = async |body: Value| it.send(&ci, "POST", "/api/v1/links", &body).await;
    share(json!({"job": outside, "expires_in": "1h"})).await.is_problem(404, "no_such_job");
    share(json!({"queue": "other", "expires_in": "1h"})).await.is_problem(403, "forbidden");
    let reason = "the token is restricted to a kind, and a queue has jobs of all kinds";
    let answer = share(json!({"queue": "mail", "expires_in": "1h"})).await;
    assert_eq!(answer.status, 403, "{reason}");
    let own = share(json!({"job": inside, "expires_in": "1h"})).await;
    assert_eq!(own.status, 201, "{own:?}");
    let of_others = it.share_job(&inside).await;
    let listed = it.send(&ci, "GET", "/api/v1/links", &Value::Null).await.json();
    let ids: Vec<&Value> =
        listed["links"].as_array().unwrap().iter().map(|link| &link["id"]).collect();
    assert_eq!(ids, [&own.json()["id"]]);
    let path = format!("/api/v1/links/{}", of_others.id);
    it.send(&ci, "DELETE", &path, &Value::Null).await.is_problem(404, "no_such_link");
    let path = format!("/api/v1/links/{}", own.json()["id"].as_str().unwrap());
    assert_eq!(it.send(&ci, "DELETE", &path, &Value::Null).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_begins_with_the_configured_url() {
    let limits =
        HttpLimits { base_url: Some("https://jobs.example.com/".into()), ..HttpLimits::default() };
    let it = Sharing::with(Setup { limits, ..Setup::default() }).await;
    let body = json!({"job": it.submit(held("mail")).await, "expires_in": "1h"});
    let link = it.send(&it.operator, "POST", "/api/v1/links", &body).await.json();
    let url = link["url"].as_str().unwrap();
    assert!(url.starts_with("https://jobs.example.com/shared/"), "{url}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_credentials_on_the_server_links_work_alike() {
    let server = Server::start().await;
    let job = server.job("").await["id"].as_str().unwrap().to_owned();
    let body = json!({"job": job, "expires_in": "1h"}).to_string();
    let link = server.post("/api/v1/links", &body).await.json();
    assert_eq!(link["created_by"], Value::Null);
    let path =
        link["url"].as_str().unwrap().split_once(&server.address.to_string()).unwrap().1.to_owned();
    assert_eq!(server.get(&format!("{path}/events")).await.status, 200);
    server.get(&format!("{}x/events", path)).await.is_problem(404, "no_such_link");
    let id = link["id"].as_str().unwrap();
    assert_eq!(server.send("DELETE", &format!("/api/v1/links/{id}"), &[], "").await.status, 204);
    server.get(&format!("{path}/events")).await.is_problem(404, "no_such_link");
}

/// Texts that only somebody who may read the server's events sees.
const SECRETS: [&str; 5] = ["secret-", "worker", "\"by\"", "other", "tags"];

/// Asserts that events are about a job, and returns their types.
fn types_of(events: &[Value], job: &str) -> Vec<String> {
    for event in events {
        assert_eq!(event["job"]["id"], job, "{event}");
        for secret in SECRETS {
            assert!(!event.to_string().contains(secret), "{secret} in {event}");
        }
    }
    events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

/// Reads events of a socket up to one of a type.
async fn socket_until(socket: &mut Socket, last: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Value| event["type"] != last) {
        events.extend(socket.next_of("events").await["events"].as_array().unwrap().clone());
    }
    events
}

async fn stream_until(stream: &mut Growing, last: &str) -> Vec<Value> {
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &Value| event["type"] != last) {
        events.push(stream.sent_of("message").await.data);
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_a_job_streams_only_this_job_on_every_transport() {
    let it = Sharing::start().await;
    let start = it.server.engine.head();
    let (job, _) = (it.submit(held("mail")).await, it.submit(held("other")).await);
    let link = it.share_job(&job).await;
    let mut socket = it.socket(&format!("{}/ws?after={start}", link.path)).await;
    let mut stream = it.events(&format!("{}/events?after={start}", link.path)).await;
    assert_eq!(stream.response.headers()["referrer-policy"], "no-referrer");
    let mut log = it.server.open(&format!("{}/log?follow", link.path), &[]).await;
    assert_eq!(log.line().await.as_deref(), Some("before"));
    it.server.engine.pause(QueueName::parse("other").unwrap()).await.unwrap();
    it.server.gate.add_permits(2);
    assert_eq!(log.line().await.as_deref(), Some("after"));
    assert_eq!(log.line().await, None, "the log ends with the job");

    let expected = ["job.enqueued", "job.started", "job.logged", "job.logged", "job.completed"];
    let seen = types_of(&socket_until(&mut socket, "job.completed").await, &job);
    let kept = |types: Vec<String>| {
        let mut types = types;
        types.dedup();
        types
    };
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.dedup();
    assert_eq!(kept(seen), expected);
    let seen = stream_until(&mut stream, "job.completed").await;
    assert_eq!(kept(types_of(&seen, &job)), expected);
    let lines: Vec<&Value> = seen.iter().filter_map(|event| event.get("lines")).collect();
    assert!(lines[0][0]["text"] == "before", "{lines:?}");
    let polled = it.server.get(&format!("{}/events?after={start}", link.path)).await;
    assert_eq!(polled.header("cache-control"), "no-store");
    assert_eq!(polled.header("x-robots-tag"), "noindex, nofollow, noarchive");
    assert_eq!(kept(types_of(polled.json()["events"].as_array().unwrap(), &job)), expected);
    // A filter narrows it and tells nothing about what is left out.
    for (query, found) in [
        ("type=job.completed", 1),
        ("type=queue.*", 0),
        ("type=job.completed&tag=secret-tag", 1),
        ("type=job.completed&queue=x", 1),
    ] {
        let polled = it.server.get(&format!("{}/events?after={start}&{query}", link.path)).await;
        assert_eq!(polled.json()["events"].as_array().unwrap().len(), found, "{query}");
    }
    let log = it.server.get(&format!("{}/log", link.path)).await.json();
    assert_eq!(log["lines"].as_array().unwrap().len(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_to_a_queue_streams_states_without_output() {
    let it = Sharing::start().await;
    let start = it.server.engine.head();
    let (job, _) = (it.submit(held("mail")).await, it.submit(held("other")).await);
    let link = it.share_queue("mail").await;
    let mut socket = it.socket(&format!("{}/ws?after={start}", link.path)).await;
    let mut stream = it.events(&format!("{}/events?after={start}", link.path)).await;
    it.server.gate.add_permits(2);
    let expected = ["job.enqueued", "job.started", "job.completed"];
    let seen = socket_until(&mut socket, "job.completed").await;
    assert_eq!(types_of(&seen, &job), expected);
    assert_eq!(types_of(&stream_until(&mut stream, "job.completed").await, &job), expected);
    let polled = it.server.get(&format!("{}/events?after={start}", link.path)).await.json();
    assert_eq!(types_of(polled["events"].as_array().unwrap(), &job), expected);
    it.server.engine.pause(QueueName::parse("other").unwrap()).await.unwrap();
    it.server.engine.pause(QueueName::parse("mail").unwrap()).await.unwrap();
    let paused = socket.next_of("events").await["events"][0].clone();
    assert_eq!((&paused["type"], &paused["queue"]), (&json!("queue.paused"), &json!("mail")));
    let problem = it.server.get(&format!("{}/log", link.path)).await;
    problem.is_problem(404, "no_such_link");
    // A job that leaves the queue is seen to leave, and not where it goes.
    let waiting = it.submit(json!({"kind": "echo", "queue": "mail", "delay_ms": 3_600_000})).await;
    let body = json!({"queue": "elsewhere"});
    it.send(&it.operator, "POST", &format!("/api/v1/jobs/{waiting}/move"), &body).await;
    let moved = socket_until(&mut socket, "job.moved").await;
    assert!(!format!("{moved:?}").contains("elsewhere"), "{moved:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_gets_no_statistics_and_cannot_subscribe_to_more() {
    let it = Sharing::start().await;
    let (job, other) = (it.submit(held("mail")).await, it.submit(held("other")).await);
    let link = it.share_job(&job).await;
    it.server.get(&format!("{}/events?stats", link.path)).await.is_problem(403, "forbidden");
    let mut socket = it.socket(&format!("{}/ws", link.path)).await;
    socket.say(r#"{"type":"subscribe","id":"s","stats":true}"#).await;
    assert_eq!(socket.next_of("error").await["code"], "forbidden");
    let filter = json!({"type": "subscribe", "id": "o", "filter": {"job": other}}).to_string();
    socket.say(&filter).await;
    socket.next_of("subscribed").await;
    it.server.gate.add_permits(2);
    let seen = socket_until(&mut socket, "job.completed").await;
    types_of(&seen, &job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_link_has_opened_ends_when_it_is_revoked_or_expires() {
    let it = Sharing::start().await;
    let job = it.submit(held("mail")).await;
    for cause in ["revoked", "expired"] {
        let lifetime = if cause == "expired" { "2s" } else { "1h" };
        let link = it.share(json!({"job": job, "expires_in": lifetime})).await;
        let mut socket = it.socket(&format!("{}/ws?type=job.deleted", link.path)).await;
        socket.next_of("hello").await;
        let mut stream = it.events(&format!("{}/events?type=job.deleted", link.path)).await;
        stream.sent_of("hello").await;
        let objects = [("accept", "application/x-ndjson")];
        let mut log = it.server.open(&format!("{}/log?follow", link.path), &objects).await;
        let url = it.server.url(&format!("{}/events?type=job.deleted&wait=20s", link.path));
        let poll = tokio::spawn(async move {
            crate::cli::http_client().unwrap().get(url).send().await.unwrap().status().as_u16()
        });
        within(async {
            while it.server.engine.subscriber_counts().of(Transport::Poll) == 0
                && !poll.is_finished()
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
        if cause == "revoked" {
            let id = LinkId::parse(&link.id).unwrap();
            it.server.engine.access(AccessCommand::RevokeLink(id)).await.unwrap();
        }
        let (bye, code, reason) = socket.close_frame().await;
        assert_eq!((code, reason.as_str()), (CloseCode::Policy, LINK_ENDED), "{cause}");
        assert_eq!(bye.unwrap()["why"], LINK_ENDED, "{cause}");
        assert_eq!(stream.sent_of("bye").await.data["why"], LINK_ENDED, "{cause}");
        assert_eq!(stream.sent().await, None, "{cause}");
        assert_eq!(within(poll).await.unwrap(), 404, "{cause}");
        let mut last = String::new();
        while let Some(line) = log.line().await {
            if !line.is_empty() {
                last = line;
            }
        }
        assert_eq!(last, r#"{"end":"unauthorized"}"#, "{cause}");
        it.server.get(&format!("{}/events", link.path)).await.is_problem(404, "no_such_link");
        let request = format!("ws://{}{}/ws", it.server.address, link.path);
        let (status, body) = refused(request.into_client_request().unwrap()).await;
        assert_eq!((status, &body["code"]), (404, &json!("no_such_link")), "{cause}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_link_that_opens_nothing_is_answered_alike() {
    let it = Sharing::start().await;
    let (job, other) = (it.submit(held("mail")).await, it.submit(held("other")).await);
    let (live, sibling) = (it.share_job(&job).await, it.share_job(&other).await);
    let (revoked, expired) =
        (it.share_job(&job).await, it.share(json!({"job": job, "expires_in": "1s"})).await);
    let id = LinkId::parse(&revoked.id).unwrap();
    it.server.engine.access(AccessCommand::RevokeLink(id)).await.unwrap();
    let until = it
        .server
        .engine
        .access_table()
        .borrow()
        .link(&LinkId::parse(&expired.id).unwrap())
        .unwrap()
        .expires_at;
    within(async {
        while it.server.engine.now() <= until {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let text = live.path.strip_prefix("/shared/").unwrap();
    let (id, signature) = text.split_once('.').unwrap();
    let of_sibling = sibling.path.split_once('.').unwrap().1;
    let first = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{first}{}", &signature[1..]);
    let dead = [
        revoked.path.strip_prefix("/shared/").unwrap().to_owned(),
        expired.path.strip_prefix("/shared/").unwrap().to_owned(),
        format!("{id}.{of_sibling}"),
        format!("{id}.{forged}"),
        format!("{id}.{}", &signature[..signature.len() - 1]),
        format!("{id}.{signature}="),
        format!("{id}.{signature}A"),
        format!("{id}."),
        id.to_owned(),
        format!("0000000000000000.{signature}"),
        format!(".{signature}"),
        "x".to_owned(),
        "%F0%9F%92%A9.x".to_owned(),
        "A".repeat(3_000),
    ];
    for part in ["/events", "/ws", "/log", "/log?follow", "/events?stats"] {
        assert_ne!(it.server.get(&format!("/shared/{text}{part}")).await.status, 404, "{part}");
        let mut answers: Vec<(String, Answer)> = Vec::new();
        for dead in &dead {
            answers.push((dead.clone(), it.server.get(&format!("/shared/{dead}{part}")).await));
            // Neither does a credential of somebody make up for it.
            let headers = [("authorization", it.operator.as_str())];
            let path = format!("/shared/{dead}{part}");
            answers.push((dead.clone(), it.server.send("GET", &path, &headers, "").await));
        }
        let fixed = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            headers.remove("x-request-id");
            (answer.status, headers, answer.body.clone())
        };
        answers[0].1.is_problem(404, "no_such_link");
        for (dead, answer) in &answers {
            assert_eq!(fixed(answer), fixed(&answers[0].1), "{dead}{part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_link_count_as_subscribers() {
    let limits = HttpLimits {
        subscribers_per_address: 1,
        subscribers_from_loopback: crate::http::limits::Loopback::Limited,
        ..HttpLimits::default()
    };
    let it = Sharing::with(Setup { limits, ..Setup::default() }).await;
    let job = it.submit(held("mail")).await;
    let link = it.share_job(&job).await;
    let _first = it.events(&format!("{}/events", link.path)).await;
    let second = it
        .server
        .send("GET", &format!("{}/events", link.path), &[("accept", "text/event-stream")], "")
        .await;
    second.is_problem(429, "too_many_sockets");
}
