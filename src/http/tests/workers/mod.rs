//! Workers in other processes, over HTTP and over WebSocket.

use std::sync::Arc;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::support::{Answer, Server, Setup, Socket, store_with, within};
use crate::engine::tests::faults::Faulty;
use crate::http::HttpLimits;
use crate::job::{
    Backoff, Event, Fact, Job, JobId, Json, Kind, Labels, NewJob, QueueName, RetryPolicy, Spec,
    Start,
};
use crate::store::memory::MemoryStore;
use crate::store::{Store, StoreLimits};

mod access;
mod callbacks;
mod claims;
mod concurrency;
mod failures;
mod floods;
mod instances;
mod large_jobs;
mod leases;
mod list;
mod metrics;
mod order;
mod sign_off;
mod sockets;
mod unsent;
mod vectors;

/// A server, and its store, into which jobs go that no handler of the server runs.
struct Shop {
    server: Server,
    store: Arc<MemoryStore>,
}

impl Shop {
    async fn open() -> Shop {
        Shop::with(HttpLimits::default()).await
    }

    async fn with(limits: HttpLimits) -> Shop {
        let store = store_with(StoreLimits::default());
        Shop::on(store.clone(), store, limits).await
    }

    /// A server whose store has faults that the test switches on.
    async fn faulty(limits: HttpLimits) -> (Shop, Arc<Faulty>) {
        let store = store_with(StoreLimits::default());
        let faulty = Faulty::new(store.clone());
        (Shop::on(faulty.clone(), store, limits).await, faulty)
    }

    async fn on(used: Arc<dyn Store>, store: Arc<MemoryStore>, limits: HttpLimits) -> Shop {
        let server = Server::with(Setup { limits, store: used, ..Setup::default() }).await;
        server.job("").await; // the server knows the queue from now on
        Shop { server, store }
    }

    /// Enqueues jobs of the kind `resize`.
    async fn add(&self, count: usize) -> Vec<JobId> {
        self.enqueue((0..count).map(|_| job(None)).collect()).await
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Vec<JobId> {
        let ids = jobs.iter().map(|job| job.id).collect();
        self.store.enqueue(jobs).await.unwrap();
        ids
    }

    async fn claim(&self, more: Value) -> Answer {
        self.claim_as("web-1", more).await
    }

    async fn claim_as(&self, worker: &str, more: Value) -> Answer {
        let mut body = json!({"kinds": ["resize"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.server.post(&format!("/api/v1/workers/{worker}/claim"), &body.to_string()).await
    }

    /// Claims one job, and returns the text of its lease.
    async fn lease(&self) -> String {
        let answer = self.claim(json!({})).await.json();
        answer["leases"][0]["lease"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn report(&self, body: Value) -> Value {
        let answer = self.server.post("/api/v1/leases", &body.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn settle(&self, lease: &str, outcome: &str) -> Value {
        let item = json!({"lease": lease, "outcome": outcome});
        self.report(json!({"settle": [item]})).await["settle"][0].clone()
    }

    async fn job(&self, id: JobId) -> Job {
        self.store.get(id).await.unwrap().0.unwrap()
    }

    /// Waits until an event of a job has this type.
    async fn has_happened(&self, id: JobId, event_type: &str) {
        let mut live = self.server.engine.live();
        let is_it = |event: &Event| {
            let is_about_it = matches!(&event.fact, Fact::Job { id: of, .. } if *of == id);
            is_about_it && event.event_type().as_str() == event_type
        };
        let job = self.job(id).await;
        let happened = |job: &Job| {
            job.history.iter().any(|moment| moment.change.event_type().as_str() == event_type)
        };
        if happened(&job) {
            return;
        }
        within(async { while !live.recv().await.unwrap().events.iter().any(is_it) {} }).await;
    }

    async fn socket(&self, worker: &str) -> Socket {
        let url = format!("ws://{}/api/v1/workers/{worker}/ws", self.server.address);
        let mut request = url.into_client_request().unwrap();
        let protocol = "cortado.worker.v1+json".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, response) = within(tokio_tungstenite::connect_async(request)).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "cortado.worker.v1+json");
        Socket(socket)
    }

    /// A worker on a WebSocket that has been greeted.
    async fn ready(&self, worker: &str, free: usize) -> Socket {
        let mut socket = self.socket(worker).await;
        say(&mut socket, json!({"type": "ready", "free": free, "kinds": ["resize"]})).await;
        assert_eq!(socket.next().await["type"], "hello");
        socket
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket.say(&message.to_string()).await;
}

/// Sends messages in one packet.
async fn say_at_once(socket: &mut Socket, messages: &[Value]) {
    for message in messages {
        within(socket.0.feed(Message::text(message.to_string()))).await.unwrap();
    }
    within(socket.0.flush()).await.unwrap();
}

/// The leases in a message or an answer.
fn leases(answer: &Value) -> Vec<String> {
    let leases = answer["leases"].as_array().unwrap_or_else(|| panic!("{answer}"));
    leases.iter().map(|lease| lease["lease"].as_str().unwrap().to_owned()).collect()
}

fn job(timeout: Option<Duration>) -> NewJob {
    NewJob {
        id: JobId::generate(),
        labels: Arc::new(Labels {
            queue: QueueName::default(),
            kind: Kind::parse("resize").unwrap(),
            tags: Box::default(),
        }),
        spec: Arc::new(Spec {
            payload: Json::parse(r#"{"width":640, "big":12345678901234567890}"#).unwrap(),
            priority: 0,
            retry: RetryPolicy {
                max_attempts: 3,
                backoff: Backoff { base_ms: 60_000, cap_ms: 60_000 },
            },
            timeout_ms: timeout.map(|timeout| timeout.as_millis() as u64),
            idempotency_key: None,
        }),
        start: Start::Now,
        by: None,
        omitted: Default::default(),
    }
}
