//! Reads of jobs with large payloads: each examines only a few of them, and a client that continues at the cursor of
//! the answer receives everything, once and in order.

use std::collections::BTreeSet;

use serde_json::Value;

use super::support::{Server, Setup, store_with, within};
use crate::job::Cursor;
use crate::store::StoreLimits;

const JOBS: usize = 60;
const PAYLOAD: usize = 3_000;
/// The number of jobs that one read examines.
const AT_ONCE: usize = 2;

async fn with_large_jobs() -> (Server, String) {
    let store = store_with(StoreLimits { read_bytes: 8_000, ..StoreLimits::default() });
    let server = Server::with(Setup { store, ..Setup::default() }).await;
    let payload = format!(r#","payload":"{}""#, "x".repeat(PAYLOAD));
    for _ in 0..JOBS {
        server.job(&payload).await;
    }
    let start = Cursor { seq: 0, ..server.engine.head() };
    (server, start.to_string())
}

fn seqs(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().unwrap();
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_subscriber_that_is_behind_gets_all_large_jobs_in_order_over_every_transport() {
    let (server, start) = with_large_jobs().await;
    let all: Vec<u64> = (1..=JOBS as u64).collect();
    let mut stream = server.sse(&format!("?after={start}")).await;
    assert_eq!(stream.seqs(JOBS).await, all);
    let mut first = server.socket(&format!("?after={start}")).await;
    let mut second = server.socket(&format!("?after={}", start.replace(":0", ":7"))).await;
    let (first, second) = tokio::join!(first.seqs(JOBS), second.seqs(JOBS - 7));
    assert_eq!((first, second), (all.clone(), all[7..].to_vec()));

    let head = server.engine.head().to_string();
    for (filter, expected) in [("", &all[..]), ("&type=job.enq*", &all), ("&type=job.deleted", &[])]
    {
        let (mut after, mut seen, mut polls) = (start.clone(), Vec::new(), 0);
        while after != head {
            let path = format!("/api/v1/events?after={after}&limit=1000{filter}");
            let answer = server.get(&path).await.json();
            assert!(seqs(&answer).len() <= 4 * AT_ONCE, "{answer}");
            let next = answer["cursor"].as_str().unwrap().to_owned();
            assert!(next != after, "the cursor advances: {answer}");
            seen.extend(seqs(&answer));
            (after, polls) = (next, polls + 1);
        }
        assert_eq!(seen, expected, "{filter}");
        assert!(polls >= JOBS / (4 * AT_ONCE), "{polls} polls");
    }
    // It has examined enough, so it does not wait either.
    let path = format!("/api/v1/events?after={start}&type=job.deleted&wait=1h");
    let answer = server.get(&path).await.json();
    assert!(seqs(&answer).is_empty() && answer["cursor"] != *head, "{answer}");
}

#[tokio::test]
async fn a_list_of_large_jobs_has_few_rows_and_a_next_page() {
    let (server, _) = with_large_jobs().await;
    for search in ["", "&q=xxxx", "&state=scheduled"] {
        let (mut ids, mut next) = (BTreeSet::new(), String::new());
        loop {
            let page = server.get(&format!("/api/v1/jobs?limit=500{search}{next}")).await.json();
            let rows = page["jobs"].as_array().unwrap();
            assert!((1..=AT_ONCE).contains(&rows.len()), "{page}");
            ids.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            let Some(more) = page["next"].as_str() else { break };
            next = format!("&after={more}");
        }
        assert_eq!(ids.len(), JOBS, "{search}");
    }
}

#[tokio::test]
async fn nothing_that_waits_for_subscribers_holds_a_payload() {
    let (server, _) = with_large_jobs().await;
    let mut live = server.engine.live();
    server.job(&format!(r#","payload":"{}""#, "x".repeat(PAYLOAD))).await;
    let batch = within(live.recv()).await.unwrap();
    assert!(batch.events.iter().all(|event| event.bytes() < PAYLOAD), "{batch:?}");
}
