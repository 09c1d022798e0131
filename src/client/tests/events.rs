//! The event stream: its cursor, gaps, and what happens when the connection is lost.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::fake_server::{FakeServer, within};
use crate::client::{EventFilter, EventTail, TailItem};

const HELLO: &str =
    "retry: 10\nevent: hello\nid: e:5\ndata: {\"type\":\"hello\",\"heartbeat_ms\":10000}\n\n";

fn event(seq: u64) -> String {
    let event = json!({"seq": seq, "type": "job.completed", "job": {"id": "7"}});
    format!("id: e:{seq}\ndata: {event}\n\n")
}

async fn next_event(tail: &mut EventTail) -> u64 {
    match within("an event", tail.next()).await.unwrap() {
        TailItem::Event(event) => {
            assert_eq!(event.event_type, "job.completed");
            assert_eq!(event.parse::<Value>().unwrap()["job"]["id"], "7");
            event.seq
        }
        TailItem::Gap { .. } => panic!("a gap"),
    }
}

#[tokio::test]
async fn a_lost_connection_is_resumed_after_the_last_event() {
    let mut server = FakeServer::start().await;
    let mut tail = server.client().subscribe(EventFilter::all().queue("mail")).after("e:3");
    let serving = async {
        let request = server.request().await;
        assert_eq!(request.path, "/api/v1/events?queue=mail");
        assert_eq!(request.header("last-event-id"), Some("e:3"));
        let mut stream = request.stream(HELLO).await;
        let (six, seven) = (event(6), event(7));
        let (begin, end) = six.split_at(9);
        stream.write_all(begin.as_bytes()).await.unwrap();
        stream.write_all(end.as_bytes()).await.unwrap();
        stream.write_all(seven.as_bytes()).await.unwrap();
        stream
    };
    let reading = async { (next_event(&mut tail).await, tail.cursor().map(str::to_owned)) };
    let ((first, cursor), stream) = tokio::join!(reading, serving);
    // Each event has its own cursor, also when several have arrived.
    assert_eq!((first, cursor.as_deref()), (6, Some("e:6")));
    assert_eq!(next_event(&mut tail).await, 7);
    drop(stream);
    let serving = async {
        let request = server.request().await;
        assert_eq!(request.header("last-event-id"), Some("e:7"));
        request.stream(&event(9)).await
    };
    let (seq, _stream) = tokio::join!(next_event(&mut tail), serving);
    assert_eq!((seq, tail.cursor()), (9, Some("e:9")));
}

#[tokio::test]
async fn a_gap_is_reported_and_marks_only_move_the_cursor() {
    let mut server = FakeServer::start().await;
    let mut tail = server.client().subscribe(EventFilter::all());
    let gap = "event: gap\nid: e:8\ndata: {\"type\":\"gap\",\"from\":\"e:1\",\"to\":\"e:8\"}\n\n";
    let mark = "event: mark\nid: e:9\ndata: {\"type\":\"mark\"}\n\n";
    let text = format!("{HELLO}{gap}{mark}{}", event(10));
    let serving = async {
        let request = server.request().await;
        assert_eq!(request.header("last-event-id"), None);
        request.stream(&text).await
    };
    let (item, _stream) = tokio::join!(tail.next(), serving);
    let TailItem::Gap { from, to } = item.unwrap() else { panic!("no gap") };
    assert_eq!((from.as_str(), to.as_str(), tail.cursor()), ("e:1", "e:8", Some("e:8")));
    assert_eq!(next_event(&mut tail).await, 10);
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_and_a_refusal_is_final() {
    let mut server = FakeServer::start().await;
    let mut tail = server.client().subscribe(EventFilter::all().event_type("jobs.*"));
    let serving = async {
        let busy = json!({"code": "sockets_full", "detail": "full"});
        server.request().await.answer(503, busy).await;
        let refusal = json!({"code": "invalid_parameter", "detail": "type: unknown"});
        server.request().await.answer(400, refusal.clone()).await;
        server.request().await.answer(400, refusal).await;
    };
    let reading = async { (tail.next().await, tail.next().await) };
    let ((first, second), ()) = within("refusals", async { tokio::join!(reading, serving) }).await;
    assert_eq!(first.unwrap_err().code(), "invalid_parameter");
    // It may be asked again after a refusal.
    assert_eq!(second.unwrap_err().code(), "invalid_parameter");
}
