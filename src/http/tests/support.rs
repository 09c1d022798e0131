//! A server for one test, and helpers for clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::clock::SystemClock;
use crate::engine::{AttemptContext, Engine, EngineConfig, KindInfo, Registry, example};
use crate::http::layers::auth::Hosts;
use crate::http::server::access_log::AccessLog;
use crate::http::server::listener::{BoundAddress, Listener};
use crate::http::server::tls::TlsServer;
use crate::http::{Access, Anonymous, HttpLimits, router, serve, wrap};
use crate::job::{Kind, Outcome, Schema};
use crate::shutdown::{Shutdown, StopBounds, StopReport};
use crate::store::memory::MemoryStore;
use crate::store::{self, Store};

/// The setup of a test server; a test changes what it needs.
pub struct Setup {
    pub limits: HttpLimits,
    pub access: Access,
    pub store: Arc<dyn Store>,
    pub stream_capacity: usize,
    /// The address to listen on; a free port unless a test restarts a server.
    pub address: SocketAddr,
    /// The TLS of that address.
    pub tls: Option<Arc<TlsServer>>,
    /// Additional listeners.
    pub listeners: Vec<Listener>,
    /// Additional routes, below `/test/`.
    pub more: Router,
}

impl Default for Setup {
    fn default() -> Self {
        let hosts = Hosts::Loopback { also: vec![] };
        Setup {
            limits: HttpLimits::default(),
            access: Access {
                token: None,
                anonymous: Anonymous::AllowedWithoutUsers,
                hosts,
                trusted_origins: vec![],
                external: Default::default(),
            },
            store: store_with(store::StoreLimits::default()),
            stream_capacity: 1_024,
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            listeners: Vec::new(),
            more: Router::new(),
        }
    }
}

pub fn store_with(limits: store::StoreLimits) -> Arc<MemoryStore> {
    MemoryStore::new(limits, Arc::new(SystemClock))
}

pub struct Server {
    pub address: SocketAddr,
    pub engine: Engine,
    pub shutdown: Shutdown,
    pub serving: JoinHandle<()>,
    /// Each permit lets one job of the kind `hold` finish.
    pub gate: Arc<Semaphore>,
}

impl Server {
    pub async fn start() -> Server {
        Server::with(Setup::default()).await
    }

    pub async fn with(setup: Setup) -> Server {
        let mut registry = Registry::default();
        let kind = Kind::parse("echo").unwrap();
        let info =
            KindInfo { kind, about: "Gives back.".into(), example: example("1"), schema: None };
        registry.add(info, |_: AttemptContext, value: Value| async move { Ok::<_, String>(value) });
        let kind = Kind::parse("refuse").unwrap();
        let info =
            KindInfo { kind, about: "Discards.".into(), example: example("null"), schema: None };
        registry.add(info, |_: AttemptContext, _: Value| async {
            Outcome::Discard { error: "no such coffee".into() }
        });
        let gate = Arc::new(Semaphore::new(0));
        let held = gate.clone();
        let kind = Kind::parse("hold").unwrap();
        let info =
            KindInfo { kind, about: "Waits.".into(), example: example("null"), schema: None };
        registry.add(info, move |context: AttemptContext, payload: Value| {
            let held = held.clone();
            async move {
                context.log("before");
                held.acquire().await.unwrap().forget();
                context.log("after");
                Ok::<_, String>(payload)
            }
        });
        let kind = Kind::parse("push").unwrap();
        let about = "Waits for a callback, whose lease is its first line.".into();
        let info = KindInfo { kind, about, example: example("null"), schema: None };
        registry.add(info, |context: AttemptContext, _: Value| async move {
            let callback = context.open_callback().unwrap();
            context.log(callback.lease());
            tokio::select! {
                outcome = callback.outcome() => outcome,
                () = context.cancelled() => Outcome::Cancel,
            }
        });
        let kind = Kind::parse("mail").unwrap();
        let schema = r#"{"type":"object","required":["to"],"properties":{"to":{"type":"string"}}}"#;
        let schema = Some(Schema::parse(schema).unwrap());
        let about = "Declares what its payload is.".into();
        let info = KindInfo { kind, about, example: example(r#"{"to":"a"}"#), schema };
        registry.add(info, |_: AttemptContext, value: Value| async move { Ok::<_, String>(value) });
        let shutdown = Shutdown::default();
        let store = setup.store;
        let config =
            EngineConfig { stream_capacity: setup.stream_capacity, ..EngineConfig::default() };
        let engine = Engine::start(store, registry, config, shutdown.clone());
        let app = router(engine.clone(), setup.limits.clone()).merge(setup.more);
        let app = wrap(app, engine.clone(), &setup.limits, setup.access, |_, _, response| response);
        let app = app.unwrap();
        let listener = Listener::tcp(setup.address, setup.tls).unwrap();
        let BoundAddress::Network(_, address) = listener.address() else { panic!("no address") };
        let mut listeners = vec![listener];
        listeners.extend(setup.listeners);
        let (log, stop) = (AccessLog::default(), shutdown.clone());
        let serving = tokio::spawn(serve(listeners, app, setup.limits, log, stop));
        Server { address, engine, shutdown, serving, gate }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body).await
    }

    /// Enqueues a job that is scheduled in an hour.
    pub async fn job(&self, more: &str) -> Value {
        let body = format!(r#"{{"kind":"echo","delay_ms":3600000{more}}}"#);
        let answer = self.post("/api/v1/jobs", &body).await;
        assert!(answer.status == 202 || answer.status == 200, "{answer:?}");
        answer.json()
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let client = crate::cli::http_client().unwrap();
        let mut request = client.request(method.parse().unwrap(), self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = within(request.body(body.to_owned()).send()).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Answer { status, headers, body: within(response.text()).await.unwrap() }
    }

    /// Sends a request with a streaming response.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> Growing {
        let client = crate::cli::http_client().unwrap();
        let mut request = client.get(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = within(request.send()).await.unwrap();
        Growing { response, text: String::new() }
    }

    /// Opens a stream of server-sent events.
    pub async fn sse(&self, query: &str) -> Growing {
        let path = format!("/api/v1/events{query}");
        let stream = self.open(&path, &[("accept", "text/event-stream")]).await;
        assert_eq!(stream.response.status(), 200, "{stream:?}");
        stream
    }

    pub async fn socket(&self, query: &str) -> Socket {
        let url = format!("ws://{}/api/v1/ws{query}", self.address);
        Socket(within(tokio_tungstenite::connect_async(url)).await.unwrap().0)
    }

    /// Stops the server as the binary does, and waits until everything has ended.
    pub async fn stop(self) -> StopReport {
        let Server { engine, serving, .. } = self;
        let requests = async { serving.await.unwrap() };
        within(engine.stop(&StopBounds::default(), requests)).await
    }
}

/// Limits every wait of a test; long enough for a busy machine.
pub async fn within<F: IntoFuture>(future: F) -> F::Output {
    let waited = tokio::time::timeout(Duration::from_secs(60), future.into_future()).await;
    waited.expect("should have happened by now")
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that it is a problem document with this status and code.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let document = self.json();
        assert_eq!(document["code"], code, "{self:?}");
        assert_eq!(document["status"], status, "{self:?}");
        assert_eq!(document["type"], format!("urn:cortado:problem:{code}"));
        assert!(document["detail"].is_string() && document["title"].is_string(), "{self:?}");
        document
    }
}

/// The errors of a problem document as `field: message`.
pub fn errors(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors: {problem}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |error: &Value| format!("{}: {}", text(&error["field"]), text(&error["message"]));
    errors.iter().map(one).collect()
}

/// A response that is read as it arrives.
#[derive(Debug)]
pub struct Growing {
    pub response: reqwest::Response,
    text: String,
}

/// One message of server-sent events.
#[derive(Debug, Default, PartialEq)]
pub struct Sent {
    pub event: String,
    pub id: String,
    pub data: Value,
}

impl Growing {
    /// The text up to the next `end`; `None` when the response ends before it.
    async fn upto(&mut self, end: &str) -> Option<String> {
        within(async {
            loop {
                if let Some((head, tail)) = self.text.split_once(end) {
                    let (head, tail) = (head.to_owned(), tail.to_owned());
                    self.text = tail;
                    return Some(head);
                }
                let chunk = self.response.chunk().await.unwrap()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        })
        .await
    }

    pub async fn line(&mut self) -> Option<String> {
        self.upto("\n").await
    }

    /// The next server-sent message; `None` at the end.
    pub async fn sent(&mut self) -> Option<Sent> {
        let mut sent = Sent { event: "message".into(), ..Sent::default() };
        for line in self.upto("\n\n").await?.lines() {
            match line.split_once(": ").unwrap() {
                ("event", name) => sent.event = name.into(),
                ("id", id) => sent.id = id.into(),
                ("data", data) => sent.data = serde_json::from_str(data).unwrap(),
                ("retry", ms) => assert!((1..=2_000).contains(&ms.parse::<u64>().unwrap())),
                _ => panic!("{line}"),
            }
        }
        Some(sent)
    }

    /// The next message of this name; earlier ones are skipped.
    pub async fn sent_of(&mut self, name: &str) -> Sent {
        loop {
            let sent = self.sent().await.expect("the stream should not end");
            if sent.event == name {
                return sent;
            }
        }
    }

    /// The numbers of the next `count` events.
    pub async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            seqs.push(self.sent_of("message").await.data["seq"].as_u64().unwrap());
        }
        seqs
    }
}

pub struct Socket(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// The next message as JSON; pings are skipped.
    pub async fn next(&mut self) -> Value {
        within(self.read()).await
    }

    async fn read(&mut self) -> Value {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a text message was expected, not {other:?}"),
            }
        }
    }

    /// The next message of this type; earlier ones are skipped.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        within(self.read_of(kind)).await
    }

    async fn read_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.read().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The numbers of the next `count` events.
    pub async fn seqs(&mut self, count: usize) -> Vec<u64> {
        within(async {
            let mut seqs = Vec::new();
            while seqs.len() < count {
                let message = self.read_of("events").await;
                for event in message["events"].as_array().unwrap() {
                    seqs.push(event["seq"].as_u64().unwrap());
                }
            }
            seqs
        })
        .await
    }

    pub async fn say(&mut self, text: &str) {
        within(self.0.send(Message::text(text))).await.unwrap();
    }

    /// Reads up to the end, and returns the last `bye`, if any, and the close frame.
    pub async fn close_frame(&mut self) -> (Option<Value>, CloseCode, String) {
        within(async {
            let mut bye = None;
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] == "bye" {
                            bye = Some(message);
                        }
                    }
                    Some(Ok(Message::Close(Some(frame)))) => {
                        return (bye, frame.code, frame.reason.to_string());
                    }
                    Some(Ok(_)) => {}
                    other => panic!("a close frame was expected, not {other:?}"),
                }
            }
        })
        .await
    }
}

/// The status and body of a refused upgrade.
pub async fn refused(request: tungstenite::http::Request<()>) -> (u16, Value) {
    match within(tokio_tungstenite::connect_async(request)).await {
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), serde_json::from_slice(&body).unwrap_or(Value::Null))
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
}
