//! Who may be a worker.

use serde_json::json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::{Shop, say};
use crate::access::AccessCommand;
use crate::http::tests::support::{Socket, refused, within};
use crate::http::tests::team::{add_token, add_user, bearer, restrict};
use crate::job::Role;

fn request(shop: &Shop, token: &str) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    let url = format!("ws://{}/api/v1/workers/w/ws", shop.server.address);
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
