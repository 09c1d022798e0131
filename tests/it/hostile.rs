//! Malicious and broken clients of the real server, byte by byte: each gets a clear error or the close code of
//! RFC 6455 §7.4.1, while a healthy subscriber receives everything in order.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Dir, Event, Server, Socket, eventually, within};

/// A rate that allows a thousand messages but not a flood.
const CONFIG: &str = "[http]\nsubscribers_per_address = 1_000\nsocket_rate = 1_100\n";
/// Short timeouts, so that dead peers are soon disconnected.
const SOON: &str = "socket_ping = \"1s\"\nsocket_pong = \"3s\"\nwrite_timeout = \"2s\"\n";

/// A connection on which a test can send any bytes.
struct Raw {
    stream: TcpStream,
    /// Bytes received but not yet parsed.
    buffer: Vec<u8>,
}

/// A frame of the server, or the end of the connection.
#[derive(Debug, PartialEq)]
enum Said {
    Text(Value),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    End,
}

impl Raw {
    async fn connect(address: SocketAddr) -> Raw {
        Raw { stream: TcpStream::connect(address).await.unwrap(), buffer: Vec::new() }
    }

    /// Opens a WebSocket and reads its `hello`.
    async fn open(address: SocketAddr) -> Raw {
        let mut raw = Raw::connect(address).await;
        let (status, head, _) = raw.shake_hands(&[]).await;
        assert_eq!(status, 101, "{head}");
        match raw.next().await {
            Said::Text(hello) => assert_eq!(hello["type"], "hello"),
            said => panic!("{said:?}"),
        }
        raw
    }

    /// Requests a WebSocket, with some of the usual headers replaced or, for an empty value, left out. Returns the
    /// status, the head in lower case, and the body.
    async fn shake_hands(&mut self, changed: &[(&str, &str)]) -> (u16, String, Value) {
        let usual = [
            ("host", "localhost"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut head = "GET /api/v1/ws HTTP/1.1\r\n".to_owned();
        let kept = usual.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        for (name, value) in kept.chain(changed.iter().filter(|(_, value)| !value.is_empty())) {
            head += &format!("{name}: {value}\r\n");
        }
        self.say((head + "\r\n").as_bytes()).await;
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read().await, "no answer");
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.read().await, "half an answer");
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Sends bytes; the server may already have closed the connection.
    async fn say(&mut self, bytes: &[u8]) {
        within("room to write", self.stream.write_all(bytes)).await.ok();
    }

    /// Reads more bytes; `false` at the end of the connection.
    async fn read(&mut self) -> bool {
        let read = within("an answer", self.stream.read_buf(&mut self.buffer)).await;
        read.is_ok_and(|count| count > 0)
    }

    /// The next frame.
    async fn next(&mut self) -> Said {
        loop {
            if let Some((said, length)) = parse(&self.buffer) {
                self.buffer.drain(..length);
                return said;
            }
            if !self.read().await {
                return Said::End;
            }
        }
    }

    /// The next frame that is not an `events` message, because those may arrive at any time.
    async fn next_but_events(&mut self) -> Said {
        loop {
            match self.next().await {
                Said::Text(message) if message["type"] == "events" => {}
                said => return said,
            }
        }
    }

    /// Skips messages and pings up to the server's close frame or the end of the connection.
    async fn farewell(&mut self) -> Said {
        loop {
            match self.next().await {
                Said::Text(_) | Said::Ping | Said::Pong(_) => {}
                last => return last,
            }
        }
    }

    /// The code of the server's close frame, after which the connection must end.
    async fn close_code(&mut self) -> Option<u16> {
        let Said::Close(code) = self.farewell().await else { return None };
        assert_eq!(self.next().await, Said::End, "something follows the close frame");
        code
    }

    /// Sends a message and returns the answer.
    async fn answer(&mut self, text: &str) -> Value {
        self.say(&frame(0x81, text.as_bytes())).await;
        loop {
            match self.next().await {
                Said::Text(message) if message["type"] != "events" => return message,
                Said::Text(_) | Said::Ping | Said::Pong(_) => {}
                ended @ (Said::Close(_) | Said::End) => panic!("{text}: {ended:?}"),
            }
        }
    }
}

/// The first frame in the buffer and its length, when it is complete. A server never masks frames.
fn parse(bytes: &[u8]) -> Option<(Said, usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(second & 0x80, 0, "a masked frame of the server");
    let (begin, length) = match second {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(begin..begin + length)?;
    let said = match first {
        0x81 => Said::Text(serde_json::from_slice(payload).unwrap()),
        0x88 => {
            Said::Close(payload.get(..2).map(|code| u16::from_be_bytes(code.try_into().unwrap())))
        }
        0x89 => Said::Ping,
        0x8a => Said::Pong(payload.to_vec()),
        other => panic!("a frame that begins with {other:#x}"),
    };
    Some((said, begin + length))
}

/// A masked frame with this first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x17, 0xc3, 0x88];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | short as u8),
        long => {
            bytes.push(0x80 | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn close(code: u16) -> Vec<u8> {
    frame(0x88, &code.to_be_bytes())
}

/// Runs hostile clients beside a healthy subscriber, with jobs submitted before, during and after them.
async fn beside_a_healthy_one(more: &str, work: impl AsyncFn(&Server)) {
    let dir = Dir::new();
    let config = dir.config(&format!("{CONFIG}{more}"));
    let server = Server::start(&dir, &["--config", &config]).await;
    let from = server.client.start_of_log().await;
    let healthy = server.socket("").await;
    let reading = tokio::spawn(read_to_the_end(healthy));
    server.client.submit(&json!({ "kind": "echo" })).await;
    work(&server).await;
    let quiet = || async {
        let states = server.client.get("/api/v1/stats").await["states"].clone();
        (states["available"] == 0 && states["running"] == 0).then_some(())
    };
    eventually("no unfinished job", quiet).await;
    let last = server.client.submit(&json!({ "kind": "echo" })).await;
    server.client.job_in(&last, "completed").await;
    server.client.post("/api/v1/queues/marker/pause", None).await;
    let told = within("all events of the healthy subscriber", reading).await.unwrap();
    let (log, _) = server.client.log_after(&from).await;
    assert_eq!(told, log, "the healthy subscriber received another log");
    server.stop().await;
}

async fn read_to_the_end(mut socket: Socket) -> Vec<Event> {
    let is_end = |event: &Event| event.kind == "queue.paused"; // the last event of the test
    socket.events_until(is_end).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broken_frame_is_closed_with_its_code() {
    let cut = "€".as_bytes();
    let huge = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let mut cases: Vec<(String, Vec<u8>, u16)> = vec![
        ("unmasked".into(), b"\x81\x0f{\"type\":\"ping\"}".to_vec(), 1002),
        ("binary".into(), frame(0x82, b"\x00\x01"), 1003),
        ("an empty binary".into(), frame(0x82, b""), 1003),
        ("no UTF-8".into(), frame(0x81, b"\xff"), 1007),
        ("half a character".into(), frame(0x81, &cut[..1]), 1007),
        ("an overlong character".into(), frame(0x81, b"\xc0\xaf"), 1007),
        ("no UTF-8 in pieces".into(), [frame(0x01, cut), frame(0x80, &cut[..2])].concat(), 1007),
        ("a gigabyte".into(), huge(1 << 30), 1009),
        ("more than there is".into(), huge(u64::MAX >> 1), 1009),
        ("a byte too many".into(), frame(0x81, &vec![b' '; 16 * 1_024 + 1]), 1009),
        (
            "pieces too many".into(),
            [frame(0x01, &[b' '; 9_000]), frame(0x00, &[b' '; 9_000])].concat(),
            1009,
        ),
        ("a long ping".into(), frame(0x89, &[0; 126]), 1002),
        ("half a ping".into(), frame(0x09, b"x"), 1002),
        ("half a close".into(), frame(0x08, &[3, 232]), 1002),
        ("a continuation of nothing".into(), frame(0x80, b"x"), 1002),
        ("a text in a text".into(), [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
        ("a close of one byte".into(), frame(0x88, b"\x03"), 1002),
        ("a reason without UTF-8".into(), frame(0x88, b"\x03\xe8\xff"), 1007),
    ];
    for bit in [0x40, 0x20, 0x10] {
        cases.push((format!("reserved bit {bit:#x}"), frame(0x81 | bit, b"{}"), 1002));
    }
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        cases.push((format!("opcode {opcode:#x}"), frame(0x80 | opcode, b""), 1002));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        cases.push((format!("close with {code}"), close(code), 1002));
    }
    // These codes are valid and returned unchanged.
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 4999] {
        cases.push((format!("close with {code}"), close(code), code));
    }
    let cases = &cases;
    beside_a_healthy_one("", async |server| {
        for (name, bytes, code) in cases {
            let mut raw = Raw::open(server.address).await;
            raw.say(bytes).await;
            server.client.submit(&json!({ "kind": "echo", "payload": name })).await;
            assert_eq!(raw.close_code().await, Some(*code), "{name}");
            // The result is the same when the network delivers single bytes.
            if bytes.len() < 200 {
                let mut raw = Raw::open(server.address).await;
                raw.stream.set_nodelay(true).unwrap();
                for byte in bytes {
                    raw.say(&[*byte]).await;
                }
                assert_eq!(raw.close_code().await, Some(*code), "{name}, byte by byte");
            }
        }
        let mut raw = Raw::open(server.address).await;
        raw.say(&frame(0x88, b"")).await;
        assert_eq!(raw.farewell().await, Said::Close(None), "a close frame without a code");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_message_is_an_error_and_the_socket_goes_on() {
    beside_a_healthy_one("", async |server| {
        let mut raw = Raw::open(server.address).await;
        for (said, code) in [
            ("", "malformed_message"),
            ("{", "malformed_message"),
            ("[]", "malformed_message"),
            ("null", "malformed_message"),
            (r#"{"type":"dance"}"#, "malformed_message"),
            (r#"{"type":"ping","more":1}"#, "malformed_message"),
            (r#"{"type":"subscribe"}"#, "malformed_message"),
            (r#"{"type":"subscribe","id":"x","filter":{"colour":"red"}}"#, "invalid_parameter"),
            (
                r#"{"type":"subscribe","id":"x","filter":{"type":"job.exploded"}}"#,
                "invalid_parameter",
            ),
            (r#"{"type":"subscribe","id":"x","after":"nowhere"}"#, "invalid_parameter"),
        ] {
            let error = raw.answer(said).await;
            assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{said}");
            assert!(error["message"].as_str().is_some_and(|text| text.len() > 5), "{error}");
        }
        let deep = "[".repeat(10_000);
        assert_eq!(raw.answer(&deep).await["code"], "json_too_deep");
        let pieces = [frame(0x01, br#"{"type""#), frame(0x89, b"hi"), frame(0x80, br#":"ping"}"#)];
        raw.say(&pieces.concat()).await;
        let pong = raw.next_but_events().await;
        assert_eq!(pong, Said::Pong(b"hi".to_vec()), "a ping between two pieces");
        assert_eq!(raw.next_but_events().await, Said::Text(json!({ "type": "pong" })));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscriptions_are_an_error_each_but_for_the_first_and_a_flood_is_the_end() {
    beside_a_healthy_one("", async |server| {
        let mut raw = Raw::open(server.address).await;
        let subscribe = |n: u32| {
            let said =
                json!({ "type": "subscribe", "id": n.to_string(), "filter": { "queue": "q" } });
            frame(0x81, said.to_string().as_bytes())
        };
        raw.say(&(0..1_000).flat_map(subscribe).collect::<Vec<u8>>()).await;
        let (mut subscribed, mut refused) = (0, 0);
        while subscribed + refused < 1_000 {
            match raw.next().await {
                Said::Text(message) if message["type"] == "subscribed" => subscribed += 1,
                Said::Text(message) if message["type"] == "error" => {
                    assert_eq!(message["code"], "invalid_parameter", "{message}");
                    refused += 1;
                }
                Said::Text(_) | Said::Ping | Said::Pong(_) => {}
                ended @ (Said::Close(_) | Said::End) => panic!("{ended:?}"),
            }
        }
        // The filter of the query string is one of the 32 subscriptions.
        assert_eq!((subscribed, refused), (31, 969));
        for flood in [frame(0x89, &[7; 100]), frame(0x81, br#"{"type":"ping"}"#)] {
            let mut raw = Raw::open(server.address).await;
            raw.say(&flood.repeat(5_000)).await;
            assert_eq!(raw.close_code().await, Some(1008));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_never_read_never_answer_or_never_write_again_are_let_go() {
    beside_a_healthy_one(SOON, async |server| {
        // This client answers no pings.
        let mut mute = Raw::open(server.address).await;
        // This client has shut down writing.
        let mut half_open = Raw::open(server.address).await;
        half_open.stream.shutdown().await.unwrap();
        assert_eq!(half_open.close_code().await, None);
        // It must not miss events meanwhile: the close frame could not follow them.
        assert_eq!(mute.close_code().await, Some(1013));
        // These clients never read, and there are more events than all buffers hold.
        let mut deaf = Vec::new();
        for _ in 0..20 {
            deaf.push(Raw::open(server.address).await);
        }
        let tags: Vec<String> = (0..32).map(|n| format!("{n}{}", "t".repeat(90))).collect();
        let job = json!({ "kind": "echo", "delay_ms": 3_600_000, "tags": tags });
        for _ in 0..4 {
            server.client.submit_all(vec![job.clone(); 500]).await;
        }
        within("the end of the clients that never read", async {
            for raw in &mut deaf {
                // Read the data in transit up to the end; a reset is acceptable too.
                while raw.read().await {
                    raw.buffer.clear();
                }
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_none_is_a_problem_that_says_why() {
    let (missing, wrong) = ("not_a_websocket", "unknown_subprotocol");
    beside_a_healthy_one("", async |server| {
        for (changed, status, code) in [
            (("connection", "close"), 400, missing),
            (("upgrade", "h2c"), 400, missing),
            (("sec-websocket-version", ""), 400, missing),
            (("sec-websocket-version", "8"), 426, missing),
            (("sec-websocket-version", "thirteen"), 426, missing),
            (("sec-websocket-key", ""), 400, missing),
            (("sec-websocket-protocol", "cortado.v9+json"), 400, wrong),
            (("sec-websocket-protocol", "soap, wamp"), 400, wrong),
            (("origin", "http://evil.test"), 403, "wrong_origin"),
            (("host", "evil.test"), 421, "unknown_host"),
        ] {
            let mut raw = Raw::connect(server.address).await;
            let (answer, head, problem) = raw.shake_hands(&[changed]).await;
            assert_eq!((answer, &problem["code"]), (status, &json!(code)), "{changed:?}: {head}");
            if status == 426 {
                assert!(head.contains("\r\nsec-websocket-version: 13\r\n"), "{head}");
                assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
            }
        }
        for offer in ["cortado.v1+json", "other, cortado.v1+json"] {
            let mut raw = Raw::connect(server.address).await;
            let (status, head, _) = raw.shake_hands(&[("sec-websocket-protocol", offer)]).await;
            assert_eq!(status, 101, "{head}");
            assert!(head.contains("\r\nsec-websocket-protocol: cortado.v1+json\r\n"), "{head}");
        }
        // None of these is an HTTP request.
        for nonsense in [&b"\x16\x03\x01\x02\x00\x01\x00"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n"]
        {
            let mut raw = Raw::connect(server.address).await;
            raw.say(nonsense).await;
            while raw.read().await {}
            let said = String::from_utf8_lossy(&raw.buffer).into_owned();
            assert!(said.is_empty() || said.starts_with("HTTP/1.1 400"), "{said}");
        }
    })
    .await;
}
