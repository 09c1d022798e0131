//! The three transports (WebSocket, server-sent events and long poll) with the same filter, under load, while the
//! server is killed and stopped repeatedly. Each reader must receive the log.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::support::process::lasting_address;
use crate::support::{Client, Dir, Server, eventually};

const FILTER: &str = "queue=mail&type=job.*";

/// What a reader has received, and its cursor.
#[derive(Default)]
struct Received {
    events: Vec<Value>,
    cursor: String,
    connections: usize,
}

impl Received {
    fn events(&mut self, message: &Value) {
        assert!(message.get("gap").is_none(), "{message}");
        if let Some(events) = message["events"].as_array() {
            self.events.extend(events.iter().cloned());
        }
        if let Some(cursor) = message["cursor"].as_str() {
            self.cursor = cursor.to_owned();
        }
    }
}

/// A reader that reconnects until it is dropped.
struct Reader {
    name: &'static str,
    received: Arc<Mutex<Received>>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Reader {
    fn start<C, F>(name: &'static str, start: &str, connect: C) -> Reader
    where
        C: Fn(Arc<Mutex<Received>>, String) -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let received = Received { cursor: start.to_owned(), ..Received::default() };
        let received = Arc::new(Mutex::new(received));
        let shared = received.clone();
        let task = tokio::spawn(async move {
            loop {
                let cursor = shared.lock().unwrap().cursor.clone();
                connect(shared.clone(), cursor).await;
                sleep(Duration::from_millis(20)).await; // before the next attempt
            }
        });
        Reader { name, received, task }
    }

    /// Waits until it has received an event, and returns all of them.
    async fn upto(&self, seq: u64) -> Vec<Value> {
        eventually(&format!("{} at event {seq}", self.name), || async {
            assert!(!self.task.is_finished(), "{} has failed", self.name);
            let received = self.received.lock().unwrap();
            let last = received.events.last().and_then(|event| event["seq"].as_u64());
            (last >= Some(seq)).then(|| received.events.clone())
        })
        .await
    }
}

async fn socket(address: SocketAddr, received: Arc<Mutex<Received>>, cursor: String) {
    let url = format!("ws://{address}/api/v1/ws?{FILTER}&after={cursor}");
    let Ok((mut socket, _)) = tokio_tungstenite::connect_async(url).await else { return };
    received.lock().unwrap().connections += 1;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let message: Value = serde_json::from_str(&text).unwrap();
            assert_ne!(message["type"], "gap", "{message}");
            received.lock().unwrap().events(&message);
        }
    }
}

async fn sse(address: SocketAddr, received: Arc<Mutex<Received>>, cursor: String) {
    let client = cortado::internal::cli::http_client().unwrap();
    let request = client.get(format!("http://{address}/api/v1/events?{FILTER}"));
    let request = request.header("accept", "text/event-stream").header("last-event-id", cursor);
    let Ok(mut response) = request.send().await else { return };
    if response.status() != 200 {
        return; // the server is stopping
    }
    received.lock().unwrap().connections += 1;
    let mut text = String::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.push_str(std::str::from_utf8(&chunk).unwrap()); // the server writes chunks of whole messages
        while let Some((message, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
            };
            let (event, id, data) = (field("event: "), field("id: "), field("data: "));
            text = rest.to_owned();
            assert_ne!(event.as_deref(), Some("gap"), "{data:?}");
            let mut received = received.lock().unwrap();
            if event.is_none() {
                received.events.push(serde_json::from_str(&data.unwrap()).unwrap());
            }
            received.cursor = id.unwrap();
        }
    }
}

async fn poll(
    client: reqwest::Client,
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    cursor: String,
) {
    let base = format!("http://{address}/api/v1/events?{FILTER}&wait=5s&limit=50");
    let Ok(response) = client.get(format!("{base}&after={cursor}")).send().await else { return };
    if response.status() != 200 {
        return; // the server is stopping
    }
    if let Ok(answer) = response.text().await {
        let mut received = received.lock().unwrap();
        received.connections += 1;
        received.events(&serde_json::from_str(&answer).unwrap());
    }
}

/// Submits jobs to two queues until it is cancelled, and ignores a server that is down.
async fn load(client: Client, end: CancellationToken) {
    for n in (0..).take_while(|_| !end.is_cancelled()) {
        let queue = ["mail", "other"][n % 2];
        let jobs = json!([
            { "kind": "echo", "queue": queue, "payload": n },
            { "kind": "sleep", "queue": queue, "payload": { "ms": 30 } },
            { "kind": "fail", "queue": queue, "payload": { "times": 1 },
              "backoff": { "base_ms": 10, "cap_ms": 10 } },
        ]);
        client.try_send(reqwest::Method::POST, "/api/v1/jobs", Some(&jobs)).await.ok();
        sleep(Duration::from_millis(5)).await; // limits the rate of submissions
    }
}

/// Every event of the log that matches the filter, read without the filter.
async fn wanted(client: &Client, start: &str) -> Vec<Value> {
    let (mut wanted, mut cursor) = (Vec::new(), start.to_owned());
    loop {
        let answer = client.get(&format!("/api/v1/events?limit=1000&after={cursor}")).await;
        let events = answer["events"].as_array().unwrap();
        if events.is_empty() {
            return wanted;
        }
        wanted.extend(events.iter().filter(|event| event["job"]["queue"] == "mail").cloned());
        cursor = answer["cursor"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn three_doors_tell_the_same_log_through_crashes_and_stops() {
    let (dir, address) = (Dir::new(), lasting_address());
    let start = async || Server::start_on(address, &dir.data(), &["--grace", "1s"]).await;
    let mut server = start().await;
    let from = server.client.start_of_log().await;
    let client = cortado::internal::cli::http_client().unwrap();
    let readers = [
        Reader::start("the socket", &from, move |received, at| socket(address, received, at)),
        Reader::start("the event stream", &from, move |received, at| sse(address, received, at)),
        Reader::start("the poll", &from, move |received, at| {
            poll(client.clone(), address, received, at)
        }),
    ];
    let end_load = CancellationToken::new();
    let feeding = tokio::spawn(load(server.client.clone(), end_load.clone()));
    for round in 1..=6 {
        // Each reader has received something from this server process before it ends.
        let seen = server.client.submit(&json!({ "kind": "echo", "queue": "mail" })).await;
        let seen = server.client.job_in(&seen, "completed").await["seq"].as_u64().unwrap();
        for reader in &readers {
            reader.upto(seen).await;
        }
        match round % 2 {
            0 => drop(server.stop().await),
            _ => server.kill().await,
        }
        server = start().await;
    }
    // A submission that was cut off could still be accepted after the server looked quiet.
    end_load.cancel();
    feeding.await.unwrap();
    let quiet = eventually("a quiet server", || async {
        let states = server.client.get("/api/v1/stats").await["states"].clone();
        let busy = ["scheduled", "available", "running", "retryable"];
        busy.iter().all(|state| states[state] == 0).then_some(())
    });
    quiet.await;
    let wanted = wanted(&server.client, &from).await;
    assert!(wanted.len() > 100, "{} events are no load", wanted.len());
    let last = wanted.last().unwrap()["seq"].as_u64().unwrap();
    for reader in &readers {
        let received = reader.upto(last).await;
        let differs =
            received.iter().zip(&wanted).position(|(received, wanted)| received != wanted);
        assert_eq!(differs, None, "{} differs there", reader.name);
        assert_eq!(received.len(), wanted.len(), "{}", reader.name);
        assert!(reader.received.lock().unwrap().connections >= 7, "{}", reader.name);
    }
    server.stop().await;
}
