//! Credentials that were valid once. Programs and browsers go on sending them, which is no guess at another one.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{Extensions, Method, Request};
use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::links::{Sharing, held};
use crate::access::{AccessCommand, NewToken, Scope};
use crate::http::access::access_watch::AccessWatch;
use crate::http::access::messages::{SocketMessage, WorkerMessageName};
use crate::http::access::principal::Credential;
use crate::http::access::sessions::{BrowserVisit, LogInError};
use crate::http::access::{Authenticator, Principal};
use crate::http::layers::auth::Hosts;
use crate::http::layers::login_limiter::LoginFailure;
use crate::http::tests::support::{Answer, Server, refused, within};
use crate::http::tests::team::{PASSWORD, add_token, add_user, basic, bearer, user};
use crate::http::{Access, Anonymous, HttpLimits};
use crate::job::{Actor, LinkId, Role, TokenName};

/// More than may be wrong in a minute.
const OFTEN: usize = 12;

/// The texts of a token that was revoked and of one that has expired.
async fn ended_tokens(server: &Server) -> [String; 2] {
    let engine = &server.engine;
    let (id, revoked) = add_token(engine, "revoked", Role::Admin, |_| {}).await;
    engine.access(AccessCommand::RevokeToken(id)).await.unwrap();
    let now = engine.now();
    let (_, expired) =
        add_token(engine, "expired", Role::Admin, |new| new.expires_at = Some(now)).await;
    [revoked, expired]
}

async fn with(server: &Server, authorization: &str, method: &str, path: &str) -> Answer {
    let headers = [("authorization", authorization), ("content-type", "application/json")];
    let body = if method == "POST" { r#"{"kinds":["resize"]}"# } else { "" };
    server.send(method, path, &headers, body).await
}

async fn rejected(server: &Server, authorization: &str) -> Option<u64> {
    let metrics = with(server, authorization, "GET", "/metrics").await;
    assert_eq!(metrics.status, 200, "{metrics:?}");
    let line = metrics
        .body
        .lines()
        .find(|line| line.starts_with("cortado_logins_rejected_total") && line.contains("token"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

fn authenticator(server: &Server) -> Authenticator {
    let access = Access {
        token: None,
        anonymous: Anonymous::Refused,
        hosts: Hosts::Any,
        trusted_origins: Vec::new(),
        external: Default::default(),
    };
    Authenticator::new(server.engine.clone(), &HttpLimits::default(), &access).unwrap()
}

fn visit() -> BrowserVisit {
    BrowserVisit::of(&Request::get("/").body(()).unwrap().into_parts().0)
}

#[tokio::test]
async fn a_token_that_has_ended_slows_down_nobody_at_its_address() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    let (_, good) = add_token(&server.engine, "good", Role::Admin, |_| {}).await;
    let good = bearer(&good);
    let mut tries = 0;
    for ended in ended_tokens(&server).await {
        let forms = [bearer(&ended), basic("anybody", &ended)];
        for authorization in forms.iter().cycle().take(OFTEN) {
            for (method, path) in [
                ("GET", "/api/v1/jobs"),
                ("GET", "/api/v1/events"),
                ("GET", "/api/v1/events?wait=1s"),
                ("POST", "/api/v1/workers/w/claim"),
                ("POST", "/api/v1/leases"),
                ("DELETE", "/api/v1/workers/w"),
            ] {
                let answer = with(&server, authorization, method, path).await;
                answer.is_problem(401, "unauthorized");
                tries += 1;
            }
            let stream =
                [("authorization", authorization.as_str()), ("accept", "text/event-stream")];
            let stream = server.open("/api/v1/events", &stream).await;
            assert_eq!(stream.response.status(), 401);
            for path in ["/api/v1/ws", "/api/v1/workers/w/ws"] {
                let url = format!("ws://{}{path}", server.address);
                let mut request = url.into_client_request().unwrap();
                request.headers_mut().insert("authorization", authorization.parse().unwrap());
                assert_eq!(refused(request).await.0, 401, "{path}");
            }
            tries += 3;
        }
    }
    assert_eq!(with(&server, &good, "GET", "/api/v1/jobs").await.status, 200);
    assert_eq!(rejected(&server, &good).await, Some(tries), "each of them is counted");
    // A token that nobody has had may be a guess.
    let guess = bearer(&format!("cortado_{}", "g".repeat(43)));
    for _ in 0..10 {
        with(&server, &guess, "GET", "/api/v1/jobs").await.is_problem(401, "unauthorized");
    }
    let slowed = with(&server, &good, "GET", "/api/v1/jobs").await;
    slowed.is_problem(429, "too_many_failed_logins");
}

#[tokio::test]
async fn a_login_with_a_token_that_has_ended_slows_down_nobody_at_its_address() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    let (auth, visit) = (authenticator(&server), visit());
    for ended in ended_tokens(&server).await {
        for _ in 0..OFTEN {
            let failed = auth.log_in(&visit, "", ended.as_str().into()).await.unwrap_err();
            assert_eq!(failed, LogInError::Failed(LoginFailure::Wrong));
        }
    }
    assert_eq!(auth.limiter.rejected_tokens(), 2 * OFTEN as u64);
    assert!(auth.log_in(&visit, "root", PASSWORD.into()).await.is_ok());
}

#[tokio::test]
async fn ended_sessions_and_share_links_slow_down_nobody_at_their_address() {
    let it = Sharing::start().await;
    let auth = authenticator(&it.server);
    let opened = auth.log_in(&visit(), "root", PASSWORD.into()).await.unwrap();
    let session = opened.split(';').next().unwrap();
    let cookie = [("cookie", session)];
    assert_eq!(it.server.send("GET", "/api/v1/jobs", &cookie, "").await.status, 200);
    it.server.engine.access(AccessCommand::CloseSessionsOf(user("root"))).await.unwrap();
    it.submit(held("mail")).await;
    let link = it.share_queue("mail").await;
    let revoke = AccessCommand::RevokeLink(LinkId::parse(&link.id).unwrap());
    it.server.engine.access(revoke).await.unwrap();
    for _ in 0..OFTEN {
        let events = format!("{}/events", link.path);
        it.server.get(&events).await.is_problem(404, "no_such_link");
        let answer = it.server.send("GET", "/api/v1/jobs", &cookie, "").await;
        answer.is_problem(401, "unauthorized");
    }
    let answer = it.send(&it.operator, "GET", "/api/v1/jobs", &Value::Null).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_message_whose_credentials_have_ended_is_refused_at_once() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    let now = server.engine.now();
    let mut watches = Vec::new();
    for (name, expires_at) in [("ended", now), ("good", now.after(Duration::from_secs(600)))] {
        let edit = |new: &mut NewToken| new.expires_at = Some(expires_at);
        let (id, _) = add_token(&server.engine, name, Role::Admin, edit).await;
        let mut extensions = Extensions::new();
        extensions.insert(Arc::new(authenticator(&server)));
        let actor = Actor::Token(TokenName::parse(name).unwrap());
        let scope = Scope::of(Role::Admin);
        extensions.insert(Principal { actor, scope, credential: Credential::Token(id) });
        watches.push(AccessWatch::of(&Method::GET, &extensions));
    }
    let good = watches.pop().unwrap();
    assert!(good.check_worker_message(WorkerMessageName::Update).is_ok());
    assert!(good.check_message(SocketMessage::SubscribeEvents).is_ok());
    let mut ended = watches.pop().unwrap();
    let refused = ended.check_worker_message(WorkerMessageName::Update).unwrap_err();
    assert_eq!(refused.code(), "unauthorized");
    let refused = ended.check_message(SocketMessage::SubscribeEvents).unwrap_err();
    assert_eq!(refused.code(), "unauthorized");
    within(ended.revoked()).await;
}
