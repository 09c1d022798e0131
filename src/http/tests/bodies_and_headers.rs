//! Bodies at addresses that take none, bodies in an encoding that is not read, and headers that may be sent only once.

use serde_json::json;

use super::raw::Raw;
use super::support::{Server, Setup, errors};
use crate::http::layers::auth::Hosts;
use crate::http::{Access, Anonymous};

const JOB: &str = r#"{"kind":"echo","delay_ms":3600000}"#;
const JSON: &str = "content-type: application/json\r\n";

/// Sends a request with these header lines, and returns the status and the code of the problem.
async fn send(server: &Server, line: &str, headers: &str, body: &str) -> (u16, String) {
    let mut raw = Raw::connect(server.address).await;
    let request = format!("{line} HTTP/1.1\r\nhost: {}\r\n{headers}\r\n{body}", server.address);
    raw.send(request.as_bytes()).await;
    let response = raw.response().await;
    let document: serde_json::Value = serde_json::from_str(&response.body).unwrap_or_default();
    (response.status, document["code"].as_str().unwrap_or_default().to_owned())
}

fn with_length(body: &str) -> (String, String) {
    (format!("{JSON}content-length: {}\r\n", body.len()), body.to_owned())
}

fn in_chunks(chunks: &str) -> (String, String) {
    (format!("{JSON}transfer-encoding: chunked\r\n"), chunks.to_owned())
}

#[tokio::test]
async fn an_address_without_fields_refuses_a_body_before_anything_changes() {
    let server = Server::start().await;
    let id = server.job("").await["id"].as_str().unwrap().to_owned();
    let schedule = r#"{"cron":"@yearly","kind":"hold"}"#;
    let json = [("content-type", "application/json")];
    server.send("PUT", "/api/v1/schedules/s", &json, schedule).await;
    let run = r#"{"action":"cancel","filter":{"kind":"none"}}"#;
    let run = server.post("/api/v1/bulk", run).await.json()["id"].as_str().unwrap().to_owned();
    let state = async || {
        let mut all = Vec::new();
        for path in ["/api/v1/queues", "/api/v1/jobs", "/api/v1/schedules"] {
            let mut value = server.get(path).await.json();
            value["cursor"].take();
            all.push(value);
        }
        all
    };
    let before = state().await;
    let addresses = [
        "POST /api/v1/queues/q/pause".to_owned(),
        "POST /api/v1/queues/q/resume".to_owned(),
        "POST /api/v1/resume".to_owned(),
        "POST /api/v1/schedules/s/pause".to_owned(),
        "POST /api/v1/schedules/s/resume".to_owned(),
        "POST /api/v1/schedules/s/run".to_owned(),
        format!("POST /api/v1/bulk/{run}/stop"),
        format!("POST /api/v1/jobs/{id}/retry"),
        format!("POST /api/v1/jobs/{id}/cancel"),
        "DELETE /api/v1/schedules/s".to_owned(),
        format!("DELETE /api/v1/jobs/{id}"),
    ];
    for address in &addresses {
        for ((headers, body), status, code) in [
            (in_chunks("xyz\r\n"), 400, "broken_body"),
            (in_chunks("5\r\nabc\r\n0\r\n\r\n"), 400, "broken_body"),
            (in_chunks("2\r\n{}\r\nzz\r\n\r\n"), 400, "broken_body"),
            (in_chunks("f\r\n{\"paused\":false\r\n1\r\n}\r\n0\r\n\r\n"), 422, "invalid_fields"),
            (with_length(r#"{"paused":false}"#), 422, "invalid_fields"),
            (with_length("[]"), 422, "invalid_fields"),
            (with_length("nul"), 400, "malformed_json"),
            (with_length("0"), 422, "invalid_fields"),
            (with_length("\"\""), 422, "invalid_fields"),
            (with_length("nonsense"), 400, "malformed_json"),
            (with_length("paused=false"), 400, "malformed_json"),
            (with_length("{} {}"), 400, "malformed_json"),
        ] {
            let answer = send(&server, address, &headers, &body).await;
            assert_eq!(answer, (status, code.to_owned()), "{address} {body}");
        }
        assert_eq!(state().await, before, "{address}");
    }
    let answer = server.post("/api/v1/queues/q/pause", r#"{"paused":false,"x":1}"#).await;
    assert_eq!(
        errors(&answer.is_problem(422, "invalid_fields")),
        [
            "paused: is not known; this address takes no fields",
            "x: is not known; this address takes no fields"
        ]
    );
    for address in &addresses {
        for (headers, body) in [
            with_length("{}"),
            with_length("null"),
            with_length(" null\n"),
            with_length(" "),
            in_chunks("4\r\nnull\r\n0\r\n\r\n"),
            in_chunks("0\r\n\r\n"),
            in_chunks("2\r\n{}\r\n0\r\n\r\n"),
        ] {
            let (status, code) = send(&server, address, &headers, &body).await;
            assert!(status != 400 && status != 422 && status != 415, "{address} {body}: {code}");
        }
    }
    assert_eq!(server.get("/api/v1/schedules").await.json()["schedules"], json!([]), "deleted");
}

#[tokio::test]
async fn a_body_has_one_type_and_one_encoding_that_is_read() {
    let server = Server::start().await;
    let chunks = format!("{:x}\r\n{JOB}\r\n0\r\n\r\n", JOB.len());
    for codings in ["gzip, chunked", "chunked, chunked", "identity, chunked", "x, chunked"] {
        for address in ["/api/v1/jobs", "/api/v1/queues/q/pause", "/nowhere"] {
            let headers = format!("{JSON}transfer-encoding: {codings}\r\n");
            let answer = send(&server, &format!("POST {address}"), &headers, &chunks).await;
            assert_eq!(answer, (501, "wrong_transfer_encoding".into()), "{address} {codings}");
        }
    }
    let twice = format!("{JSON}transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n");
    let answer = send(&server, "POST /api/v1/jobs", &twice, &chunks).await;
    assert_eq!(answer, (501, "wrong_transfer_encoding".into()));
    let length = format!("content-length: {}\r\n", JOB.len());
    for types in [
        &["application/json", "application/json"][..],
        &["application/json", "text/plain"],
        &["application/json; charset=utf-16"],
        &["application/json;CHARSET=\"iso-8859-1\""],
        &["application/json; x=1; charset=latin1"],
        &["application/json, application/json"],
        &["text/json"],
        &[""],
    ] {
        let lines: String = types.iter().map(|one| format!("content-type: {one}\r\n")).collect();
        let answer = send(&server, "POST /api/v1/jobs", &format!("{lines}{length}"), JOB).await;
        assert_eq!(answer, (415, "wrong_content_type".into()), "{types:?}");
    }
    assert_eq!(server.get("/api/v1/jobs").await.json()["jobs"], json!([]));
    for good in ["application/json; charset=utf-8", "APPLICATION/JSON;charset=\"UTF-8\"", JSON] {
        let good = good.trim().trim_start_matches("content-type: ");
        let headers = format!("content-type: {good}\r\n{length}");
        assert_eq!(send(&server, "POST /api/v1/jobs", &headers, JOB).await.0, 202, "{good}");
    }
}

#[tokio::test]
async fn a_header_that_a_check_depends_on_is_sent_once() {
    let access = Access {
        token: Some("s3cret".into()),
        anonymous: Anonymous::AllowedWithoutUsers,
        hosts: Hosts::Loopback { also: vec![] },
        trusted_origins: vec![],
        external: Default::default(),
    };
    let server = Server::with(Setup { access, ..Setup::default() }).await;
    let own = format!("origin: http://{}\r\n", server.address);
    let evil = "origin: http://evil.test\r\n";
    let token = "authorization: Bearer s3cret\r\n";
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (ours, other) = ("sec-fetch-site: same-origin\r\n", "sec-fetch-site: cross-site\r\n");
    let post = format!("{JSON}content-length: {}\r\n", JOB.len());
    for (line, headers, body, code) in [
        ("GET /api/v1/ws", format!("{upgrade}{token}{own}{evil}"), "", "wrong_origin"),
        ("GET /api/v1/ws", format!("{upgrade}{token}{own}{own}"), "", "wrong_origin"),
        ("GET /api/v1/ws", format!("{upgrade}{token}{evil}"), "", "wrong_origin"),
        ("GET /api/v1/ws", format!("{upgrade}{token}{ours}{other}"), "", "cross_site"),
        ("POST /api/v1/jobs", format!("{token}{post}{own}{evil}"), JOB, "cross_site"),
        ("POST /api/v1/jobs", format!("{token}{post}{own}{own}"), JOB, "cross_site"),
        ("POST /api/v1/jobs", format!("{token}{post}{ours}{other}"), JOB, "cross_site"),
        ("POST /api/v1/jobs", format!("{token}{post}{ours}{ours}"), JOB, "cross_site"),
        ("GET /api/v1/jobs", format!("{token}{own}{evil}{ours}"), "", "cross_site"),
        ("GET /api/v1/jobs", format!("{token}{ours}{other}"), "", "cross_site"),
        (
            "GET /api/v1/jobs",
            format!(
                "{token}{other}sec-fetch-mode: navigate\r\nsec-fetch-mode: cors\r\n\
                 sec-fetch-dest: document\r\n"
            ),
            "",
            "cross_site",
        ),
    ] {
        let answer = send(&server, line, &headers, body).await;
        assert_eq!(answer, (403, code.into()), "{line} {headers}");
    }
    let wrong = "authorization: Bearer wrong\r\n";
    for headers in [format!("{token}{token}"), format!("{token}{wrong}"), format!("{wrong}{token}")]
    {
        let answer = send(&server, "GET /api/v1/jobs", &headers, "").await;
        assert_eq!(answer, (401, "unauthorized".into()), "{headers}");
    }
    assert_eq!(send(&server, "GET /api/v1/jobs", token, "").await.0, 200);
    let (status, _) = send(&server, "GET /api/v1/ws", &format!("{upgrade}{token}{own}"), "").await;
    assert_eq!(status, 101);
}
