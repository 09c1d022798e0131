//! The cases of the Autobahn test suite for WebSocket servers (RFC 6455), as far as they apply to a server that accepts only
//! text and negotiates no extensions, with smaller limits. The numbers are those of the suite.

use std::time::Duration;

use super::raw::{Raw, Received, close, frame};
use super::support::{Server, Setup};
use crate::http::HttpLimits;

const TEXT: u8 = 0x81;
const FIRST: u8 = 0x01;
const MIDDLE: u8 = 0x00;
const LAST: u8 = 0x80;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// One step of a case.
#[derive(Clone, Debug)]
enum Step {
    /// The client sends bytes.
    Send(Vec<u8>),
    /// The server answers a text with a text, which contains this.
    Reply(String),
    /// The server answers a ping.
    Pong(Vec<u8>),
    /// The server closes with this code, and then the connection.
    Close(Option<u16>),
}

use Step::{Close, Pong, Reply, Send};

struct Case(&'static str, Vec<Step>);

fn send(first: u8, payload: &[u8]) -> Step {
    Send(frame(first, payload))
}

/// A message whose answer contains `id`.
fn subscribe(id: &str) -> String {
    serde_json::json!({ "type": "subscribe", "id": id }).to_string()
}

fn answered(id: &str) -> Step {
    Reply(serde_json::json!(id).to_string())
}

/// Any answer.
fn reply() -> Step {
    Reply(String::new())
}

fn framing() -> Vec<Case> {
    let text = |length: usize| vec![send(TEXT, &vec![b'*'; length]), reply()];
    vec![
        Case("1.1.1", text(0)),
        Case("1.1.2", text(125)),
        Case("1.1.3", text(126)),
        Case("1.1.4", text(127)),
        Case("1.1.6", text(65_535)),
        Case("1.1.7", text(65_536)),
        Case("1.2.1: binary", vec![send(0x82, b""), Close(Some(1003))]),
        Case("1.2.2: binary", vec![send(0x82, &[0xfe; 125]), Close(Some(1003))]),
    ]
}

fn pings() -> Vec<Case> {
    let ping = |payload: &[u8]| vec![send(PING, payload), Pong(payload.to_vec())];
    let many: Vec<u8> = (0..10).flat_map(|n| frame(PING, &[n])).collect();
    let mut pipelined = vec![Send(many)];
    pipelined.extend((0..10).map(|n| Pong(vec![n])));
    vec![
        Case("2.1", ping(b"")),
        Case("2.2", ping(b"Hello, world!")),
        Case("2.3", ping(&[0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0, 0xff])),
        Case("2.4", ping(&[0xfe; 125])),
        Case("2.5", vec![send(PING, &[0xfe; 126]), Close(Some(1002))]),
        Case("2.7", vec![send(PONG, b"")]),
        Case("2.8", vec![send(PONG, b"unsolicited")]),
        Case("2.9", [vec![send(PONG, b"unsolicited")], ping(b"ping")].concat()),
        Case("2.10", pipelined),
    ]
}

fn reserved() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in (1..8).map(|bits: u8| bits << 4) {
        cases.push(Case("3.1 to 3.4", vec![send(TEXT | bits, b"{}"), Close(Some(1002))]));
        cases.push(Case("3.5", vec![send(0x82 | bits, b"{}"), Close(Some(1002))]));
        cases.push(Case("3.6", vec![send(PING | bits, b"{}"), Close(Some(1002))]));
        cases.push(Case("3.7", vec![send(0x88 | bits, b"\x03\xe8"), Close(Some(1002))]));
        let after_text =
            vec![send(TEXT, b"{}"), reply(), send(TEXT | bits, b"{}"), Close(Some(1002))];
        cases.push(Case("3.2: after a text", after_text));
    }
    for opcode in (3..=7).chain(0xb..=0xf) {
        cases.push(Case("4.1.1, 4.2.1", vec![send(0x80 | opcode, b""), Close(Some(1002))]));
        cases.push(Case("4.1.2, 4.2.2", vec![send(0x80 | opcode, b"x"), Close(Some(1002))]));
        let after_text = vec![send(TEXT, b"{}"), reply(), send(opcode, b"x"), Close(Some(1002))];
        cases.push(Case("4.1.3, 4.2.3", after_text));
    }
    cases
}

fn fragments() -> Vec<Case> {
    let text = subscribe("in pieces");
    let (one, two) = text.as_bytes().split_at(9);
    let lone = |first: u8| vec![send(first, b"x"), Close(Some(1002))];
    let whole = vec![send(FIRST, one), send(LAST, two), answered("in pieces")];
    let with_pings = vec![
        send(FIRST, one),
        send(PING, b"1"),
        Pong(b"1".into()),
        send(MIDDLE, b""),
        send(PING, b"2"),
        Pong(b"2".into()),
        send(LAST, two),
        answered("in pieces"),
    ];
    let at_once = [frame(FIRST, one), frame(PING, b"1"), frame(LAST, two)].concat();
    vec![
        Case("5.1", vec![send(0x09, b"fragment"), Close(Some(1002))]),
        Case("5.2", vec![send(0x0a, b"fragment"), Close(Some(1002))]),
        Case("5.3 to 5.5", whole.clone()),
        Case("5.6", with_pings.clone()),
        Case("5.7", vec![Send(at_once), Pong(b"1".into()), answered("in pieces")]),
        Case("5.9", lone(LAST)),
        Case("5.10, after a text", [vec![send(TEXT, b"{}"), reply()], lone(LAST)].concat()),
        Case("5.12", lone(MIDDLE)),
        Case("5.13", [vec![send(TEXT, b"{}"), reply()], lone(MIDDLE)].concat()),
        Case("5.15", [whole, lone(MIDDLE)].concat()),
        Case("5.18", vec![send(FIRST, b"x"), send(TEXT, b"y"), Close(Some(1002))]),
        Case("5.18: binary", vec![send(FIRST, b"x"), send(0x82, b"y"), Close(Some(1002))]),
        Case("5.19, 5.20", [with_pings.clone(), with_pings].concat()),
    ]
}

/// Sequences that are UTF-8: 6.5 to 6.23 of the suite.
const VALID: [&str; 12] = [
    "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!",
    "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}",
    "\u{0}",
    "\u{80}",
    "\u{800}",
    "\u{10000}",
    "\u{7f}",
    "\u{7ff}",
    "\u{ffff}",
    "\u{10ffff}",
    "\u{d7ff}\u{e000}\u{fffd}",
    "\u{fffe}\u{1fffe}\u{10fffe}",
];

/// Sequences that are not UTF-8.
const INVALID: [&[u8]; 22] = [
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80",
    b"\xc0 \xc1 \xdf ",
    b"\xe0 \xef ",
    b"\xf0 \xf7 ",
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xef\xbf",
    b"\xfe",
    b"\xff",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xed\xa0\x80",
    b"\xed\xaf\xbf\xed\xbf\xbf",
];

fn utf8() -> Vec<Case> {
    let mut cases = vec![
        Case("6.1.1", vec![send(TEXT, b""), reply()]),
        Case("6.1.2", vec![send(FIRST, b""), send(MIDDLE, b""), send(LAST, b""), reply()]),
        Case("6.1.3", vec![send(FIRST, b""), send(MIDDLE, b"x"), send(LAST, b""), reply()]),
    ];
    for text in VALID {
        let message = subscribe(text);
        cases.push(Case("6.2.1", vec![send(TEXT, message.as_bytes()), answered(text)]));
        let bytes = message.as_bytes();
        let mut pieces = vec![send(FIRST, b"")];
        pieces.extend(bytes.iter().map(|byte| send(MIDDLE, &[*byte])));
        pieces.extend([send(LAST, b""), answered(text)]);
        cases.push(Case("6.2.3", pieces));
    }
    for bytes in INVALID {
        let text = [b"\xce\xba\xe1\xbd\xb9", bytes].concat();
        cases.push(Case("6.3.1", vec![send(TEXT, &text), Close(Some(1007))]));
        // The incomplete ones are complete in the next frame, which is not a continuation byte.
        let pieces = vec![send(FIRST, &text), send(LAST, b"edited"), Close(Some(1007))];
        cases.push(Case("6.3.2", pieces));
    }
    // The connection is closed at the first invalid byte, whatever is still to come.
    let begin = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
    let whole = frame(TEXT, &[&begin[..], b"\xf4\x90\x80\x80edited"].concat());
    let cut = whole.len() - b"\x80\x80edited".len();
    cases.extend([
        Case(
            "6.4.1",
            vec![send(FIRST, begin), send(MIDDLE, b"\xf4\x90\x80\x80"), Close(Some(1007))],
        ),
        Case(
            "6.4.2",
            vec![
                send(FIRST, &[&begin[..], b"\xf4"].concat()),
                send(PING, b""),
                Pong(Vec::new()),
                send(MIDDLE, b"\x90"),
                Close(Some(1007)),
            ],
        ),
        Case("6.4.3", vec![Send(whole[..cut].to_vec()), Close(Some(1007))]),
        Case(
            "6.4.4",
            vec![
                Send(whole[..cut - 1].to_vec()),
                Send(whole[cut - 1..cut].to_vec()),
                Close(Some(1007)),
            ],
        ),
    ]);
    cases
}

fn closes() -> Vec<Case> {
    let reason = |length: usize| [&1000_u16.to_be_bytes()[..], &vec![b'*'; length]].concat();
    let twice = [close(1000), close(1000)].concat();
    let long_first = [frame(TEXT, &[b'*'; 60_000]), close(1000), frame(PING, b"late")].concat();
    let then = |after: Vec<u8>| vec![Send([close(1000), after].concat()), Close(Some(1000))];
    let mut cases = vec![
        Case("7.1.1", vec![send(TEXT, b"{}"), reply(), Send(close(1000)), Close(Some(1000))]),
        Case("7.1.2", vec![Send(twice), Close(Some(1000))]),
        Case("7.1.3", then(frame(PING, b"late"))),
        Case("7.1.4", then(frame(TEXT, b"late"))),
        Case("7.1.5", vec![send(FIRST, b"half"), Send(close(1000)), Close(Some(1000))]),
        Case("7.1.6", vec![Send(long_first), reply(), Close(Some(1000))]),
        Case("7.3.1", vec![send(0x88, b""), Close(None)]),
        Case("7.3.2", vec![send(0x88, b"\x03"), Close(Some(1002))]),
        Case("7.3.3", vec![Send(close(1000)), Close(Some(1000))]),
        Case("7.3.4", vec![send(0x88, &reason(11)), Close(Some(1000))]),
        Case("7.3.5", vec![send(0x88, &reason(123)), Close(Some(1000))]),
        Case("7.3.6", vec![send(0x88, &reason(124)), Close(Some(1002))]),
        Case("7.5.1", vec![send(0x88, b"\x03\xe8\xce\xba\xff"), Close(Some(1007))]),
        Case("7.5.1: fragmented", vec![send(0x08, b"\x03\xe8"), Close(Some(1002))]),
    ];
    let valid = (1000..=1003).chain(1007..=1011).chain([3000, 3999, 4000, 4999]);
    cases.extend(valid.map(|code| Case("7.7", vec![Send(close(code)), Close(Some(code))])));
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(Case("7.9, 7.13", vec![Send(close(code)), Close(Some(1002))]));
    }
    cases
}

/// The longest message of this server.
const LIMIT: usize = 70_000;

fn limits() -> Vec<Case> {
    let long = vec![b'*'; LIMIT];
    let in_pieces = |size: usize| {
        let pieces: Vec<&[u8]> = long.chunks(size).collect();
        let last = pieces.len() - 1;
        let first_byte = |at| match at {
            0 => FIRST,
            at if at == last => LAST,
            _ => MIDDLE,
        };
        let frames = pieces.iter().enumerate().map(|(at, piece)| frame(first_byte(at), piece));
        vec![Send(frames.collect::<Vec<_>>().concat()), reply()]
    };
    let chopped = |size: usize| {
        let whole = frame(TEXT, &long);
        let mut steps: Vec<Step> = whole.chunks(size).map(|part| Send(part.to_vec())).collect();
        steps.push(reply());
        steps
    };
    let one_more = [&long[..], b"*"].concat();
    vec![
        Case("9.1", vec![send(TEXT, &long), reply()]),
        Case("9.3: pieces of 64", in_pieces(64)),
        Case("9.3: pieces of 4096", in_pieces(4_096)),
        Case("9.5: chops of 64", chopped(64)),
        Case("9.5: chops of 2048", chopped(2_048)),
        Case("above the limit", vec![send(TEXT, &one_more), Close(Some(1009))]),
        Case(
            "above the limit in pieces",
            vec![send(FIRST, &long), send(LAST, b"*"), Close(Some(1009))],
        ),
    ]
}

async fn run(server: &Server, case: &Case, in_bytes: bool) {
    let Case(number, steps) = case;
    let mut raw = Raw::websocket(server.address).await;
    let mut is_closed = false;
    for (at, step) in steps.iter().enumerate() {
        let what = format!("{number}, step {at}, in single bytes: {in_bytes}");
        match step {
            Send(bytes) if in_bytes => raw.send_each(bytes).await,
            Send(bytes) => raw.send(bytes).await,
            Reply(part) => match raw.receive().await {
                Received::Text(text) => assert!(text.contains(part.as_str()), "{what}: {text}"),
                other => panic!("{what}: {other:?}"),
            },
            Pong(payload) => {
                assert_eq!(raw.receive().await, Received::Pong(payload.clone()), "{what}")
            }
            Close(code) => {
                assert_eq!(raw.last_frame().await, Received::Close(*code), "{what}");
                is_closed = true;
            }
        }
    }
    if !is_closed {
        raw.send(&close(1000)).await;
        assert_eq!(raw.receive().await, Received::Close(Some(1000)), "{number} leaves it usable");
    }
    assert_eq!(raw.receive().await, Received::End, "{number}: nothing follows the close frame");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cases_of_autobahn_end_as_rfc_6455_says() {
    let limits_of_server = HttpLimits {
        socket_message: LIMIT,
        socket_rate: 1_000_000,
        subscribers_per_address: 10_000,
        subscriber_mark: Duration::from_secs(3_600),
        socket_ping: Duration::from_secs(3_600),
        ..HttpLimits::default()
    };
    let server = Server::with(Setup { limits: limits_of_server, ..Setup::default() }).await;
    let groups = [framing(), pings(), reserved(), fragments(), utf8(), closes(), limits()];
    for case in groups.iter().flatten() {
        run(&server, case, false).await;
        let bytes = case.1.iter().map(|step| if let Send(bytes) = step { bytes.len() } else { 0 });
        // The result is the same when the network delivers single bytes (2.6, 2.11, 5.5 and 5.8 of the suite).
        if bytes.sum::<usize>() < 500 {
            run(&server, case, true).await;
        }
    }
}
