//! Clients that submit jobs to any server of a cluster, and what they know from the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Node;
use super::transcript::Progress;

/// The wait before a submission that was refused is repeated.
const SOON: Duration = Duration::from_millis(20);
/// How many jobs may be unfinished before clients wait.
const MAX_UNFINISHED: usize = 300;

/// What clients know.
#[derive(Debug, Default)]
pub struct Answers {
    /// The ids of accepted jobs, by idempotency key. The test makes keys for jobs that are sent without one, too.
    pub accepted: BTreeMap<String, String>,
    /// The number of jobs without a key whose submission was refused or not answered. Each exists or does not.
    pub unknown: usize,
    /// The number of submissions that were refused or not answered.
    pub repeated: usize,
    /// The number of jobs that were looked up on another server right after they were accepted.
    pub looked_up: usize,
    sent: usize,
}

impl Answers {
    /// The ids of accepted jobs.
    pub fn ids(&self) -> BTreeSet<&String> {
        let ids: BTreeSet<&String> = self.accepted.values().collect();
        assert_eq!(ids.len(), self.accepted.len(), "two keys have one job");
        ids
    }

    fn next_key(&mut self) -> String {
        self.sent += 1;
        format!("key-{:07}", self.sent)
    }
}

/// What a client needs.
#[derive(Clone)]
pub struct ClientContext {
    pub nodes: Vec<Arc<Node>>,
    pub answers: Arc<Mutex<Answers>>,
    pub progress: watch::Receiver<Progress>,
    pub end: watch::Receiver<bool>,
}

/// Starts clients that submit jobs until `end` is true.
pub fn clients(count: usize, context: &ClientContext, random: &mut Rng) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn(context.clone().submit(random.fork()));
    }
    clients
}

impl ClientContext {
    async fn submit(mut self, mut random: Rng) {
        while !*self.end.borrow() {
            let accepted = self.answers.lock().unwrap().accepted.len();
            let few = |progress: &Progress| progress.completed + MAX_UNFINISHED > accepted;
            let few = self.progress.wait_for(few);
            if tokio::time::timeout(Duration::from_millis(200), few).await.is_err() {
                continue; // the test may have ended
            }
            let has_keys = random.u8(0..3) > 0;
            let jobs: BTreeMap<String, Value> = (0..random.usize(1..6))
                .map(|_| {
                    let key = self.answers.lock().unwrap().next_key();
                    let mut job = any_job(&mut random);
                    job["tags"] = json!([key]);
                    if has_keys {
                        job["idempotency_key"] = json!(key);
                    }
                    (key, job)
                })
                .collect();
            self.submit_jobs(jobs, has_keys, &mut random).await;
            sleep(Duration::from_millis(random.u64(0..30))).await; // spreads the load
        }
    }

    /// Submits jobs, to one server after the other until one accepts them if they have keys.
    async fn submit_jobs(&self, jobs: BTreeMap<String, Value>, has_keys: bool, random: &mut Rng) {
        let body = json!(jobs.values().collect::<Vec<_>>());
        loop {
            let node = random.choice(&self.nodes).unwrap();
            match node.client.try_send(Method::POST, "/api/v1/jobs", Some(&body)).await {
                Ok((202, answer)) => {
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    let rows = answer["jobs"].as_array().unwrap();
                    assert_eq!(rows.len(), jobs.len(), "{answer}");
                    let ids: Vec<String> =
                        rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
                    self.answers.lock().unwrap().accepted.extend(jobs.into_keys().zip(ids.clone()));
                    return self.look_up(&ids[0], random).await;
                }
                Ok((503, _)) | Err(_) => {
                    let mut answers = self.answers.lock().unwrap();
                    answers.repeated += 1;
                    if !has_keys {
                        answers.unknown += jobs.len();
                        return;
                    }
                }
                Ok((status, answer)) => panic!("{status}: {answer}"),
            }
            sleep(SOON).await;
        }
    }

    /// Every server shows what one of them has accepted, unless it cannot answer.
    async fn look_up(&self, id: &str, random: &mut Rng) {
        let node = random.choice(&self.nodes).unwrap();
        let path = format!("/api/v1/jobs/{id}");
        match node.client.try_send(Method::GET, &path, None).await {
            Ok((200, _)) => self.answers.lock().unwrap().looked_up += 1,
            Ok((503, _)) | Err(_) => {}
            Ok((status, answer)) => panic!("accepted job {id}: {status}: {answer}"),
        }
    }
}

/// A job for the servers or for the workers. All of them are completed in the end.
fn any_job(random: &mut Rng) -> Value {
    let (kind, payload) = match random.u8(0..10) {
        0..3 => ("echo", json!({ "number": random.u32(..) })),
        3 => ("fail", json!({ "times": random.u8(1..3) })),
        4 => ("sleep", json!({ "ms": random.u16(1..300), "progress": random.bool() })),
        _ => {
            let ms = if random.u8(0..8) == 0 { random.u32(200..600) } else { random.u32(0..30) };
            let fails = if random.u8(0..8) == 0 { random.u8(1..3) } else { 0 };
            ("work", json!({ "ms": ms, "fails": fails }))
        }
    };
    json!({
        "kind": kind,
        "payload": payload,
        "max_attempts": 1_000,
        "backoff": { "base_ms": 10, "cap_ms": 20 },
    })
}
