//! Who may be a worker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{Shop, say};
use crate::access::AccessCommand;
use crate::engine::{Interest, WorkerCaller, WorkerRegistration, WorkerTransport};
use crate::http::HttpLimits;
use crate::http::tests::support::{Socket, refused, within};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::job::{Actor, Kind, QueueName, Role, TokenName, WorkerName};

fn request(shop: &Shop, token: &str) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    request_as("w", shop, token)
}

fn request_as(
    worker: &str,
    shop: &Shop,
    token: &str,
) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    let url = format!("ws://{}/api/v1/workers/{worker}/ws", shop.server.address);
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("authorization", bearer(token).parse().unwrap());
    request
}

#[tokio::test]
async fn only_workers_and_admins_claim() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    add_user(engine, "root", Role::Admin).await;
    for role in Role::ALL {
        let (_, token) = add_token(engine, role.as_str(), role, |_| {}).await;
        let send = async |method: &str, path: &str, body: &str| {
            let authorization = bearer(&token);
            let headers =
                [("authorization", authorization.as_str()), ("content-type", "application/json")];
            shop.server.send(method, path, &headers, body).await
        };
        let claim = send("POST", "/api/v1/workers/w/claim", r#"{"kinds":["resize"]}"#).await;
        let report = send("POST", "/api/v1/leases", "{}").await;
        let quiet = send("POST", "/api/v1/workers/w/quiet", "").await;
        let is_worker = matches!(role, Role::Worker | Role::Admin);
        assert_eq!((claim.status == 200, report.status == 200), (is_worker, is_worker), "{role}");
        assert_eq!(quiet.status != 403, matches!(role, Role::Operator | Role::Admin), "{role}");
        if is_worker {
            within(tokio_tungstenite::connect_async(request(&shop, &token))).await.unwrap();
        } else {
            claim.is_problem(403, "forbidden");
            assert_eq!(refused(request(&shop, &token)).await.0, 403, "{role}");
        }
    }
}

#[tokio::test]
async fn one_token_does_not_take_the_places_of_the_workers_of_others() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    add_user(engine, "root", Role::Admin).await;
    let (_, greedy) = add_token(engine, "greedy", Role::Worker, |_| {}).await;
    let (_, other) = add_token(engine, "other", Role::Worker, |_| {}).await;
    let interest = Interest {
        queues: [QueueName::default()].into(),
        kinds: Arc::new([Kind::parse("resize").unwrap()].into()),
    };
    let registration = WorkerRegistration {
        interest: Arc::new(interest),
        lease: Duration::from_secs(30),
        about: None,
        transport: WorkerTransport::WebSocket,
        caller: WorkerCaller::default(),
    };
    let as_greedy = engine.by(Some(Actor::Token(TokenName::parse("greedy").unwrap())));
    let connect = |n: usize| {
        let name = WorkerName::parse(&format!("greedy-{n}")).unwrap();
        as_greedy.connect_worker(name, registration.clone()).unwrap()
    };
    let limit = engine.config().worker_limits().per_token;
    let _sessions: Vec<_> = (0..limit).map(connect).collect();
    let claim = async |token: &str| {
        let authorization = bearer(token);
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let path = "/api/v1/workers/w/claim";
        shop.server.send("POST", path, &headers, r#"{"kinds":["resize"]}"#).await
    };
    let refused = claim(&greedy).await;
    assert_eq!(refused.header("retry-after"), "10");
    refused.is_problem(429, "too_many_workers_of_token");
    assert_eq!(claim(&other).await.status, 200);
}

#[tokio::test]
async fn a_restricted_worker_claims_only_what_it_is_for() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    add_user(engine, "root", Role::Admin).await;
    let (_, token) = add_token(engine, "ci", Role::Worker, restrict).await;
    let authorization = bearer(&token);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let claim = async |body: serde_json::Value| {
        let path = "/api/v1/workers/w/claim";
        shop.server.send("POST", path, &headers, &body.to_string()).await
    };
    let inside = json!({"queues": ["mail"], "kinds": ["echo"]});
    assert_eq!(claim(inside.clone()).await.status, 200);
    let outside = [
        json!({"queues": ["mail", "other"], "kinds": ["echo"]}),
        json!({"queues": ["mail"], "kinds": ["echo", "resize"]}),
        json!({"kinds": ["echo"]}),
    ];
    let mut socket =
        Socket(within(tokio_tungstenite::connect_async(request(&shop, &token))).await.unwrap().0);
    for mut body in outside {
        let problem = claim(body.clone()).await.is_problem(403, "forbidden");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("queues: mail; kinds: echo"), "{detail}");
        (body["type"], body["free"]) = (json!("ready"), json!(1));
        say(&mut socket, body).await;
        assert_eq!(socket.next().await["code"], "forbidden");
    }
    let mut ready = inside;
    (ready["type"], ready["free"]) = (json!("ready"), json!(1));
    say(&mut socket, ready).await;
    assert_eq!(socket.next().await["type"], "hello");
}

#[tokio::test]
async fn a_worker_whose_token_is_revoked_is_disconnected() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    add_user(engine, "root", Role::Admin).await;
    let (id, token) = add_token(engine, "w", Role::Worker, |_| {}).await;
    let mut socket =
        Socket(within(tokio_tungstenite::connect_async(request(&shop, &token))).await.unwrap().0);
    say(&mut socket, json!({"type": "ready", "free": 1, "kinds": ["resize"]})).await;
    assert_eq!(socket.next().await["type"], "hello");
    engine.access(AccessCommand::RevokeToken(id)).await.unwrap();
    let (_, code, _) = socket.close_frame().await;
    assert_eq!(u16::from(code), 1008);
}

#[tokio::test]
async fn a_worker_whose_token_expires_is_disconnected_without_waiting_for_a_ping() {
    let hour = Duration::from_secs(3_600);
    let limits = HttpLimits { socket_ping: hour, socket_pong: hour, ..HttpLimits::default() };
    let shop = Shop::with(limits).await;
    let engine = &shop.server.engine;
    add_user(engine, "root", Role::Admin).await;
    let expires_at = engine.now().after(Duration::from_secs(4));
    let edit = |new: &mut crate::access::NewToken| new.expires_at = Some(expires_at);
    let (_, token) = add_token(engine, "w", Role::Worker, edit).await;
    let mut socket =
        Socket(within(tokio_tungstenite::connect_async(request(&shop, &token))).await.unwrap().0);
    say(&mut socket, json!({"type": "ready", "free": 1, "kinds": ["resize"]})).await;
    assert_eq!(socket.next().await["type"], "hello");
    let (_, code, _) = socket.close_frame().await;
    assert_eq!(u16::from(code), 1008);
    assert!(engine.now() >= expires_at);
}

/// Restricts a token to the kinds `resize` and `echo`.
fn restrict_kinds(new: &mut crate::access::NewToken) {
    new.kinds = Some(vec![Kind::parse("resize").unwrap(), Kind::parse("echo").unwrap()]);
}

#[tokio::test]
async fn a_restricted_token_cannot_act_as_a_worker_of_somebody_else() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    add_user(engine, "root", Role::Admin).await;
    let (_, owner) = add_token(engine, "owner", Role::Worker, restrict_kinds).await;
    let (_, other) = add_token(engine, "other", Role::Worker, restrict_kinds).await;
    let (_, free) = add_token(engine, "free", Role::Worker, |_| {}).await;
    let send = async |token: &str, method: &str, path: &str, body: Value| {
        let authorization = bearer(token);
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        shop.server.send(method, &format!("/api/v1/{path}"), &headers, &body).await
    };
    shop.add(1).await;
    let claim = json!({"kinds": ["resize"]});
    let claimed = send(&owner, "POST", "workers/web-1/claim", claim.clone()).await.json();
    let lease = claimed["leases"][0]["lease"].as_str().unwrap().to_owned();
    let end = json!({"lease": lease, "outcome": "done"});
    for (method, path, body) in [
        ("DELETE", "workers/web-1".to_owned(), Value::Null),
        ("POST", "workers/web-1/claim".to_owned(), claim.clone()),
        ("POST", "leases".to_owned(), json!({"extend": [lease]})),
        ("POST", "leases".to_owned(), json!({"note": [{"lease": lease, "lines": []}]})),
        ("POST", "leases".to_owned(), json!({"settle": [end]})),
        ("POST", format!("leases/{lease}"), json!({"settle": {"outcome": "done"}})),
    ] {
        let problem = send(&other, method, &path, body).await.is_problem(403, "forbidden");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("the worker web-1 was connected with other"), "{path}: {detail}");
    }
    let connect = async |worker: &str| {
        let request = request_as(worker, &shop, &other);
        Socket(within(tokio_tungstenite::connect_async(request)).await.unwrap().0)
    };
    let ready = json!({"type": "ready", "free": 1, "kinds": ["resize"]});
    let mut socket = connect("web-1").await;
    say(&mut socket, ready.clone()).await;
    assert_eq!(socket.next().await["code"], "forbidden");
    let mut socket = connect("web-2").await;
    let mut holding = ready.clone();
    holding["held"] = json!([lease]);
    say(&mut socket, holding).await;
    assert_eq!(socket.next().await["code"], "forbidden");
    say(&mut socket, ready).await;
    assert_eq!(socket.next().await["type"], "hello");
    say(&mut socket, json!({"type": "update", "id": 7, "settle": [end]})).await;
    let refused = socket.next().await;
    assert_eq!((&refused["id"], &refused["code"]), (&json!(7), &json!("forbidden")), "{refused}");

    let kept = send(&owner, "POST", "leases", json!({"extend": [lease]})).await.json();
    assert_eq!(kept["extend"][0]["status"], "kept");
    let mut live = engine.live();
    let returned = send(&free, "DELETE", "workers/web-1", Value::Null).await.json();
    assert_eq!(returned, json!({"returned": 1}), "it has no restrictions");
    let left = within(async {
        loop {
            let batch = live.recv().await.unwrap();
            let left =
                batch.events.iter().find(|event| event.event_type().as_str() == "worker.left");
            if let Some(event) = left {
                return event.by.clone();
            }
        }
    });
    assert_eq!(left.await, Some(Actor::Token(TokenName::parse("free").unwrap())));
    // Nobody is connected with this name any more.
    assert_eq!(send(&other, "POST", "workers/web-1/claim", claim).await.status, 200);
}

#[tokio::test]
async fn the_lease_of_a_worker_alone_is_no_credential() {
    let shop = Shop::open().await;
    let engine = &shop.server.engine;
    shop.add(1).await;
    let lease = shop.lease().await;
    let report = async |authorization: &str, body: Value| {
        let mut headers = vec![("content-type", "application/json")];
        if !authorization.is_empty() {
            headers.push(("authorization", authorization));
        }
        let path = format!("/api/v1/leases/{lease}");
        shop.server.send("POST", &path, &headers, &body.to_string()).await
    };
    let extend = json!({"extend": true});
    assert_eq!(report("", extend.clone()).await.status, 200, "the server requires no credentials");
    add_user(engine, "root", Role::Admin).await;
    let (id, worker) = add_token(engine, "worker", Role::Worker, |_| {}).await;
    let (_, viewer) = add_token(engine, "viewer", Role::Viewer, |_| {}).await;
    report("", extend.clone()).await.is_problem(401, "unauthorized");
    report(&bearer(&viewer), extend.clone()).await.is_problem(403, "forbidden");
    let settle = json!({"settle": {"outcome": "done"}});
    assert_eq!(report(&bearer(&worker), extend).await.json(), json!({"extend": "kept"}));
    let settled = report(&bearer(&worker), settle.clone()).await.json();
    assert_eq!(settled["settle"]["state"], "completed", "{settled}");
    engine.access(AccessCommand::RevokeToken(id)).await.unwrap();
    report(&bearer(&worker), settle.clone()).await.is_problem(401, "unauthorized");
    report("", settle).await.is_problem(401, "unauthorized");
}
