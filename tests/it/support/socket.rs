//! The event stream as a program subscribes to it: a WebSocket client that checks what every client may
//! rely on while it reads.

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
    /// Everything up to here has been told.
    pub cursor: String,
}

/// What the server said, or how the connection ended.
#[derive(Debug)]
#[allow(dead_code)] // the error is there for the text of a failing test
enum Said {
    Message(Value),
    Closed(Option<CloseFrame>),
    Broken(Error),
}

impl Socket {
    /// Opens and reads `hello`.
    pub async fn open(address: SocketAddr, query: &str) -> Socket {
        let url = format!("ws://{address}/api/v1/ws{query}");
        let config = WebSocketConfig::default().max_message_size(None);
        let opening = connect_async_with_config(url, Some(config), false);
        let (stream, _) = within("an open socket", opening).await.unwrap();
        let mut socket = Socket { stream, cursor: String::new() };
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        socket.cursor = hello["cursor"].as_str().unwrap().to_owned();
        socket
    }

    /// What comes next, whatever it is.
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
                    self.stream.flush().await.ok(); // our half; the server may be gone
                    return Said::Closed(frame);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Said::Broken(error),
                None => return Said::Broken(Error::ConnectionClosed),
            }
        }
    }

    /// The next message, which must come.
    pub async fn next(&mut self) -> Value {
        match within("a message", self.listen()).await {
            Said::Message(message) => message,
            ended => panic!("the stream ended: {ended:?}"),
        }
    }

    /// The next message of a type; others are passed over.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// Events, until one that `last` accepts.
    pub async fn events_until(&mut self, mut last: impl FnMut(&Event) -> bool) -> Vec<Event> {
        let mut seen = Vec::new();
        loop {
            let message = self.next_of("events").await;
            let events = events(&message);
            let found = events.iter().any(&mut last);
            seen.extend(events);
            if found {
                return seen;
            }
        }
    }

    /// Waits for one event of a job.
    pub async fn event(&mut self, job: &str, kind: &str) {
        let wanted = |event: &Event| event.is_of(job) && event.kind == kind;
        self.events_until(wanted).await;
    }

    /// Everything that is told until the connection ends, in whatever way.
    pub async fn events_until_the_end(&mut self) -> Vec<Event> {
        let mut told = Vec::new();
        while let Said::Message(message) = within("the end", self.listen()).await {
            assert_ne!(message["type"], "gap", "{message}");
            told.extend(events(&message));
        }
        told
    }

    /// Reads to the end: the events on the way, the last `bye`, and the close frame.
    pub async fn rest(&mut self) -> (Vec<Event>, Value, CloseFrame) {
        let (mut seen, mut bye) = (Vec::new(), Value::Null);
        loop {
            match within("the end of the stream", self.listen()).await {
                Said::Message(message) if message["type"] == "events" => {
                    seen.extend(events(&message));
                }
                Said::Message(message) if message["type"] == "bye" => bye = message,
                Said::Message(_) => {}
                Said::Closed(Some(frame)) => return (seen, bye, frame),
                ended => panic!("no close frame with a code: {ended:?}"),
            }
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
