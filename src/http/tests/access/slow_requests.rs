//! Requests that take a while: their credentials may end before they change anything.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use futures_util::{FutureExt, poll, stream};
use serde_json::Value;
use tower::ServiceExt;

use crate::access::AccessCommand;
use crate::engine::Engine;
use crate::http::tests::support::{Server, Setup, within};
use crate::http::tests::team::{PASSWORD, add_token, add_user, basic, bearer, user};
use crate::http::{router, wrap};
use crate::job::{Role, TokenId, TokenName};

/// The API of a server, without connections.
fn api(engine: &Engine) -> Router {
    let Setup { limits, access, .. } = Setup::default();
    let routes = router(engine.clone(), limits.clone());
    wrap(routes, engine.clone(), &limits, access, |_, _, response| response).unwrap()
}

fn request(method: &str, path: &str, authorization: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json");
    match authorization {
        "" => request.body(body).unwrap(),
        _ => request.header("authorization", authorization).body(body).unwrap(),
    }
}

async fn answer(api: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = within(api.clone().oneshot(request)).await.unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// What happens to the credentials of a request while its body arrives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Revoked,
    Expired,
    Disabled,
    Deleted,
    Demoted,
    Password,
    FirstUser,
}

async fn happen(cause: Cause, engine: &Engine, token: Option<TokenId>) {
    let name = user("anna");
    let command = match cause {
        Cause::Revoked => AccessCommand::RevokeToken(token.unwrap()),
        Cause::Disabled => AccessCommand::DisableUser(name),
        Cause::Deleted => AccessCommand::DeleteUser(name),
        Cause::Demoted => AccessCommand::SetRole { name, role: Role::Operator },
        Cause::Password => {
            let password = engine.hash_password("another password".into()).await.unwrap();
            AccessCommand::SetPassword { name, password, replaces: None }
        }
        Cause::Expired => {
            let table = engine.access_table().borrow().clone();
            let expires = table.token(&token.unwrap()).unwrap().expires_at.unwrap();
            while engine.now() < expires {
                tokio::task::yield_now().await;
            }
            return;
        }
        Cause::FirstUser => {
            add_user(engine, "root", Role::Admin).await;
            return;
        }
    };
    engine.access(command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_whose_credentials_end_while_its_body_arrives_changes_nothing() {
    for cause in [
        Cause::Revoked,
        Cause::Expired,
        Cause::Disabled,
        Cause::Deleted,
        Cause::Demoted,
        Cause::Password,
        Cause::FirstUser,
    ] {
        let server = Server::start().await;
        let engine = server.engine.clone();
        if cause != Cause::FirstUser {
            add_user(&engine, "root", Role::Admin).await;
        }
        let (authorization, token) = match cause {
            Cause::Revoked | Cause::Expired => {
                let expires = (cause == Cause::Expired)
                    .then(|| engine.now().after(Duration::from_millis(500)));
                let edit = |new: &mut crate::access::NewToken| new.expires_at = expires;
                let (id, text) = add_token(&engine, "thief", Role::Admin, edit).await;
                (bearer(&text), Some(id))
            }
            Cause::Disabled | Cause::Deleted | Cause::Demoted | Cause::Password => {
                add_user(&engine, "anna", Role::Admin).await;
                (basic("anna", PASSWORD), None)
            }
            Cause::FirstUser => (String::new(), None),
        };
        let api = api(&engine);
        // The server asks for the body after it has checked the head.
        let body = {
            let engine = engine.clone();
            let ends = async move { happen(cause, &engine, token).await };
            let text = ends.map(|()| Ok::<_, Infallible>(r#"{"name":"new","role":"admin"}"#));
            Body::from_stream(stream::once(text))
        };
        let slow = request("POST", "/api/v1/tokens", &authorization, body);
        let (status, problem) = answer(&api, slow).await;
        assert_eq!((status.as_u16(), &problem["code"]), (401, &"unauthorized".into()), "{cause:?}");
        let new = TokenName::parse("new").unwrap();
        assert!(engine.access_table().borrow().token_named(&new).is_none(), "{cause:?}");
    }
}

#[tokio::test]
async fn a_slow_body_is_no_obstacle_where_everybody_may_send_one() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    let text = stream::once(async { Ok::<_, Infallible>("{}") });
    let callback = request("POST", "/api/v1/leases/unknown", "", Body::from_stream(text));
    let (status, problem) = answer(&api(&server.engine), callback).await;
    assert_ne!(status, StatusCode::UNAUTHORIZED, "{problem}");
}

#[tokio::test]
async fn a_request_whose_token_is_revoked_while_a_password_waits_to_be_hashed_changes_nothing() {
    let server = Server::start().await;
    let engine = &server.engine;
    add_user(engine, "root", Role::Admin).await;
    add_user(engine, "bert", Role::Viewer).await;
    let api = api(engine);
    for (n, (method, path, body)) in [
        ("POST", "/api/v1/users", r#"{"name":"eve","password":"a long password","role":"admin"}"#),
        ("PUT", "/api/v1/users/bert", r#"{"password":"a long password","role":"admin"}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let (id, text) = add_token(engine, &format!("thief-{n}"), Role::Admin, |_| {}).await;
        let before = engine.access_table().borrow().clone();
        let held = engine.hold_hash_permits().await;
        let asked = request(method, path, &bearer(&text), Body::from(body));
        let mut answer = Box::pin(answer(&api, asked));
        assert!(poll!(&mut answer).is_pending(), "the password waits");
        engine.access(AccessCommand::RevokeToken(id)).await.unwrap();
        drop(held);
        let (status, problem) = answer.await;
        assert_eq!((status.as_u16(), &problem["code"]), (401, &"unauthorized".into()), "{method}");
        let after = engine.access_table().borrow().clone();
        assert!(after.users().eq(before.users()), "{method} {path}");
    }
}

#[tokio::test]
async fn a_password_that_was_right_counts_for_nothing_once_its_user_has_changed() {
    let server = Server::start().await;
    let engine = &server.engine;
    add_user(engine, "root", Role::Admin).await;
    add_user(engine, "anna", Role::Admin).await;
    let password = engine.hash_password("another password".into()).await.unwrap();
    let name = user("anna");
    for (command, expected) in [
        (AccessCommand::SetRole { name: name.clone(), role: Role::Viewer }, (403, "forbidden")),
        (AccessCommand::DisableUser(name.clone()), (401, "unauthorized")),
        (AccessCommand::EnableUser(name.clone()), (401, "unauthorized")),
        (
            AccessCommand::SetPassword { name: name.clone(), password, replaces: None },
            (401, "unauthorized"),
        ),
        (AccessCommand::DeleteUser(name), (401, "unauthorized")),
    ] {
        // Each server remembers which passwords were right.
        let api = api(engine);
        let why = format!("{command:?}");
        let held = engine.hold_hash_permits().await;
        let asked = request("GET", "/api/v1/users", &basic("anna", PASSWORD), Body::empty());
        let mut answer = Box::pin(answer(&api, asked));
        assert!(poll!(&mut answer).is_pending(), "the password waits");
        engine.access(command).await.unwrap();
        drop(held);
        let (status, problem) = answer.await;
        assert_eq!((status.as_u16(), problem["code"].as_str().unwrap()), expected, "{why}");
    }
}
