//! One connection over each of the three transports: it reads until it ends, disconnects, or stops reading for a while.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::received::{Connection, Received};
use super::subscriber::{Behaviour, Place};
use super::want::Want;

/// Named subscriptions on a socket, in addition to the filter of its query string.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    pub names: &'static [(&'static str, Want)],
    /// Whether the named subscriptions replace the filter of the query string. Together they must match the same events
    /// as the filter.
    pub replace: bool,
}

/// How a subscriber reads.
#[derive(Debug, Clone, Copy)]
pub enum Transport {
    Socket(Names),
    EventStream,
    Poll,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Transport::Socket(names) if names.names.is_empty() => "socket",
            Transport::Socket(_) => "socket with names",
            Transport::EventStream => "event stream",
            Transport::Poll => "poll",
        }
    }

    /// Runs one connection from the cursor of the subscriber; `None` when it failed or could not be opened.
    pub async fn connect(
        self,
        place: &Place,
        want: Want,
        received: &Mutex<Received>,
        behaviour: &mut Behaviour,
    ) -> Option<()> {
        let cursor = received.lock().unwrap().cursor.clone();
        let query = format!("{}&after={cursor}", want.query());
        match self {
            Transport::Socket(names) => {
                socket(place, &query, names, want, received, behaviour).await
            }
            Transport::EventStream => event_stream(place, &query, want, received, behaviour).await,
            Transport::Poll => poll(place, &query, want, received, behaviour).await,
        }
    }
}

async fn socket(
    place: &Place,
    query: &str,
    Names { names, replace }: Names,
    want: Want,
    received: &Mutex<Received>,
    behaviour: &mut Behaviour,
) -> Option<()> {
    let url = format!("ws://{}/api/v1/ws?{query}", place.address);
    let config = WebSocketConfig::default().max_message_size(None);
    // Small buffers, so that the server soon notices a client that does not read.
    let stream = TcpSocket::new_v4().unwrap();
    stream.set_recv_buffer_size(4_096).unwrap();
    let stream = stream.connect(place.address).await.ok()?;
    let (mut socket, _) = client_async_with_config(url, stream, Some(config)).await.ok()?;
    let mut here = Connection::new(received, want);
    for (id, want) in names {
        let wish = json!({ "type": "subscribe", "id": id, "filter": want.json() });
        socket.send(Message::text(wish.to_string())).await.ok()?;
    }
    if replace {
        socket.send(Message::text(r#"{"type":"unsubscribe","id":""}"#)).await.ok()?;
    }
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = message {
            let message: Value = serde_json::from_str(&text).unwrap();
            here.message(&message, names, place.scribe());
            if behaviour.has_enough(place).await {
                return None;
            }
        }
    }
    None
}

async fn event_stream(
    place: &Place,
    query: &str,
    want: Want,
    received: &Mutex<Received>,
    behaviour: &mut Behaviour,
) -> Option<()> {
    let request = place.http.get(format!("http://{}/api/v1/events?{query}", place.address));
    let mut response = request.header("accept", "text/event-stream").send().await.ok()?;
    if response.status() != 200 {
        return None; // the server is stopping
    }
    let mut here = Connection::new(received, want);
    let mut text = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let message = String::from_utf8(text.drain(..end + 2).collect()).unwrap();
            let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name));
            let data: Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
            let id = field("id: ").unwrap();
            match field("event: ") {
                Some(name) => {
                    assert_eq!(data["type"], name, "{message}");
                    here.message(&data, &[], place.scribe());
                }
                None => here.event(data),
            }
            here.place(id);
        }
        if behaviour.has_enough(place).await {
            return None;
        }
    }
    None
}

async fn poll(
    place: &Place,
    query: &str,
    want: Want,
    received: &Mutex<Received>,
    behaviour: &mut Behaviour,
) -> Option<()> {
    let limit = behaviour.page();
    let base = format!("http://{}/api/v1/events?{query}&limit={limit}", place.address);
    let wait = if behaviour.is_ending(place) { "1s" } else { "5s" };
    let response = place.http.get(format!("{base}&wait={wait}")).send();
    let answer = tokio::select! {
        response = response => response.ok()?,
        () = behaviour.hangs_up() => return None, // while the server holds the poll
    };
    if answer.status() != 200 {
        return None; // the server is stopping
    }
    let text = answer.text().await.ok()?;
    let mut here = Connection::new(received, want);
    let answer: Value = serde_json::from_str(&text).unwrap();
    if answer.get("gap").is_some() {
        here.gap(&answer["gap"], place.scribe());
    }
    let events = answer["events"].as_array().unwrap();
    assert!(events.len() <= limit, "{} events, asked for {limit}", events.len());
    events.iter().for_each(|event| here.event(event.clone()));
    here.place(answer["cursor"].as_str().unwrap());
    Some(())
}

/// The wait of a well-behaved client between two attempts.
pub const SOON: Duration = Duration::from_millis(20);
