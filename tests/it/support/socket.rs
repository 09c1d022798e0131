//! A WebSocket client of the event stream, which asserts the guarantees that hold for every client as it reads.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::audit::Event;
use super::within;

/// An open stream.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The cursor of the last message.
    pub cursor: String,
}

/// A message of the server, or the end of the connection.
#[derive(Debug)]
#[allow(dead_code)] // the error is shown by a failing test
enum Said {
    Message(Value),
    Closed(Option<CloseFrame>),
    Broken(Error),
}

impl Socket {
    /// Opens a stream and reads its `hello`.
    pub async fn open(address: SocketAddr, query: &str) -> Socket {
        let socket = Socket::try_open(address, query).await;
        socket.unwrap_or_else(|| panic!("no socket at {address}"))
    }

    /// Like `open`, for a server that may die in the meantime.
    pub async fn try_open(address: SocketAddr, query: &str) -> Option<Socket> {
        let url = format!("ws://{address}/api/v1/ws{query}");
        let config = WebSocketConfig::default().max_message_size(None);
        let opening = connect_async_with_config(url, Some(config), false);
        let (stream, _) = within("an open socket", opening).await.ok()?;
        let mut socket = Socket { stream, cursor: String::new() };
        let Said::Message(hello) = within("a hello", socket.listen()).await else { return None };
        assert_eq!(hello["type"], "hello", "{hello}");
        socket.cursor = hello["cursor"].as_str().unwrap().to_owned();
        Some(socket)
    }

    /// The next message, or the end of the connection.
    async fn listen(&mut self) -> Said {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if matches!(message["type"].as_str(), Some("events" | "mark")) {
                        self.cursor = message["cursor"].as_str().unwrap().to_owned();
                    }
                    return Said::Message(message);
                }
                Some(Ok(Message::Close(frame))) => {
                    self.stream.flush().await.ok(); // completes the closing handshake; the server may be gone
                    return Said::Closed(frame);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Said::Broken(error),
                None => return Said::Broken(Error::ConnectionClosed),
            }
        }
    }

    /// Sends a text message.
    pub async fn say(&mut self, text: &str) {
        within("room to write", self.stream.send(Message::text(text))).await.unwrap();
    }

    async fn heard(&mut self) -> Value {
        match self.listen().await {
            Said::Message(message) => message,
            ended => panic!("the stream ended: {ended:?}"),
        }
    }

    /// The next message of a type; others are skipped.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        within(kind, async {
            loop {
                let message = self.heard().await;
                if message["type"] == kind {
                    return message;
                }
            }
        })
        .await
    }

    /// Reads events up to one that `last` accepts.
    pub async fn events_until(&mut self, mut last: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        within("an event", async {
            loop {
                let events = events(&self.heard().await);
                let found = events.iter().any(&mut last);
                seen.extend(events);
                if found {
                    return;
                }
            }
        })
        .await;
        seen
    }

    /// Waits for an event of this type of a job.
    pub async fn event(&mut self, job: &str, kind: &str) {
        let wanted = |event: &Event| event.is_of(job) && event.kind == kind;
        self.events_until(wanted).await;
    }

    /// All events until the connection ends, however it ends.
    pub async fn events_until_the_end(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        self.each_until_the_end(|events| told.extend(events)).await;
        told
    }

    /// Like `events_until_the_end`, message by message.
    pub async fn each_until_the_end(&mut self, mut take: impl FnMut(Vec<Event>)) {
        within("the end of the stream", async {
            while let Said::Message(message) = self.listen().await {
                assert_ne!(message["type"], "gap", "{message}");
                take(events(&message));
            }
        })
        .await;
    }

    /// Reads to the end, and returns the events, the last `bye`, and the close frame.
    pub async fn rest(&mut self) -> (Vec<Event>, Value, CloseFrame) {
        let (mut told, mut bye) = (Vec::new(), Value::Null);
        let ending = within("the end of the stream", async {
            loop {
                match self.listen().await {
                    Said::Message(message) if message["type"] == "bye" => bye = message,
                    Said::Message(message) => told.extend(events(&message)),
                    ended => return ended,
                }
            }
        });
        match ending.await {
            Said::Closed(Some(frame)) => (told, bye, frame),
            ended => panic!("no close frame with a code: {ended:?}"),
        }
    }
}

/// The events of a message; none when it is of another type.
fn events(message: &Value) -> Vec<Event> {
    match message["type"].as_str() {
        Some("events") => serde_json::from_value(message["events"].clone()).unwrap(),
        _ => Vec::new(),
    }
}
