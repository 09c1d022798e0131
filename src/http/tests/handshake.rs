//! The opening handshake of a WebSocket (RFC 6455 §4.2): which requests are accepted, and the answer to all others.

use super::raw::Raw;
use super::support::Server;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The headers of a valid handshake, with some replaced by any number of lines.
fn head(changed: &[(&str, &[&str])]) -> String {
    let usual = [
        ("host", "localhost"),
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    let mut head = "GET /api/v1/ws HTTP/1.1\r\n".to_owned();
    for (name, value) in usual {
        if changed.iter().all(|(other, _)| *other != name) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    for (name, values) in changed {
        for value in *values {
            head += &format!("{name}: {value}\r\n");
        }
    }
    head + "\r\n"
}

#[tokio::test]
async fn only_a_valid_handshake_opens_a_websocket() {
    let server = Server::start().await;
    let (no, ours) = ("not_a_websocket", "cortado.v1+json");
    let cases: &[(&str, &[&str], u16, &str)] = &[
        ("sec-websocket-key", &[KEY], 101, ""),
        ("sec-websocket-key", &["AAAAAAAAAAAAAAAAAAAAAA=="], 101, ""),
        ("sec-websocket-key", &[], 400, no),
        ("sec-websocket-key", &[""], 400, no),
        ("sec-websocket-key", &[KEY, KEY], 400, no),
        ("sec-websocket-key", &["not base64!"], 400, no),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ"], 400, no),
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==, x"], 400, no),
        ("sec-websocket-key", &["SGVsbG8sIHdvcmxkIQ=="], 400, no), // 13 bytes
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZSE="], 400, no), // 17 bytes
        ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ=="], 400, no),
        ("sec-websocket-version", &[], 400, no),
        ("sec-websocket-version", &["13", "13"], 400, no),
        ("sec-websocket-version", &["8"], 426, no),
        ("sec-websocket-version", &["0"], 426, no),
        ("sec-websocket-version", &["14"], 426, no),
        ("sec-websocket-version", &["013"], 426, no),
        ("sec-websocket-version", &["8, 13"], 426, no),
        ("sec-websocket-version", &[""], 426, no),
        ("sec-websocket-protocol", &[], 101, ""),
        ("sec-websocket-protocol", &[ours], 101, ours),
        ("sec-websocket-protocol", &["other, cortado.v1+json"], 101, ours),
        ("sec-websocket-protocol", &["other ,cortado.v1+json,,"], 101, ours),
        ("sec-websocket-protocol", &["other", ours], 101, ours),
        ("sec-websocket-protocol", &["Cortado.v1+json"], 400, "unknown_subprotocol"),
        ("sec-websocket-protocol", &["CORTADO.V1+JSON"], 400, "unknown_subprotocol"),
        ("sec-websocket-protocol", &["cortado.v1"], 400, "unknown_subprotocol"),
        ("sec-websocket-protocol", &["other"], 400, "unknown_subprotocol"),
        ("connection", &["upgrade"], 101, ""),
        ("connection", &["keep-alive, UPGRADE"], 101, ""),
        ("connection", &["keep-alive", "Upgrade"], 101, ""),
        ("connection", &["close"], 400, no),
        ("connection", &["upgraded"], 400, no),
        ("upgrade", &["WebSocket"], 101, ""),
        ("upgrade", &["h2c, websocket"], 101, ""),
        ("upgrade", &["websockets"], 400, no),
        ("upgrade", &["h2c"], 400, no),
        ("upgrade", &[], 400, no),
        ("content-length", &["3"], 400, no),
        ("transfer-encoding", &["chunked"], 400, no),
        ("content-length", &["0"], 101, ""),
    ];
    for (name, values, status, code) in cases.iter().copied() {
        let mut raw = Raw::connect(server.address).await;
        raw.send(head(&[(name, values)]).as_bytes()).await;
        let what = format!("{name}: {values:?}");
        if status == 101 {
            let response = raw.head().await;
            assert_eq!(response.status, 101, "{what}: {response:?}");
            let accept = response.header("sec-websocket-accept");
            if name != "sec-websocket-key" {
                assert_eq!(accept, Some("s3pplmbitxaq9kygzzhzrbk+xoo="), "{what}");
            }
            let chosen = response.header("sec-websocket-protocol").unwrap_or_default();
            assert_eq!(chosen, code, "{what}");
        } else {
            let response = raw.response().await;
            assert_eq!((response.status, response.code().as_str()), (status, code), "{what}");
            response.is_problem(status, code);
            let version = response.header("sec-websocket-version");
            assert_eq!(version, (status == 426).then_some("13"), "{what}");
        }
    }
}
