//! What is open ends within a second once its credentials are revoked, expire or change, on every transport.

use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::access::AccessCommand;
use crate::engine::{Engine, Transport};
use crate::http::access::access_watch::ENDED;
use crate::http::tests::support::{Answer, Growing, Server, Socket, within};
use crate::http::tests::team::{PASSWORD, add_token, add_user, basic, bearer, user};
use crate::job::{Role, TokenId};

/// Everything that stays open, with one credential.
struct Open {
    socket: Socket,
    events: Growing,
    log: Growing,
    poll: tokio::task::JoinHandle<Answer>,
    wait: tokio::task::JoinHandle<Answer>,
}

impl Open {
    async fn with(server: &Server, job: &str, authorization: &str) -> Open {
        let mut request = format!("ws://{}/api/v1/ws?type=job.deleted", server.address)
            .into_client_request()
            .unwrap();
        let mut headers = vec![];
        if !authorization.is_empty() {
            request.headers_mut().insert("authorization", authorization.parse().unwrap());
            headers.push(("authorization", authorization));
        }
        let mut socket = Socket(within(tokio_tungstenite::connect_async(request)).await.unwrap().0);
        socket.next_of("hello").await;
        let stream = [&headers[..], &[("accept", "text/event-stream")]].concat();
        let mut events = server.open("/api/v1/events?type=job.deleted", &stream).await;
        events.sent_of("hello").await;
        let objects = [&headers[..], &[("accept", "application/x-ndjson")]].concat();
        let log = server.open(&format!("/api/v1/jobs/{job}/log?follow"), &objects).await;
        let ask = |path: String| {
            let (url, authorization) = (server.url(&path), authorization.to_owned());
            tokio::spawn(async move {
                let mut request = crate::cli::http_client().unwrap().get(url);
                if !authorization.is_empty() {
                    request = request.header("authorization", authorization);
                }
                let answer = request.send().await.unwrap();
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                Answer { status, headers, body: answer.text().await.unwrap() }
            })
        };
        let poll = ask("/api/v1/events?type=job.deleted&wait=20s".to_owned());
        let wait = ask(format!("/api/v1/jobs/{job}?wait=20s"));
        let counts = server.engine.subscriber_counts();
        within(async {
            while counts.of(Transport::Poll) == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        Open { socket, events, log, poll, wait }
    }

    /// Waits until everything has ended, and checks that each says why.
    async fn has_ended(mut self, why: &str) {
        let (bye, code, reason) = self.socket.close_frame().await;
        assert_eq!((code, reason.as_str()), (CloseCode::Policy, ENDED), "{why}");
        assert_eq!(bye.unwrap()["why"], ENDED, "{why}");
        assert_eq!(self.events.sent_of("bye").await.data["why"], ENDED, "{why}");
        assert_eq!(self.events.sent().await, None, "{why}");
        let mut last = String::new();
        while let Some(line) = self.log.line().await {
            if !line.is_empty() {
                last = line;
            }
        }
        assert_eq!(last, r#"{"end":"unauthorized"}"#, "{why}");
        within(self.poll).await.unwrap().is_problem(401, "unauthorized");
        // A wait that has begun only now has the new role.
        if why != "Promoted" {
            within(self.wait).await.unwrap().is_problem(401, "unauthorized");
        }
    }
}

/// What ends credentials.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cause {
    Revoked,
    Expired,
    Disabled,
    Deleted,
    Promoted,
    Password,
}

async fn command(engine: &Engine, cause: Cause, token: &TokenId) -> Option<AccessCommand> {
    let name = user("anna");
    match cause {
        Cause::Revoked => Some(AccessCommand::RevokeToken(token.clone())),
        Cause::Expired => None,
        Cause::Disabled => Some(AccessCommand::DisableUser(name)),
        Cause::Deleted => Some(AccessCommand::DeleteUser(name)),
        Cause::Promoted => Some(AccessCommand::SetRole { name, role: Role::Operator }),
        Cause::Password => {
            let password = engine.hash_password("another password".into()).await.unwrap();
            Some(AccessCommand::SetPassword { name, password, replaces: None })
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_that_is_open_ends_with_its_credentials() {
    let server = Server::start().await;
    add_user(&server.engine, "root", Role::Admin).await;
    let held = server.engine.enqueue(vec![held_job()]).await.unwrap()[0].job().id.to_string();
    for (n, cause) in [
        Cause::Revoked,
        Cause::Expired,
        Cause::Disabled,
        Cause::Promoted,
        Cause::Password,
        Cause::Deleted,
    ]
    .into_iter()
    .enumerate()
    {
        let expires = (cause == Cause::Expired)
            .then(|| server.engine.now().after(Duration::from_millis(1_500)));
        let edit = |new: &mut crate::access::NewToken| new.expires_at = expires;
        let (token, text) =
            add_token(&server.engine, &format!("token-{n}"), Role::Viewer, edit).await;
        let authorization = match cause {
            Cause::Revoked | Cause::Expired => bearer(&text),
            Cause::Disabled | Cause::Deleted | Cause::Promoted | Cause::Password => {
                add_user(&server.engine, "anna", Role::Viewer).await;
                basic("anna", PASSWORD)
            }
        };
        let open = Open::with(&server, &held, &authorization).await;
        if let Some(command) = command(&server.engine, cause, &token).await {
            server.engine.access(command).await.unwrap();
        }
        open.has_ended(&format!("{cause:?}")).await;
        // The next request is refused, or has another role.
        if cause != Cause::Promoted {
            let headers = [("authorization", authorization.as_str())];
            let answer = server.send("GET", "/api/v1/stats", &headers, "").await;
            answer.is_problem(401, "unauthorized");
        }
        let _gone = server.engine.access(AccessCommand::DeleteUser(user("anna"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_opened_ends_when_credentials_become_necessary() {
    let server = Server::start().await;
    let held = server.engine.enqueue(vec![held_job()]).await.unwrap()[0].job().id.to_string();
    let open = Open::with(&server, &held, "").await;
    let before = Instant::now();
    add_user(&server.engine, "root", Role::Admin).await;
    open.has_ended("the first user").await;
    // Far from the second that is promised, on a busy machine; without a check it would be the 20 s of the waits.
    assert!(before.elapsed() < Duration::from_secs(15));
}

fn held_job() -> crate::job::NewJob {
    let kinds = crate::engine::Kinds::default();
    crate::engine::Submission::parse(r#"{"kind":"hold","queue":"held"}"#, &kinds).unwrap()
}
