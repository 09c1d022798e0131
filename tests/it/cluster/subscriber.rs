//! A subscriber of the whole log that reads it over one transport, on one server or on several ones in turn. It must
//! receive every event once and in order, and never a gap.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::connect_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::transcript::{Transcript, number_of};
use crate::support::within;

/// The wait of a client between two connections.
const SOON: Duration = Duration::from_millis(20);

/// How a subscriber reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Socket,
    EventStream,
    Poll,
}

pub const TRANSPORTS: [Transport; 3] = [Transport::Socket, Transport::EventStream, Transport::Poll];

/// Where a subscriber connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visits {
    /// The server at this index, for as long as it runs.
    One(usize),
    /// Any server, and after a moment another one.
    All,
}

/// What all subscribers share.
pub struct Surroundings {
    pub addresses: Vec<SocketAddr>,
    pub http: reqwest::Client,
    pub transcript: Transcript,
    /// Whether the test is ending, so that nobody leaves a server that works.
    pub ending: watch::Sender<bool>,
}

impl Surroundings {
    pub fn new(addresses: Vec<SocketAddr>) -> Arc<Surroundings> {
        let http = cortado::internal::cli::http_client().unwrap();
        let (transcript, ending) = (Transcript::new(), watch::Sender::new(false));
        Arc::new(Surroundings { addresses, http, transcript, ending })
    }
}

/// A running subscriber, which ends when it is dropped.
pub struct Subscriber {
    name: String,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// What a subscriber has seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    pub seq: u64,
    pub connections: u32,
    /// The number of streams that have begun.
    pub greetings: u32,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Starts to read from the first event on.
    pub fn start(
        transport: Transport,
        visits: Visits,
        epoch: &str,
        surroundings: &Arc<Surroundings>,
        random: &mut Rng,
    ) -> Subscriber {
        let name = format!("{transport:?} of {visits:?}");
        let (tell, seen) = watch::channel(Seen::default());
        let mut reader = LogReader::new(name.clone(), epoch, 0, surroundings.clone());
        let (mut random, surroundings) = (random.fork(), surroundings.clone());
        let task = tokio::spawn(async move {
            loop {
                let address = match visits {
                    Visits::One(index) => surroundings.addresses[index],
                    Visits::All => *random.choice(&surroundings.addresses).unwrap(),
                };
                tell.send_modify(|seen| seen.connections += 1);
                let moment = Duration::from_millis(random.u64(20..1_500));
                let leaves = async {
                    sleep(moment).await;
                    if visits != Visits::All || *surroundings.ending.borrow() {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    () = transport.read(address, &mut reader, &tell) => {}
                    () = leaves => {}
                }
                sleep(SOON).await;
                if visits == Visits::All && random.u8(0..4) == 0 {
                    reader.step_back(random.u64(1..50));
                }
            }
        });
        Subscriber { name, seen, task }
    }

    /// Asserts that it has not failed.
    pub fn assert_lives(&self) {
        assert!(!self.task.is_finished(), "{} has failed", self.name);
    }

    /// Waits until it has seen an event. Returns what it has seen.
    pub async fn upto(&self, seq: u64) -> Seen {
        let mut seen = self.seen.clone();
        let reached = seen.wait_for(|seen| seen.seq >= seq);
        let reached = within(&format!("{} at event {seq}", self.name), reached).await;
        *reached.unwrap_or_else(|_| panic!("{} has failed", self.name))
    }
}

/// The position of a subscriber in the log, and the checks of what it receives.
pub struct LogReader {
    name: String,
    epoch: String,
    /// The last event that was received.
    pub seq: u64,
    /// The number of streams that have begun.
    greetings: u32,
    surroundings: Arc<Surroundings>,
}

#[derive(Deserialize)]
struct StreamMessage<'a> {
    #[serde(rename = "type")]
    kind: String,
    cursor: Option<String>,
    #[serde(borrow, default)]
    events: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct PollAnswer<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
    cursor: String,
    gap: Option<Value>,
}

impl LogReader {
    pub fn new(name: String, epoch: &str, seq: u64, surroundings: Arc<Surroundings>) -> LogReader {
        LogReader { name, epoch: epoch.to_owned(), seq, greetings: 0, surroundings }
    }

    /// Where the next connection begins.
    fn cursor(&self) -> String {
        format!("{}:{}", self.epoch, self.seq)
    }

    /// Moves back, like a program that ended before it had saved its cursor.
    fn step_back(&mut self, events: u64) {
        self.seq = self.seq.saturating_sub(events);
    }

    fn event(&mut self, event: &RawValue) {
        let seq = number_of(event);
        assert_eq!(seq, self.seq + 1, "{}: the log is not dense: {event}", self.name);
        self.surroundings.transcript.take(event, &self.name);
        self.seq = seq;
    }

    /// Takes the cursor of a message. Without a filter, it is that of the last event.
    fn place(&self, cursor: &str) {
        assert_eq!(cursor, self.cursor(), "{}: the cursor is not that of the events", self.name);
    }

    fn message(&mut self, text: &str) {
        let message: StreamMessage<'_> = serde_json::from_str(text).unwrap();
        message.events.iter().for_each(|event| self.event(event));
        self.greetings += u32::from(message.kind == "hello");
        match &*message.kind {
            "hello" | "events" | "mark" => self.place(&message.cursor.unwrap()),
            "draining" | "bye" => {}
            other => panic!("{}: {other}: {text}", self.name),
        }
    }
}

impl Transport {
    /// Reads on one connection until it ends, if it can be opened.
    pub async fn read(
        self,
        address: SocketAddr,
        reader: &mut LogReader,
        tell: &watch::Sender<Seen>,
    ) {
        match self {
            Transport::Socket => socket(address, reader, tell).await,
            Transport::EventStream => event_stream(address, reader, tell).await,
            Transport::Poll => poll(address, reader, tell).await,
        };
    }
}

fn told(tell: &watch::Sender<Seen>, reader: &LogReader) {
    tell.send_modify(|seen| {
        (seen.seq, seen.greetings) = (seen.seq.max(reader.seq), reader.greetings);
    });
}

async fn socket(
    address: SocketAddr,
    reader: &mut LogReader,
    tell: &watch::Sender<Seen>,
) -> Option<()> {
    let url = format!("ws://{address}/api/v1/ws?after={}", reader.cursor());
    let config = WebSocketConfig::default().max_message_size(None);
    let (mut socket, _) = connect_async_with_config(url, Some(config), false).await.ok()?;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            reader.message(&text);
            told(tell, reader);
        }
    }
    None
}

async fn event_stream(
    address: SocketAddr,
    reader: &mut LogReader,
    tell: &watch::Sender<Seen>,
) -> Option<()> {
    let url = format!("http://{address}/api/v1/events?after={}", reader.cursor());
    let request = reader.surroundings.http.get(url).header("accept", "text/event-stream");
    let mut response = request.send().await.ok()?;
    if response.status() != 200 {
        assert_eq!(response.status(), 503, "{}", reader.name);
        return None;
    }
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let message = String::from_utf8(text.drain(..end + 2).collect()).unwrap();
            let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            let Some(data) = field("data: ") else { continue };
            match field("event: ") {
                Some(_) => reader.message(data),
                None => reader.event(serde_json::from_str(data).unwrap()),
            }
            if let Some(id) = field("id: ") {
                reader.place(id);
            }
        }
        told(tell, reader);
    }
    None
}

async fn poll(
    address: SocketAddr,
    reader: &mut LogReader,
    tell: &watch::Sender<Seen>,
) -> Option<()> {
    loop {
        let cursor = reader.cursor();
        let url = format!("http://{address}/api/v1/events?after={cursor}&limit=200&wait=1s");
        let response = reader.surroundings.http.get(url).send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        if status != 200 {
            assert_eq!(status, 503, "{}: {text}", reader.name);
            return None;
        }
        let answer: PollAnswer<'_> = serde_json::from_str(&text).unwrap();
        assert!(answer.gap.is_none(), "{}: {text}", reader.name);
        answer.events.iter().for_each(|event| reader.event(event));
        reader.place(&answer.cursor);
        told(tell, reader);
    }
}
