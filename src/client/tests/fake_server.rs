//! A server on a loopback port whose answers a test gives one by one.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::client::Client;

/// The bound of every wait.
const BOUND: Duration = Duration::from_secs(20);

pub async fn within<F: Future>(what: &str, fact: F) -> F::Output {
    let fact = tokio::time::timeout(BOUND, fact).await;
    fact.unwrap_or_else(|_| panic!("{what}: not within {BOUND:?}"))
}

pub struct FakeServer {
    listener: TcpListener,
    /// Requests that have arrived before the test asked for them.
    waiting: VecDeque<FakeRequest>,
}

/// A request, of which each has a connection of its own.
pub struct FakeRequest {
    pub method: String,
    pub path: String,
    head: String,
    pub body: Value,
    stream: TcpStream,
}

impl FakeServer {
    pub async fn start() -> FakeServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        FakeServer { listener, waiting: VecDeque::new() }
    }

    pub fn client(&self) -> Client {
        Client::new(format!("http://{}", self.listener.local_addr().unwrap())).unwrap()
    }

    /// The next request.
    pub async fn request(&mut self) -> FakeRequest {
        match self.waiting.pop_front() {
            Some(request) => request,
            None => self.arrival().await,
        }
    }

    /// The next request whose path ends like this; others are kept.
    pub async fn request_to(&mut self, end: &str) -> FakeRequest {
        if let Some(n) = self.waiting.iter().position(|request| request.path.ends_with(end)) {
            return self.waiting.remove(n).unwrap();
        }
        loop {
            let request = self.arrival().await;
            if request.path.ends_with(end) {
                return request;
            }
            self.waiting.push_back(request);
        }
    }

    async fn arrival(&self) -> FakeRequest {
        within("a request", async {
            loop {
                let (stream, _) = self.listener.accept().await.unwrap();
                // A client may give a connection up before it has sent anything.
                if let Some(request) = FakeRequest::read(stream).await {
                    return request;
                }
            }
        })
        .await
    }

    /// The next connection of a worker, up to its first message.
    pub async fn worker(&mut self) -> (FakeSocket, Value) {
        let mut socket = self.request().await.upgrade().await;
        let ready = socket.receive().await;
        assert_eq!(ready["type"], "ready");
        (socket, ready)
    }

    /// The next connection of a worker, which is greeted.
    pub async fn greeted_worker(&mut self) -> FakeSocket {
        let (mut socket, _) = self.worker().await;
        socket.send(hello()).await;
        socket
    }
}

/// A greeting whose heartbeat no test reaches.
pub fn hello() -> Value {
    json!({"type": "hello", "heartbeat_ms": 20_000, "lease_ms": 60_000, "held": []})
}

impl FakeRequest {
    async fn read(mut stream: TcpStream) -> Option<FakeRequest> {
        let mut bytes = Vec::new();
        let head = loop {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
            }
        };
        let mut words = head.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut request = FakeRequest { method, path, head, body: Value::Null, stream };
        let length = request.header("content-length").map_or(0, |value| value.parse().unwrap());
        while bytes.len() < length {
            assert!(request.stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        if length > 0 {
            request.body = serde_json::from_slice(&bytes).unwrap();
        }
        Some(request)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub async fn answer(self, status: u16, body: Value) {
        self.answer_with(&format!("{status} Status\r\ncontent-type: application/json"), body).await;
    }

    /// Answers with a status line and headers.
    pub async fn answer_with(mut self, head: &str, body: Value) {
        let body = body.to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
    }

    /// Begins an answer without an end.
    pub async fn stream(mut self, beginning: &str) -> TcpStream {
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{beginning}"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        self.stream
    }

    pub async fn upgrade(mut self) -> FakeSocket {
        let key = derive_accept_key(self.header("sec-websocket-key").unwrap().as_bytes());
        let protocol = self.header("sec-websocket-protocol").unwrap();
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-accept: {key}\r\nsec-websocket-protocol: {protocol}\r\n\r\n"
        );
        self.stream.write_all(answer.as_bytes()).await.unwrap();
        FakeSocket(WebSocketStream::from_raw_socket(self.stream, Role::Server, None).await)
    }
}

/// The server's side of a WebSocket.
pub struct FakeSocket(WebSocketStream<TcpStream>);

impl FakeSocket {
    pub async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, or null when the client has closed the connection.
    pub async fn receive(&mut self) -> Value {
        within("a message", async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Value::Null,
                    Some(Ok(_)) => {}
                }
            }
        })
        .await
    }

    /// Receives an update and confirms everything in it.
    pub async fn confirm_update(&mut self) -> Value {
        let update = self.receive().await;
        self.send(confirmation(&update)).await;
        update
    }

    pub async fn jobs(&mut self, leases: &[Value]) {
        self.send(json!({"type": "jobs", "leases": leases})).await;
    }

    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "test".into() };
        self.0.close(Some(frame)).await.unwrap();
    }
}

/// The answer to an update that confirms everything in it.
pub fn confirmation(update: &Value) -> Value {
    let answers = |list: &str, status: &str| -> Vec<Value> {
        let entries = update[list].as_array().into_iter().flatten();
        let lease = |entry: &Value| entry.get("lease").unwrap_or(entry).clone();
        entries.map(|entry| json!({"lease": lease(entry), "status": status})).collect()
    };
    json!({"type": "updated", "id": update["id"], "extend": answers("extend", "kept"),
           "note": answers("note", "noted"), "settle": answers("settle", "settled")})
}

/// A job with its lease.
pub fn lease(lease: &str, kind: &str, payload: Value) -> Value {
    json!({"lease": lease, "expires_in_ms": 60_000, "job": {
        "id": format!("job of {lease}"), "kind": kind, "queue": "default", "payload": payload, "attempt": 1,
        "max_attempts": 25, "timeout_ms": null, "priority": 0, "tags": [],
        "enqueued_at": "2026-11-23T08:00:00.000Z"}})
}
