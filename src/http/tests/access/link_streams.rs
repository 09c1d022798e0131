//! What a share link streams, on every transport, and when it ends.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::links::{Sharing, held};
use crate::access::AccessCommand;
use crate::engine::Transport;
use crate::http::HttpLimits;
use crate::http::access::access_watch::LINK_ENDED;
use crate::http::tests::support::{Answer, Growing, Setup, Socket, refused, within};
use crate::job::{LinkId, QueueName};

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
async fn a_link_ends_with_its_job() {
    let it = Sharing::start().await;
    let job = it.submit(json!({"kind": "echo", "delay_ms": 3_600_000})).await;
    let (link, other) = (it.share_job(&job).await, it.share_queue("default").await);
    let mut socket = it.socket(&format!("{}/ws?type=job.started", link.path)).await;
    socket.next_of("hello").await;
    let mut stream = it.events(&format!("{}/events?type=job.started", link.path)).await;
    stream.sent_of("hello").await;
    let path = format!("/api/v1/jobs/{job}");
    assert_eq!(it.send(&it.operator, "DELETE", &path, &Value::Null).await.status, 204);
    for part in ["", "/events", "/log"] {
        let answer = it.server.get(&format!("{}{part}", link.path)).await;
        let is_page = part.is_empty(); // which this server does not have
        assert!(is_page || answer.is_problem(404, "no_such_link") != Value::Null, "{part}");
    }
    let (bye, code, _) = socket.close_frame().await;
    assert_eq!((bye.unwrap()["why"].as_str(), code), (Some(LINK_ENDED), CloseCode::Policy));
    assert_eq!(stream.sent_of("bye").await.data["why"], LINK_ENDED);
    // What it had opened has ended, so it was revoked.
    let listed = it.send(&it.operator, "GET", "/api/v1/links", &Value::Null).await.json();
    let listed: Vec<_> = listed["links"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(listed, [other.id.as_str()]);
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
        // A followed log goes on.
        if !part.contains("follow") {
            let answer = it.server.get(&format!("/shared/{text}{part}")).await;
            assert_ne!(answer.status, 404, "{part}");
        }
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
