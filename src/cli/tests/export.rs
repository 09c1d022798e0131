//! The client that prints an export recognises one that was cut off or changed.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::cli::export;

/// Answers one request with these bytes and closes the connection.
async fn answering(answer: Vec<u8>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answering = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(&answer).await.unwrap();
    });
    (address, answering)
}

/// The result and the output of `cortado export` for a response.
async fn exported(answer: Vec<u8>) -> (Result<(), CliError>, Vec<u8>) {
    let (address, answering) = answering(answer).await;
    let CliCommand::Export(args) = command(&["export", "--server", &format!("http://{address}")])
    else {
        panic!("export was expected");
    };
    let mut out = Vec::new();
    let ended = within(export::run(args, pending(), &mut out)).await;
    answering.await.unwrap();
    (ended, out)
}

/// A response whose body ends with the connection, as from a proxy that hides where it was cut.
fn until_closed(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", body].concat()
}

/// A chunked response without its last chunk.
fn chunked(body: &[u8]) -> Vec<u8> {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    [&head[..], format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_breaks_off_or_was_changed_is_an_error() {
    let server = Server::start().await;
    let url = server.url("");
    for _ in 0..3 {
        submitted(&["submit", "--server", &url, "echo"]).await.0.unwrap();
    }
    let CliCommand::Export(args) = command(&["export", "--server", &url]) else { panic!() };
    let mut whole = Vec::new();
    within(export::run(args, pending(), &mut whole)).await.unwrap();
    assert_eq!(exported(until_closed(&whole)).await, (Ok(()), whole.clone()));

    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let cuts = [0, 1, lines[0].len(), whole.len() / 2, whole.len() - lines[lines.len() - 1].len()];
    for length in cuts.into_iter().chain([whole.len() - 1]) {
        let (ended, _) = exported(until_closed(&whole[..length])).await;
        let why = ended.expect_err("an export that broke off");
        assert!(why.contains("the export cannot be used"), "{length}: {why}");
    }
    // Every byte arrived, but not the end of the response.
    assert!(exported(chunked(&whole)).await.0.is_err());
    let mut flipped = whole.clone();
    flipped[lines[0].len() + 30] ^= 4;
    let why = exported(until_closed(&flipped)).await.0.unwrap_err();
    assert!(why.contains("line 2: it was changed"), "{why}");
    let newer = String::from_utf8(whole).unwrap();
    let newer = newer.replacen("\"cortado_export\":4", "\"cortado_export\":5", 1);
    let why = exported(until_closed(newer.as_bytes())).await.0.unwrap_err();
    assert!(why.contains("newer version of Cortado"), "{why}");
    let old = include_bytes!("../../../tests/fixtures/store-v1.jsonl");
    assert_eq!(exported(until_closed(old)).await.0, Ok(()), "an older server, with a warning");
}
