//! Routes of a program on the port of its server: beside those of Cortado, with and without a login, and at the stop.

use std::convert::Infallible;
use std::sync::Arc;

use cortado::axum::body::{Body, Bytes};
use cortado::axum::extract::State;
use cortado::axum::http::{Request, StatusCode, header};
use cortado::axum::response::{IntoResponse, Response};
use cortado::axum::routing::{get, post};
use cortado::axum::{Json, Router};
use cortado::{Builder, Cortado, Role, Server, ServerErrorKind};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support;

const TOKEN: &str = "0123456789abcdef-token";

fn builder() -> Builder {
    Cortado::builder().in_memory().listen(([127, 0, 0, 1], 0))
}

fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

fn client() -> reqwest::Client {
    cortado::internal::cli::http_client().unwrap()
}

/// Waits for what must happen soon.
async fn soon<F: Future>(fact: F) -> F::Output {
    support::within("the server does what it must", fact).await
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

#[tokio::test]
async fn routes_of_a_program_are_beside_those_of_the_server_and_need_no_login() {
    let own = Router::new()
        .route("/shop/name", get(|State(name): State<String>| async move { name }))
        .route("/shop/order", post(|Json(order): Json<Value>| async move { Json(order) }))
        .route("/shop/panic", get(panics))
        .with_state("The corner shop".to_owned());
    let server = builder().auth_token(TOKEN).set("base_path", "/jobs-of-shop").routes(own);
    let server = server.start().await.unwrap();
    let http = client();
    for path in ["/shop/name", "/jobs-of-shop/shop/name"] {
        let answer = http.get(url(&server, path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        assert!(answer.headers().contains_key("x-request-id"), "{:?}", answer.headers());
        assert!(answer.headers().contains_key(header::DATE));
        assert!(!answer.headers().contains_key("content-security-policy"), "their pages differ");
        assert_eq!(answer.text().await.unwrap(), "The corner shop");
    }
    let order = json!({"coffee": 2});
    let answer = http.post(url(&server, "/shop/order")).json(&order).send().await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), order);
    let large = http.post(url(&server, "/shop/order")).body(vec![b' '; 3 << 20]);
    let large = large.header(header::CONTENT_TYPE, "application/json").send().await.unwrap();
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let failed = http.get(url(&server, "/shop/panic")).send().await.unwrap();
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);

    // Everything else is the server's, which needs its token.
    let unknown = http.get(url(&server, "/shop/nothing")).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    for (path, status) in [("/shop/nothing", 401), ("/api/v1/stats", 401), ("/healthz", 200)] {
        let answer = http.get(url(&server, path)).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    assert!(server.stop().await.clean);
}

#[tokio::test]
async fn routes_with_access_need_a_login_with_at_least_their_role() {
    let route = |path, answer: &'static str| {
        Router::new().route(path, get(move || async move { answer }).post(|| async {}))
    };
    let server = builder()
        .auth_token(TOKEN)
        .routes_with_access(Role::Viewer, route("/reports", "for viewers"))
        .routes_with_access(Role::Admin, route("/secrets", "for admins"))
        .start()
        .await
        .unwrap();
    let http = client();
    let viewer = http.post(url(&server, "/api/v1/tokens")).bearer_auth(TOKEN);
    let viewer = viewer.json(&json!({"name": "viewer", "role": "viewer"})).send().await.unwrap();
    let viewer: Value = viewer.json().await.unwrap();
    let viewer = viewer["token"].as_str().unwrap();
    for (path, token, status) in [
        ("/reports", None, 401),
        ("/reports", Some(viewer), 200),
        ("/reports", Some(TOKEN), 200),
        ("/reports", Some("not-the-token-not-the-token"), 401),
        ("/secrets", None, 401),
        ("/secrets", Some(viewer), 403),
        ("/secrets", Some(TOKEN), 200),
    ] {
        let mut request = http.get(url(&server, path));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path} {token:?}");
    }
    // A browser is shown the page of the error, and a page of another site is refused.
    let page = http.get(url(&server, "/reports")).header(header::ACCEPT, "text/html");
    let page = page.send().await.unwrap();
    assert!(page.text().await.unwrap().contains("<html"));
    let foreign = http.post(url(&server, "/reports")).bearer_auth(TOKEN);
    let foreign = foreign.header("sec-fetch-site", "cross-site").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    server.stop().await;

    let open = builder().routes_with_access(Role::Viewer, route("/reports", "for viewers"));
    let open = open.start().await.unwrap();
    let answer = http.get(url(&open, "/reports")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "for viewers", "nobody has to log in here");
    open.stop().await;
}

#[tokio::test]
async fn routes_that_overlap_are_an_error_of_the_start() {
    let route = |path: &str| Router::new().route(path, get(|| async {}));
    for (builder, why) in [
        (builder().routes(route("/jobs")), "the server's own path /jobs"),
        (builder().routes_with_access(Role::Viewer, route("/")), "the server's own path /"),
        (builder().routes(Router::new().fallback(|| async {})), "has a fallback"),
        (builder().routes(route("/a")).routes(route("/a")), "routers of the program overlap"),
    ] {
        let error = builder.start().await.err().expect(why);
        assert_eq!(error.kind(), ServerErrorKind::Configuration);
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_stop_waits_for_a_streamed_body_and_ends_event_streams() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let release = go_on.clone();
    let streamed = move || {
        let (begun, go_on) = (begun.clone(), go_on.clone());
        async move {
            let parts = stream::unfold(0, move |part| {
                let (begun, go_on) = (begun.clone(), go_on.clone());
                async move {
                    match part {
                        0 => Some((Ok::<_, Infallible>(Bytes::from("first ")), 1)),
                        1 => {
                            begun.notify_one();
                            go_on.notified().await;
                            Some((Ok(Bytes::from("last")), 2))
                        }
                        _ => None,
                    }
                }
            });
            Body::from_stream(parts)
        }
    };
    let events = || async {
        let first = stream::iter([Ok::<_, Infallible>("data: 1\n\n")]);
        let body = Body::from_stream(futures_util::StreamExt::chain(first, stream::pending()));
        ([(header::CONTENT_TYPE, "text/event-stream")], body)
    };
    let routes = Router::new().route("/stream", get(streamed)).route("/events", get(events));
    let server = builder().routes(routes).start().await.unwrap();
    let http = client();
    let mut stream = http.get(url(&server, "/stream")).send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "first ");
    let mut events = http.get(url(&server, "/events")).send().await.unwrap();
    assert_eq!(events.chunk().await.unwrap().unwrap(), "data: 1\n\n");

    let mut stopping = tokio::spawn(server.stop());
    assert_eq!(soon(events.chunk()).await.unwrap(), None, "the stop ends it");
    assert!(!stopping.is_finished(), "the other body is on its way");
    release.notify_one();
    assert_eq!(soon(stream.chunk()).await.unwrap().unwrap(), "last");
    let report = soon(&mut stopping).await.unwrap();
    assert!(report.clean && report.open_connections == 0, "{report:?}");
}

/// Answers an upgrade, and sends back every byte.
async fn echo(request: Request<Body>) -> Response {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.unwrap();
        let mut socket = hyper_util::rt::TokioIo::new(upgraded);
        let mut byte = [0];
        while socket.read_exact(&mut byte).await.is_ok() {
            socket.write_all(&byte).await.unwrap();
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

#[tokio::test]
async fn a_route_can_take_over_its_connection_and_does_not_hold_the_stop() {
    let server = builder().routes(Router::new().route("/echo", get(echo))).start().await.unwrap();
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let head =
        "GET /echo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(soon(socket.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&answer));
    socket.write_all(b"x").await.unwrap();
    assert_eq!(soon(socket.read_u8()).await.unwrap(), b'x');
    let report = soon(server.stop()).await;
    assert!(report.clean && report.open_connections == 0, "{report:?}");
    socket.write_all(b"y").await.unwrap();
    assert_eq!(soon(socket.read_u8()).await.unwrap(), b'y', "it belongs to the program");
}
