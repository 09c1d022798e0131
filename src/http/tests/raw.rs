//! A client that sends and receives bytes, for what well-behaved clients never do.

use std::io::ErrorKind;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::within;

/// A connection.
pub struct Raw {
    pub stream: TcpStream,
    /// Bytes received but not yet parsed.
    buffer: Vec<u8>,
}

/// What the server sent on a WebSocket, or how the connection ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The server closed its side, and nothing was lost.
    End,
    /// The connection was reset, so bytes may have been lost.
    Reset,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(prefix.as_str()))
    }

    pub fn code(&self) -> String {
        let document: Value = serde_json::from_str(&self.body).unwrap_or_default();
        document["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts that it is a problem document with this status and code, and that it has the headers of every response.
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        for name in ["x-request-id", "x-content-type-options", "content-security-policy", "date"] {
            assert!(self.header(name).is_some(), "no {name}: {self:?}");
        }
    }
}

impl Raw {
    pub async fn connect(address: SocketAddr) -> Raw {
        let stream = within(TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, buffer: Vec::new() }
    }

    /// Requests a WebSocket.
    pub async fn upgrade(
        address: SocketAddr,
        query: &str,
        headers: &[(&str, &str)],
    ) -> (Raw, Response) {
        let mut raw = Raw::connect(address).await;
        let mut head = format!(
            "GET /api/v1/ws{query} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        raw.send((head + "\r\n").as_bytes()).await;
        let response = raw.response().await;
        (raw, response)
    }

    /// Opens a WebSocket and reads its `hello`.
    pub async fn websocket(address: SocketAddr) -> Raw {
        let (mut raw, response) = Raw::upgrade(address, "", &[]).await;
        assert_eq!(response.status, 101, "{response:?}");
        let hello = raw.text().await;
        assert!(hello.contains("\"hello\""), "{hello}");
        raw
    }

    /// Sends bytes; the server may already have closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.ok();
    }

    /// Sends bytes one by one.
    pub async fn send_each(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]).await;
        }
    }

    /// Reads the head of a response.
    pub async fn head(&mut self) -> Response {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let end = self.read().await;
            assert_eq!(end, None, "no response: {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Response { status, head, body: String::new() }
    }

    /// Reads a response with a `Content-Length`.
    pub async fn response(&mut self) -> Response {
        let response = self.head().await;
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert_eq!(self.read().await, None, "half a response: {response:?}");
        }
        let body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        Response { body, ..response }
    }

    /// Reads up to the end of the connection, and returns how it ended.
    pub async fn end(&mut self) -> Received {
        loop {
            self.buffer.clear();
            if let Some(end) = self.read().await {
                return end;
            }
        }
    }

    /// The next frame of the server, or the end of the connection.
    pub async fn receive(&mut self) -> Received {
        loop {
            if let Some((received, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return received;
            }
            if let Some(end) = self.read().await {
                return end;
            }
        }
    }

    /// The next text; pings are skipped.
    pub async fn text(&mut self) -> String {
        loop {
            match self.receive().await {
                Received::Text(text) => return text,
                Received::Ping | Received::Pong(_) => {}
                other => panic!("a text was expected, not {other:?}"),
            }
        }
    }

    /// The next frame that is neither a text nor a ping, or the end of the connection.
    pub async fn last_frame(&mut self) -> Received {
        loop {
            match self.receive().await {
                Received::Text(_) | Received::Ping | Received::Pong(_) => {}
                other @ (Received::Close(_) | Received::End | Received::Reset) => return other,
            }
        }
    }

    /// Reads more bytes; returns how the connection ended, if it has.
    async fn read(&mut self) -> Option<Received> {
        match within(self.stream.read_buf(&mut self.buffer)).await {
            Ok(0) => Some(Received::End),
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Some(Received::Reset),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The first frame in the buffer and its length, when it is complete.
fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a masked frame of the server");
    let (begin, length) = match second {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(begin..begin + length)?;
    let received = match first {
        0x81 => Received::Text(String::from_utf8(payload.to_vec()).unwrap()),
        0x88 => {
            let code = payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap()));
            Received::Close(code)
        }
        0x89 => Received::Ping,
        0x8a => Received::Pong(payload.to_vec()),
        other => panic!("a frame that begins with {other:#x}"),
    };
    Some((received, begin + length))
}

/// A masked frame with this first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x17, 0xc3, 0x88];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        middle @ 126..=65_535 => {
            bytes.push(0x80 | 126);
            bytes.extend((middle as u16).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A close frame with a code.
pub fn close(code: u16) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes())
}
