//! The router of the API inside a server that is not ours: `axum::serve`.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::net::TcpListener;

use super::raw::{Raw, Received, close, frame};
use super::support::{Server, within};
use crate::http::{HttpLimits, router};

#[tokio::test]
async fn the_router_works_in_a_server_of_its_own() {
    let server = Server::start().await;
    for knows_addresses in ["with the addresses of clients", "without them"] {
        let routes = router(server.engine.clone(), HttpLimits::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            if knows_addresses.starts_with("with ") {
                let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
                axum::serve(listener, routes).await
            } else {
                axum::serve(listener, routes).await
            }
        });
        let head = server.engine.head();
        let mut raw = Raw::websocket(address).await;
        let job = server.job("").await;
        let events: Value = serde_json::from_str(&raw.text().await).unwrap();
        assert_eq!(events["events"][0]["job"]["id"], job["id"], "{knows_addresses}: {events}");
        raw.send(&frame(0x81, br#"{"type":"ping"}"#)).await;
        assert_eq!(raw.text().await, r#"{"type":"pong"}"#, "{knows_addresses}");
        raw.send(&close(1000)).await;
        assert_eq!(raw.receive().await, Received::Close(Some(1000)), "{knows_addresses}");
        assert_eq!(raw.receive().await, Received::End, "{knows_addresses}");
        // Frames that arrive together with the handshake are not lost.
        let mut raw = Raw::connect(address).await;
        let ping = frame(0x89, b"early");
        let head_and_ping = [
            b"GET /api/v1/ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
              upgrade: websocket\r\nsec-websocket-version: 13\r\n\
              sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            ping.as_slice(),
        ]
        .concat();
        raw.send(&head_and_ping).await;
        assert_eq!(raw.response().await.status, 101);
        assert!(raw.text().await.contains("hello"));
        assert_eq!(raw.receive().await, Received::Pong(b"early".into()), "{knows_addresses}");
        // The other transports and endpoints that ask for the address of the client.
        let client = crate::cli::http_client().unwrap();
        let url = |path: &str| format!("http://{address}{path}");
        let answer =
            within(client.get(url(&format!("/api/v1/events?after={head}&wait=20s"))).send());
        let answer: Value = answer.await.unwrap().json().await.unwrap();
        assert_eq!(answer["events"][0]["job"]["id"], job["id"], "{knows_addresses}");
        let id = job["id"].as_str().unwrap();
        let log = within(client.get(url(&format!("/api/v1/jobs/{id}/log"))).send()).await.unwrap();
        assert_eq!(log.status(), 200, "{knows_addresses}");
        serving.abort();
    }
}
