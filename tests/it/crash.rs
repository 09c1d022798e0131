//! The server under load, killed with SIGKILL at random moments or dying at chosen points of its store,
//! over and over on the same directory: what it has told anybody is true after every restart.
//!
//! `CORTADO_CRASH_ROUNDS=1000` runs more rounds, `CORTADO_CRASH_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Client, Dir, Event, Fold, Server, eventually};

/// Kills of one directory before it is drained, checked as a whole and left.
const KILLS_OF_ONE_LIFE: u32 = 10;
/// Where the store may die; the names are those of `src/store/sled/faults.rs`.
const POINTS: [&str; 6] = ["apply", "after-apply", "after-flush", "sync", "after-sync", "run"];
/// How long a chosen point may take to be reached; then it is a kill as any other.
const PATIENCE: Duration = Duration::from_millis(500);
/// Room for the sleepers, so that the load keeps moving; quiet, because every line is kept.
const ARGS: [&str; 4] = ["--concurrency", "200", "--log", "warn"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_at_random_moments() {
    let number = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let rounds = u32::try_from(number("CORTADO_CRASH_ROUNDS", 100)).unwrap();
    let seed = number("CORTADO_CRASH_SEED", fastrand::u64(..));
    println!("CORTADO_CRASH_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);
    let (mut left, mut rescued, mut jobs, mut died) = (rounds, 0, 0, 0);
    while left > 0 {
        let kills = left.min(KILLS_OF_ONE_LIFE);
        left -= kills;
        let mut life = Life::new(random.fork());
        for _ in 0..kills {
            life.round().await;
        }
        life.end().await;
        rescued += life.fold.rescued;
        died += life.died;
        jobs += life.history.lock().unwrap().acknowledged.len();
    }
    println!(
        "{rounds} rounds, {died} deaths at chosen points, {jobs} acknowledged jobs, {rescued} \
         attempts given back"
    );
    let enough = jobs > rounds as usize && rescued > 0 && died > rounds / 10;
    assert!(enough, "the load was too small to show anything");
}

/// What the world outside knows of one directory.
struct Life {
    dir: Dir,
    random: Rng,
    history: Arc<Mutex<History>>,
    /// The log as read so far, and its fold.
    log: Vec<Event>,
    fold: Fold,
    /// What the subscriber has been told so far.
    told: Vec<Event>,
    /// Rounds in which the store died at a chosen point.
    died: u32,
}

/// Submissions by idempotency key.
#[derive(Default)]
struct History {
    /// Answered: the job's id.
    acknowledged: BTreeMap<String, String>,
    /// Sent, and the server died before the answer: one job or none.
    unknown: BTreeMap<String, Value>,
    keys: u64,
}

impl Life {
    fn new(random: Rng) -> Life {
        let dir = Dir::new();
        let history = Arc::default();
        Life {
            dir,
            random,
            history,
            log: Vec::new(),
            fold: Fold::default(),
            told: Vec::new(),
            died: 0,
        }
    }

    /// Start, check, load, kill.
    async fn round(&mut self) {
        match self.random.u8(0..8) {
            0 => self.kill_while_it_starts().await,
            1 => self.die_while_it_starts().await,
            _ => {}
        }
        if self.random.u8(0..5) < 2 {
            self.load_until_it_dies().await;
        } else {
            self.load_and_kill().await;
        }
        self.verify().await;
    }

    /// Submits to a server that dies at a chosen point. Nothing is asked of it: it may die at once.
    async fn load_until_it_dies(&mut self) {
        let point = POINTS[self.random.usize(0..POINTS.len())];
        let nth = if point == "run" { 1..3 } else { 3..60 };
        let fault = format!("crash:{point}:{}", self.random.u32(nth));
        let process = Server::launch_with_fault(&self.dir, &ARGS, &fault);
        let mut process = match Server::unless_ended(process).await {
            Err(process) => process,
            Ok(server) => {
                let submitters = self.submitters(&server.client);
                let mut process = server.process;
                let begun = std::time::Instant::now();
                while !process.has_ended() && begun.elapsed() < PATIENCE {
                    sleep(Duration::from_millis(5)).await; // between two looks
                }
                if process.has_ended() {
                    self.died += 1;
                } else {
                    process.signal(Signal::SIGKILL);
                }
                process.exit().await;
                submitters.join_all().await;
                return;
            }
        };
        process.exit().await;
        self.died += 1;
    }

    fn submitters(&mut self, client: &Client) -> tokio::task::JoinSet<()> {
        let mut submitters = tokio::task::JoinSet::new();
        for batch in [1, 1, 1, 8] {
            let (client, history) = (client.clone(), self.history.clone());
            submitters.spawn(submit(client, history, self.random.fork(), batch));
        }
        submitters
    }

    /// Checks, submits and listens, until a random moment.
    async fn load_and_kill(&mut self) {
        let server = Server::start(&self.dir, &ARGS).await;
        self.check(&server.client).await;

        let after = self.told.last().map_or(0, |event| event.seq);
        let epoch = server.client.start_of_log().await;
        let epoch = epoch.trim_end_matches('0').to_owned();
        let mut socket = server.socket(&format!("?after={epoch}{after}")).await;
        let submitters = self.submitters(&server.client);
        let moment = Duration::from_millis(self.random.u64(20..350));
        let kill = async {
            sleep(moment).await;
            server.kill().await;
        };
        let (told, ()) = tokio::join!(socket.events_until_the_end(), kill);
        submitters.join_all().await;
        self.told.extend(told);
    }

    /// The directory as the dead left it.
    async fn verify(&self) {
        let data = self.dir.data();
        if !data.join("head").exists() {
            return; // it died before it was a store
        }
        let verified = move || cortado::store::sled::verify(&data);
        let report = tokio::task::spawn_blocking(verified).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }

    /// Dies while it opens the directory or gives jobs back, when there are any.
    async fn die_while_it_starts(&mut self) {
        let point = ["apply", "rescue", "after-apply", "after-flush", "sync", "after-sync"];
        let point = point[self.random.usize(0..point.len())];
        let fault = format!("crash:{point}:{}", self.random.u8(1..3));
        let mut process = Server::launch_with_fault(&self.dir, &ARGS, &fault);
        sleep(Duration::from_millis(self.random.u64(50..200))).await;
        process.signal(Signal::SIGKILL);
        process.exit().await;
        self.verify().await;
    }

    async fn kill_while_it_starts(&mut self) {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut process = Server::launch(address, &self.dir.data(), &ARGS);
        sleep(Duration::from_millis(self.random.u64(0..100))).await;
        process.signal(Signal::SIGKILL);
        process.exit().await;
    }

    /// Compares everything that was told outside with the server as it is after a restart.
    async fn check(&mut self, client: &Client) {
        let rows = client.rows().await;
        let start = client.start_of_log().await;
        let after = format!("{}{}", start.trim_end_matches('0'), self.fold.seq);
        let (news, _) = client.log_after(&after).await;
        self.fold.add_all(&news);
        self.log.extend(news);
        self.fold.assert_agrees(&rows);

        for (told, logged) in self.told.iter().zip(&self.log) {
            assert_eq!(told, logged, "a subscriber was told of an event that is not in the log");
        }
        assert!(self.told.len() <= self.log.len(), "events that were told are lost");

        let (acknowledged, unknown, some) = {
            let mut history = self.history.lock().unwrap();
            let unknown = std::mem::take(&mut history.unknown);
            let known = history.acknowledged.clone();
            let some = self.random.choose_multiple(known.clone(), 5);
            (known, unknown, some)
        };
        for (key, id) in &acknowledged {
            assert!(rows.contains_key(id), "the acknowledged job {id} (key {key}) is lost");
        }
        let ids: BTreeSet<&String> = acknowledged.values().collect();
        assert_eq!(ids.len(), acknowledged.len(), "two keys have one job");
        for (key, id) in some {
            let again = client.post("/api/v1/jobs", Some(&job("echo", json!(1), &key))).await;
            assert_eq!((&again["id"], &again["existing"]), (&json!(id), &json!(true)), "{key}");
        }
        for (key, job) in unknown {
            let id = client.submit(&job).await;
            assert!(!ids.contains(&id), "key {key} has the job of another key");
            self.history.lock().unwrap().acknowledged.insert(key, id);
        }
    }

    /// Lets everything finish, checks the directory's whole life, and stops in order.
    async fn end(&mut self) {
        let server = Server::start(&self.dir, &ARGS).await;
        self.check(&server.client).await;
        let jobs = self.history.lock().unwrap().acknowledged.clone();
        let expected = u64::try_from(jobs.len()).unwrap();
        eventually("every job completed", || async {
            (server.client.count("completed").await == expected).then_some(())
        })
        .await;
        self.check(&server.client).await;
        let whole = server.client.log().await;
        assert_eq!(self.log, whole, "the log, read again from its start");
        assert_eq!(self.fold.jobs.len(), jobs.len(), "jobs that nobody submitted");
        for (id, job) in &self.fold.jobs {
            assert_eq!((&*job.state, job.completed), ("completed", 1), "{id}: {job:?}");
        }
        let rescue = whole.iter().find(|event| event.kind == "job.rescued");
        if let Some(id) = rescue.and_then(|event| event.job.as_ref()).map(|job| &job.id) {
            let job = server.client.job(id).await;
            let mut timeline = job["timeline"].as_array().unwrap().iter();
            let shown = |it: &Value| it["type"] == "job.rescued" && it["why"] == "crash";
            assert!(timeline.any(shown), "the crash is not in the timeline: {job}");
        }
        server.stop().await;
    }
}

/// Submits until the server is gone, `batch` at a time, and writes down each answer.
async fn submit(client: Client, history: Arc<Mutex<History>>, mut random: Rng, batch: usize) {
    loop {
        let jobs: BTreeMap<String, Value> = {
            let mut history = history.lock().unwrap();
            let jobs = (0..batch).map(|_| {
                history.keys += 1;
                let key = format!("key-{:08}", history.keys);
                (key.clone(), any_job(&mut random, &key))
            });
            let jobs: BTreeMap<_, _> = jobs.collect();
            history.unknown.extend(jobs.clone());
            jobs
        };
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
        let mut history = history.lock().unwrap();
        for (row, key) in rows.iter().zip(jobs.into_keys()) {
            assert_eq!(row["idempotency_key"], *key);
            history.unknown.remove(&key);
            history.acknowledged.insert(key, row["id"].as_str().unwrap().to_owned());
        }
    }
}

fn any_job(random: &mut Rng, key: &str) -> Value {
    match random.u8(0..10) {
        0..6 => job("echo", json!({ "number": random.u32(..) }), key),
        6 => job("fail", json!({ "times": random.u8(1..3) }), key),
        7 | 8 => job("sleep", json!({ "ms": random.u16(1..400) }), key),
        _ => job("sleep", json!({ "ms": random.u16(1..400), "progress": true }), key),
    }
}

fn job(kind: &str, payload: Value, key: &str) -> Value {
    json!({
        "kind": kind,
        "payload": payload,
        "idempotency_key": key,
        "max_attempts": 1_000,
        "backoff": { "base_ms": 1, "cap_ms": 20 },
    })
}
