//! Workers in three languages and their server, killed at random moments: no acknowledged job is lost, no lease ends an
//! attempt twice, and what the workers have done and were told agrees with the log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::running_worker::{Language, RunningWorker};
use super::worker_effects::{Attempts, Effects};
use crate::support::process::lasting_address;
use crate::support::{Client, Dir, Fold, Server, eventually, tools};

/// The most jobs that a round submits, in batches.
const BATCHES: usize = 8;
const BATCH: usize = 5;

/// Submissions by idempotency key.
#[derive(Default)]
struct Submissions {
    /// The ids of jobs whose submission was answered.
    acknowledged: BTreeMap<String, String>,
    /// Submissions without an answer: each has created one job or none.
    unknown: BTreeMap<String, Value>,
    sent: usize,
}

impl Submissions {
    fn next_batch(&mut self, random: &mut Rng) -> Vec<(String, Value)> {
        let job = |_| {
            self.sent += 1;
            let key = format!("key-{:06}", self.sent);
            let ms = if random.u8(0..8) == 0 { random.u32(200..600) } else { random.u32(0..30) };
            let fails = if random.u8(0..8) == 0 { random.u8(1..3) } else { 0 };
            let job = json!({
                "kind": "work",
                "payload": { "ms": ms, "fails": fails },
                "idempotency_key": key,
                "max_attempts": 1_000,
                "backoff": { "base_ms": 10, "cap_ms": 20 },
            });
            (key, job)
        };
        (0..BATCH).map(job).collect()
    }

    /// Submits jobs, until the server is gone.
    async fn submit(&mut self, client: &Client, random: &mut Rng) {
        for _ in 0..BATCHES {
            let batch = self.next_batch(random);
            self.unknown.extend(batch.iter().cloned());
            let body: Vec<&Value> = batch.iter().map(|(_, job)| job).collect();
            let sent = client.try_send(Method::POST, "/api/v1/jobs", Some(&json!(body))).await;
            let Ok((status, answer)) = sent else { return };
            if status == 503 {
                return; // the server is stopping
            }
            assert_eq!(status, 202, "{answer}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            for (row, (key, _)) in answer["jobs"].as_array().unwrap().iter().zip(batch) {
                self.unknown.remove(&key);
                self.acknowledged.insert(key, row["id"].as_str().unwrap().to_owned());
            }
            sleep(Duration::from_millis(random.u64(0..40))).await; // spreads the load over the round
        }
    }

    /// Submits again what was not answered.
    async fn repeat_unknown(&mut self, client: &Client) {
        for (key, job) in std::mem::take(&mut self.unknown) {
            let id = client.submit(&job).await;
            self.acknowledged.insert(key, id);
        }
    }
}

/// A signal for the server, or for the worker at an index.
struct Strike {
    after: Duration,
    worker: Option<usize>,
    signal: Signal,
}

impl Strike {
    /// Some signals of one round: for the server in half of the rounds, and for a third of the workers.
    fn any(random: &mut Rng) -> Vec<Strike> {
        let targets = [None, Some(0), Some(1), Some(2)];
        let mut strikes = Vec::new();
        for worker in targets {
            let rarely = if worker.is_none() { 2 } else { 3 };
            if random.u8(0..rarely) == 0 {
                let after = Duration::from_millis(random.u64(0..250));
                let signal = if random.u8(0..4) == 0 { Signal::SIGTERM } else { Signal::SIGKILL };
                strikes.push(Strike { after, worker, signal });
            }
        }
        random.shuffle(&mut strikes);
        strikes
    }
}

const LANGUAGES: [Language; 3] = [Language::Rust, Language::Node, Language::Python];

/// One directory with its processes.
struct Life {
    dir: Dir,
    files: PathBuf,
    address: SocketAddr,
    random: Rng,
    server: Server,
    workers: Vec<RunningWorker>,
    /// Workers that were asked to stop.
    leaving: Vec<RunningWorker>,
    started: u32,
    submissions: Submissions,
    kills: u32,
}

impl Life {
    async fn start(random: Rng) -> Life {
        let (dir, address) = (Dir::new(), lasting_address());
        let files = dir.data().with_file_name("files");
        std::fs::create_dir(&files).unwrap();
        let server = start_server(&dir, address).await;
        let (workers, leaving, submissions) = Default::default();
        let mut life = Life {
            dir,
            files,
            address,
            random,
            server,
            workers,
            leaving,
            started: 0,
            submissions,
            kills: 0,
        };
        life.workers = LANGUAGES.map(|language| life.start_worker(language)).into();
        life
    }

    fn start_worker(&mut self, language: Language) -> RunningWorker {
        self.started += 1;
        RunningWorker::start(language, self.started, self.address, &self.files)
    }

    /// Waits until the server knows every worker.
    async fn all_are_connected(&self) {
        eventually("three workers", || async {
            let list = self.server.client.get("/api/v1/workers").await;
            let names: BTreeSet<&str> =
                list["workers"].as_array()?.iter().filter_map(|it| it["name"].as_str()).collect();
            self.workers.iter().all(|worker| names.contains(&*worker.name)).then_some(())
        })
        .await;
    }

    /// Puts everything under load, strikes, and replaces what has died.
    async fn round(&mut self) {
        self.all_are_connected().await;
        let strikes = Strike::any(&mut self.random);
        let Life { submissions, random, server, workers, .. } = self;
        let strike = async {
            for strike in &strikes {
                sleep(strike.after).await;
                let process = strike.worker.map_or(&server.process, |n| &workers[n].process);
                process.signal(strike.signal);
            }
        };
        tokio::join!(submissions.submit(&server.client, random), strike);
        for Strike { worker, signal, .. } in strikes {
            self.kills += 1;
            match worker {
                None => {
                    self.server.process.exit().await;
                    self.verify().await;
                    self.server = start_server(&self.dir, self.address).await;
                }
                Some(n) => {
                    let next = self.start_worker(self.workers[n].language);
                    let mut gone = std::mem::replace(&mut self.workers[n], next);
                    if signal == Signal::SIGKILL {
                        gone.process.exit().await;
                    } else {
                        self.leaving.push(gone);
                    }
                }
            }
        }
        self.submissions.repeat_unknown(&self.server.client).await;
    }

    /// Verifies the directory as the dead server left it.
    async fn verify(&self) {
        let data = self.dir.data();
        let verified = move || cortado::internal::store::data_dir::verify(&data);
        let report = tokio::task::spawn_blocking(verified).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }

    /// Waits until all jobs have ended, stops the workers, and compares everything with the log.
    async fn end(mut self) {
        let client = self.server.client.clone();
        eventually("every job completed", || async {
            let states = client.get("/api/v1/stats").await["states"].clone();
            let waits = ["available", "running", "retryable", "scheduled"];
            waits.iter().all(|state| states[state] == 0).then_some(())
        })
        .await;
        for worker in self.workers.drain(..) {
            worker.process.signal(Signal::SIGTERM);
            self.leaving.push(worker);
        }
        for mut worker in self.leaving.drain(..) {
            let status = worker.process.exit().await;
            // One that has only just begun to start does not obey yet.
            let is_early = status.code().is_none();
            assert!(is_early || status.success(), "{}: {status}", worker.name);
        }
        let log = client.log().await;
        let fold = Fold::of(&log);
        let ids: BTreeSet<&String> = self.submissions.acknowledged.values().collect();
        assert_eq!(ids.len(), self.submissions.acknowledged.len(), "two keys have one job");
        for id in &ids {
            let job = &fold.jobs[*id];
            assert!(job.state == "completed" && job.completed == 1, "{id}: {job:?}");
        }
        assert_eq!(fold.jobs.len(), ids.len(), "there are jobs that were never submitted");
        let effects = Effects::read(&self.files);
        let attempts = Attempts::of(&log);
        effects.assert_agree(&attempts);
        let mut by_language: BTreeMap<String, u32> = BTreeMap::new();
        for id in ids {
            let result = client.job(id).await["result"].as_str().unwrap().to_owned();
            let begun = effects.begun.get(&result);
            let last = attempts.completed[id];
            assert_eq!(begun, Some(&(id.clone(), last)), "{id} has the result {result}");
            *by_language.entry(result.split('-').next().unwrap().to_owned()).or_default() += 1;
        }
        let rescued = log.iter().filter(|event| event.kind == "job.rescued").count();
        println!(
            "{} signals, {} jobs, completed by {by_language:?}, {} confirmed ends, {rescued} rescued",
            self.kills,
            fold.jobs.len(),
            effects.confirmed.values().sum::<usize>()
        );
        assert_eq!(by_language.len(), LANGUAGES.len(), "a worker did nothing: {by_language:?}");
        assert_eq!(effects.told.len(), LANGUAGES.len(), "only {:?} were told", effects.told);
        self.server.stop().await;
    }
}

async fn start_server(dir: &Dir, address: SocketAddr) -> Server {
    let config = dir.config("[kinds.work]\n");
    let args = ["--log", "warn", "--grace", "5s", "--config", &config];
    Server::start_on(address, &dir.data(), &args).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_in_three_languages_and_their_server_are_killed_at_random_moments() {
    tools::assert_there();
    let number = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    // A tenth of the rounds of the jobs, because each begins when all workers are connected.
    let rounds = (number("CORTADO_CRASH_ROUNDS", 100) / 10).max(1);
    let seed = number("CORTADO_CRASH_SEED", fastrand::u64(..));
    println!("CORTADO_CRASH_SEED={seed}"); // shown when the test fails
    let mut life = Life::start(Rng::with_seed(seed)).await;
    for _ in 0..rounds {
        life.round().await;
    }
    life.all_are_connected().await;
    life.end().await;
}
