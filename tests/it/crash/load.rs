//! The load of a server that is about to die, and what clients know from its responses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Sort;
use crate::support::Client;

/// Jobs whose final event a subscriber has received.
pub type Ended = watch::Receiver<BTreeSet<String>>;

/// Submissions by idempotency key. The test generates a key even for jobs that it sends without one.
#[derive(Default)]
pub struct History {
    /// The ids of jobs whose submission was answered.
    pub acknowledged: BTreeMap<String, String>,
    /// Submissions without an answer because the server died: each has created one job or none.
    pub unknown: BTreeMap<String, Value>,
    /// The number of submitted jobs, counting repeated submissions each time.
    pub sent: usize,
}

impl History {
    fn next(&mut self, batch: usize, sort: Sort, random: &mut Rng) -> BTreeMap<String, Value> {
        let mut jobs = BTreeMap::new();
        for _ in 0..batch {
            self.sent += 1;
            let key = format!("key-{:08}", self.sent);
            jobs.insert(key.clone(), any_job(sort, random, &key));
        }
        if sort != Sort::Keyless {
            self.unknown.extend(jobs.clone());
        }
        jobs
    }

    fn acknowledge(&mut self, key: String, id: String) {
        self.unknown.remove(&key);
        self.acknowledged.insert(key, id);
    }
}

/// Starts tasks that submit jobs until the server is gone.
pub fn submitters(
    client: &Client,
    history: &Arc<Mutex<History>>,
    sort: Sort,
    ended: &Ended,
    random: &mut Rng,
) -> JoinSet<()> {
    let mut submitters = JoinSet::new();
    for batch in [1, 1, 1, 8] {
        let (client, history, ended) = (client.clone(), history.clone(), ended.clone());
        submitters.spawn(submit(client, history, sort, ended, random.fork(), batch));
    }
    submitters
}

/// Submits `batch` jobs at a time until the server is gone, and records each answer. With a small retention it waits
/// until a subscriber has received the end of these jobs before it submits more, so that the subscriber is never far
/// behind.
async fn submit(
    client: Client,
    history: Arc<Mutex<History>>,
    sort: Sort,
    mut ended: Ended,
    mut random: Rng,
    batch: usize,
) {
    loop {
        let jobs = history.lock().unwrap().next(batch, sort, &mut random);
        let mut body: Vec<&Value> = jobs.values().collect();
        let body = if batch == 1 { json!(body.remove(0)) } else { json!(body) };
        let Ok((status, answer)) = client.try_send(Method::POST, "/api/v1/jobs", Some(&body)).await
        else {
            return;
        };
        assert_eq!(status, 202, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let rows = match answer["jobs"].as_array() {
            Some(rows) => rows.clone(),
            None => vec![answer],
        };
        let mut to_end = Vec::new();
        for (row, (key, job)) in rows.iter().zip(jobs) {
            assert_eq!(row["idempotency_key"], job["idempotency_key"]);
            let id = row["id"].as_str().unwrap().to_owned();
            to_end.extend(Some(id.clone()).filter(|_| job.get("delay_ms").is_none()));
            history.lock().unwrap().acknowledge(key, id);
        }
        if sort != Sort::Whole {
            let all = ended.wait_for(|ended| to_end.iter().all(|id| ended.contains(id)));
            if all.await.is_err() {
                return; // the subscriber has lost the server
            }
        }
    }
}

fn any_job(sort: Sort, random: &mut Rng, key: &str) -> Value {
    let kind = random.u8(0..10);
    let mut it = match kind {
        0..6 => job("echo", json!({ "number": random.u32(..) }), key),
        6 => job("fail", json!({ "times": random.u8(1..3) }), key),
        7 | 8 => job("sleep", json!({ "ms": random.u16(1..400) }), key),
        _ => job("sleep", json!({ "ms": random.u16(1..400), "progress": true }), key),
    };
    match sort {
        Sort::Whole => return it,
        // This job stays scheduled for longer than the test runs, so the store must copy it forward.
        Sort::Tight | Sort::Keyless if kind >= 8 => it["delay_ms"] = json!(86_400_000),
        Sort::Tight | Sort::Keyless if kind == 7 => it["payload"] = json!({ "ms": 5 }),
        Sort::Tight | Sort::Keyless => {}
    }
    if sort == Sort::Keyless {
        it.as_object_mut().unwrap().remove("idempotency_key");
    }
    it
}

pub fn job(kind: &str, payload: Value, key: &str) -> Value {
    json!({
        "kind": kind,
        "payload": payload,
        "idempotency_key": key,
        "max_attempts": 1_000,
        "backoff": { "base_ms": 10, "cap_ms": 20 },
    })
}
