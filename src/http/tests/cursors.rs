//! Where a stream begins: one table of cursors for all transports, with the same answers, codes and words.

use std::time::Duration;

use serde_json::{Value, json};

use super::raw::Raw;
use super::support::{Server, Setup, store_with};
use crate::job::{Cursor, Epoch};
use crate::store::{self, Store as _};

/// What the stream does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Begins {
    /// The gap, if any, as its ends, and the number of the first event.
    After { gap: Option<(String, String)>, first: u64 },
    /// The status, the code and the detail of the refusal.
    Refused { status: u16, code: String, detail: String },
}

/// What the table expects.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// The next event is the first.
    Now,
    /// The event after this one is the first.
    After(u64),
    /// A gap from this cursor to the beginning of the log.
    Gap(Cursor),
    /// 400 with these words.
    Refused(&'static str),
}

use Expected::{After, Gap, Now, Refused};

const MALFORMED: &str = "is not a cursor: use one that the server gave";

fn refused(status: u16, body: &str) -> Begins {
    let document: Value = serde_json::from_str(body).unwrap();
    let text = |field: &str| document[field].as_str().unwrap().to_owned();
    Begins::Refused { status, code: text("code"), detail: text("detail") }
}

fn ends(gap: &Value) -> Option<(String, String)> {
    let end = |name: &str| gap[name].as_str().map(str::to_owned);
    end("from").zip(end("to"))
}

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn poll(server: &Server, query: &str, headers: Headers<'_>, meanwhile: Meanwhile) -> Begins {
    let answer = server.send("GET", &format!("/api/v1/events?{query}"), headers, "").await;
    if answer.status != 200 {
        return refused(answer.status, &answer.body);
    }
    meanwhile.happens(server).await;
    let (mut answer, mut gap) = (answer.json(), None);
    loop {
        gap = gap.or_else(|| ends(&answer["gap"]));
        if let Some(first) = answer["events"][0]["seq"].as_u64() {
            return Begins::After { gap, first };
        }
        let next = format!("/api/v1/events?after={}", answer["cursor"].as_str().unwrap());
        answer = server.get(&next).await.json();
    }
}

async fn event_stream(
    server: &Server,
    query: &str,
    headers: Headers<'_>,
    meanwhile: Meanwhile,
) -> Begins {
    let headers = [headers, &[("accept", "text/event-stream")]].concat();
    let mut stream = server.open(&format!("/api/v1/events?{query}"), &headers).await;
    if stream.response.status() != 200 {
        let status = stream.response.status().as_u16();
        return refused(status, &stream.response.text().await.unwrap());
    }
    assert_eq!(stream.sent().await.unwrap().event, "hello");
    meanwhile.happens(server).await;
    let mut gap = None;
    loop {
        let sent = stream.sent().await.unwrap();
        match sent.event.as_str() {
            "gap" => gap = gap.or(ends(&sent.data)),
            "message" => {
                return Begins::After { gap, first: sent.data["seq"].as_u64().unwrap() };
            }
            _ => {}
        }
    }
}

async fn websocket(
    server: &Server,
    query: &str,
    headers: Headers<'_>,
    meanwhile: Meanwhile,
) -> Begins {
    let (mut raw, response) = Raw::upgrade(server.address, &format!("?{query}"), headers).await;
    if response.status != 101 {
        return refused(response.status, &response.body);
    }
    let mut gap = None;
    loop {
        let message: Value = serde_json::from_str(&raw.text().await).unwrap();
        match message["type"].as_str().unwrap() {
            "hello" => meanwhile.happens(server).await,
            "gap" => gap = gap.or(ends(&message)),
            "events" => {
                let first = message["events"][0]["seq"].as_u64().unwrap();
                return Begins::After { gap, first };
            }
            _ => {}
        }
    }
}

/// Whether an event follows the beginning of a stream, so that one that begins at the end of the log gets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    OneJob,
    Nothing,
}

impl Meanwhile {
    async fn happens(self, server: &Server) {
        match self {
            Meanwhile::OneJob => drop(server.job("").await),
            Meanwhile::Nothing => {}
        }
    }
}

/// Requests a stream over one of the transports.
async fn begins(
    transport: &str,
    server: &Server,
    query: &str,
    headers: Headers<'_>,
    meanwhile: Meanwhile,
) -> Begins {
    match transport {
        "poll" => poll(server, query, headers, meanwhile).await,
        "event stream" => event_stream(server, query, headers, meanwhile).await,
        _ => websocket(server, query, headers, meanwhile).await,
    }
}

const TRANSPORTS: [&str; 3] = ["poll", "event stream", "websocket"];

/// A server whose log begins after some events, and its store.
async fn server() -> (Server, std::sync::Arc<store::memory::MemoryStore>) {
    let keep = store::Keep { age: Duration::from_secs(3_600), count: 6 };
    let retention = store::Retention { events: keep, ..Default::default() };
    let store = store_with(store::StoreLimits { retention, ..Default::default() });
    let server = Server::with(Setup { store: store.clone(), ..Setup::default() }).await;
    for _ in 0..10 {
        server.job("").await;
    }
    (server, store)
}

#[tokio::test]
async fn every_transport_begins_at_the_same_place_or_refuses_with_the_same_words() {
    let server = Server::start().await;
    for _ in 0..10 {
        server.job("").await;
    }
    let epoch = server.engine.head().epoch;
    let other = Cursor { epoch: Epoch(epoch.0 ^ 1), seq: 3 };
    // Each case gets the head of the log and returns the query, the headers and what is expected.
    type Lines = Vec<(&'static str, String)>;
    type Case = Box<dyn Fn(u64) -> (String, Lines, Expected)>;
    let at = move |seq: u64| Cursor { epoch, seq };
    let after = |text: String| format!("after={}", text.replace('+', "%2B").replace(' ', "%20"));
    let id = |text: String| vec![("last-event-id", text)];
    let mut cases: Vec<Case> = vec![
        Box::new(|_| (String::new(), vec![], Now)),
        Box::new(move |_| (String::new(), id(String::new()), Now)),
        Box::new(|_| ("after=".into(), vec![], Now)),
        Box::new(|_| ("after=%20".into(), vec![], Refused(MALFORMED))),
        Box::new(move |_| ("after=".into(), id(String::new()), Now)),
        Box::new(move |head| ("after=".into(), id(at(head - 1).to_string()), After(head - 1))),
    ];
    // The same cursors as a parameter and as a header.
    type CursorCase = Box<dyn Fn(u64) -> (String, Expected)>;
    let cursors: Vec<CursorCase> = vec![
        Box::new(move |_| (at(0).to_string(), After(0))),
        Box::new(move |head| (at(head - 2).to_string(), After(head - 2))),
        Box::new(move |head| (at(head).to_string(), Now)),
        Box::new(move |head| (at(head + 1).to_string(), Gap(at(head + 1)))),
        Box::new(move |head| (at(head + 1_000).to_string(), Gap(at(head + 1_000)))),
        Box::new(move |_| (at(u64::MAX).to_string(), Gap(at(u64::MAX)))),
        Box::new(move |_| (other.to_string(), Gap(other))),
        Box::new(move |_| {
            let other = Cursor { seq: u64::MAX, ..other };
            (other.to_string(), Gap(other))
        }),
    ];
    for cursor in cursors {
        let cursor = std::rc::Rc::new(cursor);
        let (one, two, three, four) =
            (cursor.clone(), cursor.clone(), cursor.clone(), cursor.clone());
        cases.push(Box::new(move |head| (after(one(head).0), vec![], one(head).1)));
        cases.push(Box::new(move |head| (String::new(), id(two(head).0), two(head).1)));
        // The header comes first, unless it is empty.
        cases.push(Box::new(move |head| {
            (after(at(head).to_string()), id(three(head).0), three(head).1)
        }));
        cases.push(Box::new(move |head| (after(four(head).0), id(String::new()), four(head).1)));
    }
    let bad =
        ["0", "-1", "here", "E", "E:", ":1", "E:-1", "E:+1", "E: 1", "E:1.5", "E:1:2", "+E:1"];
    let bad = bad.into_iter().chain(["xyz:1", "E:18446744073709551616", "100000000:1", "E:0x1"]);
    for text in bad.map(|text| text.replace('E', &format!("{:08x}", epoch.0))) {
        let (one, two, three, four) = (text.clone(), text.clone(), text.clone(), text);
        let wrong = Refused(MALFORMED);
        cases.push(Box::new(move |_| (after(one.clone()), vec![], wrong)));
        cases.push(Box::new(move |_| (String::new(), id(two.clone()), wrong)));
        // Neither hides the other.
        cases.push(Box::new(move |head| (after(at(head).to_string()), id(three.clone()), wrong)));
        cases.push(Box::new(move |head| (after(four.clone()), id(at(head).to_string()), wrong)));
    }
    cases.push(Box::new(move |head| {
        let once = after(at(head).to_string());
        (format!("{once}&{once}"), vec![], Refused("after: occurs more than once"))
    }));
    cases.push(Box::new(move |head| {
        let once = after(at(head).to_string());
        (format!("after=&{once}"), vec![], Refused("after: occurs more than once"))
    }));
    cases.push(Box::new(move |head| {
        let twice = [id(at(head).to_string()), id(at(head).to_string())].concat();
        (String::new(), twice, Refused("last-event-id: occurs more than once"))
    }));

    for case in cases {
        let mut refusals = Vec::new();
        for transport in TRANSPORTS {
            let head = server.engine.head().seq;
            let (query, lines, expected) = case(head);
            let headers: Vec<(&str, &str)> =
                lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let what = format!("{transport}: {query:?} {headers:?}");
            let begins = begins(transport, &server, &query, &headers, Meanwhile::OneJob).await;
            let is = |gap: Option<(String, String)>, first: u64| {
                assert_eq!(begins, Begins::After { gap, first }, "{what}");
            };
            match expected {
                Now => is(None, head + 1),
                After(seq) => is(None, seq + 1),
                Gap(from) => is(Some((from.to_string(), at(0).to_string())), 1),
                Refused(words) => {
                    let Begins::Refused { status, code, detail } = &begins else {
                        panic!("{what}: {begins:?}")
                    };
                    assert_eq!((*status, code.as_str()), (400, "invalid_parameter"), "{what}");
                    assert!(detail.contains(words), "{what}: {detail}");
                    refusals.push(begins);
                }
            }
        }
        assert!(refusals.windows(2).all(|two| two[0] == two[1]), "{refusals:?}");
    }
}

#[tokio::test]
async fn every_transport_has_the_same_gap_where_the_log_was_trimmed() {
    let (server, store) = server().await;
    store.tick().await.unwrap();
    let (head, oldest) = (server.engine.head(), server.engine.stats().await.unwrap().oldest);
    assert_eq!(oldest.seq, 4);
    for seq in [0, 3, 4, 5, head.seq + 1] {
        let from = Cursor { seq, ..head };
        let gap = Some((from.to_string(), oldest.to_string()));
        let gap = gap.filter(|_| seq < 4 || seq > head.seq);
        let first = if gap.is_some() { 5 } else { seq + 1 };
        for transport in TRANSPORTS {
            let query = format!("after={from}");
            let begins = begins(transport, &server, &query, &[], Meanwhile::Nothing).await;
            assert_eq!(begins, Begins::After { gap: gap.clone(), first }, "{transport}: {from}");
        }
    }
}

/// Sends a message, and returns the next answer that is not about events.
async fn ask(raw: &mut Raw, message: &Value) -> Value {
    raw.send(&super::raw::frame(0x81, message.to_string().as_bytes())).await;
    loop {
        let answer: Value = serde_json::from_str(&raw.text().await).unwrap();
        if ["subscribed", "error"].contains(&answer["type"].as_str().unwrap()) {
            return answer;
        }
    }
}

#[tokio::test]
async fn a_subscription_that_is_added_later_has_the_cursor_of_its_connection() {
    let (server, _) = server().await;
    let mut raw = Raw::websocket(server.address).await;
    let head = server.engine.head();
    let here = format!("this connection and all its subscriptions are at {head}");
    let other = Cursor { epoch: Epoch(head.epoch.0 ^ 1), ..head };
    let at = |seq: u64| Cursor { seq, ..head }.to_string();
    for (after, refusal) in [
        (None, None),
        (Some(String::new()), None),
        (Some(head.to_string()), None),
        (Some(at(0)), Some(here.as_str())),
        (Some(at(head.seq - 1)), Some(&here)),
        (Some(at(head.seq + 1)), Some(&here)),
        (Some(at(u64::MAX)), Some(&here)),
        (Some(other.to_string()), Some(&here)),
        (Some("0".into()), Some(MALFORMED)),
        (Some("here".into()), Some(MALFORMED)),
        (Some(format!("{head}x")), Some(MALFORMED)),
        (Some(at(1).replace(":1", ":-1")), Some(MALFORMED)),
        (Some(at(1).replace(":1", ":18446744073709551616")), Some(MALFORMED)),
    ] {
        let message = json!({ "type": "subscribe", "id": "later", "after": after });
        let answer = ask(&mut raw, &message).await;
        match refusal {
            None => assert_eq!(answer["type"], "subscribed", "{after:?}: {answer}"),
            Some(words) => {
                assert_eq!(answer["code"], "invalid_parameter", "{after:?}: {answer}");
                assert!(answer["message"].as_str().unwrap().contains(words), "{answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_socket_that_is_ahead_gets_its_gap_whatever_it_subscribes_to() {
    let (server, _) = server().await;
    let head = server.engine.head();
    let ahead = Cursor { seq: head.seq + 5, ..head };
    for filter in [json!({}), json!({ "queue": "mail" })] {
        let (mut raw, response) =
            Raw::upgrade(server.address, &format!("?queue=none&after={ahead}"), &[]).await;
        assert_eq!(response.status, 101, "{response:?}");
        let subscribe = json!({ "type": "subscribe", "id": "later", "filter": filter });
        raw.send(&super::raw::frame(0x81, subscribe.to_string().as_bytes())).await;
        loop {
            let message: Value = serde_json::from_str(&raw.text().await).unwrap();
            assert_ne!(message["type"], "events", "the gap comes first");
            if message["type"] == "gap" {
                assert_eq!(message["from"], ahead.to_string());
                break;
            }
        }
    }
}
