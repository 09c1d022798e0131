//! The server under load, killed with SIGKILL at random moments or crashing at chosen points of its store, repeatedly
//! on the same directory. Everything that it has acknowledged or sent must still be true after every restart.
//!
//! `CORTADO_CRASH_ROUNDS=1000` runs more rounds; `CORTADO_CRASH_SEED` repeats the random choices of a run.

mod access;
mod load;
pub mod running_worker;
pub mod worker_effects;
mod worker_program;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use self::load::{History, job, submitters};
use crate::support::http::seq_of;
use crate::support::{Client, Dir, Event, Fold, Server, Socket, eventually};

/// The number of rounds on one directory before it is drained and checked as a whole.
const KILLS_OF_ONE_LIFE: u32 = 10;
/// The points at which the store can crash, named as in `src/store/sled/faults.rs`.
const POINTS: [&str; 6] = ["apply", "after-apply", "after-flush", "sync", "after-sync", "run"];
/// The crash points with a small retention.
const TIGHT_POINTS: [&str; 4] = ["prune", "carry", "run", "after-flush"];
/// The small retention: completed jobs, and events.
const KEPT: (usize, u64) = (60, 500);

/// The retention and the jobs of one directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    /// The server keeps everything.
    Whole,
    /// A small retention: the store prunes finished jobs, copies waiting ones forward, and trims the log.
    Tight,
    /// A small retention and jobs without idempotency keys, so that the store can drop whole runs of the archive.
    Keyless,
}

impl Sort {
    /// The settings that differ from the defaults.
    fn config(self) -> String {
        // A schedule creates jobs during the whole test.
        let small = "[schedules.tick]\ncron = \"every 1s\"\nkind = \"echo\"\n\
             [store]\narchive_from = 20\ncarry_above = \"1KiB\"\n";
        match self {
            Sort::Whole => small.to_owned(),
            Sort::Tight | Sort::Keyless => format!(
                "{small}pipeline_from = 1\n[retention]\ncompleted = {{ age = \"1 day\", count = {} }}\n\
                 events = {{ age = \"1 day\", count = {} }}\n",
                KEPT.0, KEPT.1
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_at_random_moments() {
    let number = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let rounds = u32::try_from(number("CORTADO_CRASH_ROUNDS", 100)).unwrap();
    let seed = number("CORTADO_CRASH_SEED", fastrand::u64(..));
    println!("CORTADO_CRASH_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);
    let (mut left, mut rescued, mut jobs, mut pruned) = (rounds, 0, 0, 0);
    let mut died: BTreeMap<&str, u32> = BTreeMap::new();
    let sorts = [Sort::Whole, Sort::Tight, Sort::Whole, Sort::Keyless];
    for sort in sorts.into_iter().cycle() {
        if left == 0 {
            break;
        }
        let kills = left.min(KILLS_OF_ONE_LIFE);
        left -= kills;
        let mut life = Life::new(sort, random.fork(), died);
        for _ in 0..kills {
            life.round().await;
        }
        life.end().await;
        rescued += life.fold.rescued;
        pruned += life.pruned;
        jobs += life.history.lock().unwrap().acknowledged.len();
        died = life.died;
    }
    println!(
        "{rounds} rounds, deaths at chosen points {died:?}, {jobs} acknowledged jobs, {pruned} of \
         them pruned, {rescued} attempts given back"
    );
    let enough = jobs > rounds as usize && rescued > 0;
    assert!(enough, "the load was too small to show anything");
    if rounds >= 100 {
        for point in POINTS.into_iter().chain(TIGHT_POINTS) {
            assert!(died.contains_key(point), "no server crashed at {point}");
        }
        assert!(pruned > 0, "no job was pruned");
    }
}

/// One directory over all its rounds, and what clients know about it.
struct Life {
    sort: Sort,
    dir: Dir,
    args: Vec<String>,
    random: Rng,
    history: Arc<Mutex<History>>,
    /// The log as a subscriber received it, or, without one, as it was read after the restart. `fold` is its fold.
    log: Vec<Event>,
    fold: Fold,
    /// The last event up to which the server's log has been compared with `log`.
    compared: u64,
    /// The number of rounds so far.
    rounds: u32,
    /// The number of pruned jobs.
    pruned: usize,
    /// The number of crashes at each point, including those of earlier directories.
    died: BTreeMap<&'static str, u32>,
}

impl Life {
    fn new(sort: Sort, random: Rng, died: BTreeMap<&'static str, u32>) -> Life {
        let dir = Dir::new();
        let config = dir.config(&sort.config());
        // Enough concurrency for the sleeping jobs, and few log lines, because the test keeps all of them in memory.
        let args = ["--concurrency", "200", "--log", "warn", "--config", &config];
        let args = args.map(str::to_owned).to_vec();
        let (history, log, fold) = Default::default();
        let (compared, rounds, pruned) = Default::default();
        Life { sort, dir, args, random, history, log, fold, compared, rounds, pruned, died }
    }

    fn args(&self) -> Vec<&str> {
        self.args.iter().map(String::as_str).collect()
    }

    /// Starts the server, checks it, puts it under load, and kills it.
    async fn round(&mut self) {
        match self.random.u8(0..8) {
            0 => self.kill_while_it_starts().await,
            1 => self.die_while_it_starts().await,
            _ => {}
        }
        self.rounds += 1;
        match self.rounds % 5 {
            0 | 2 => self.load_until_it_dies().await,
            _ => self.load_and_kill().await,
        }
        self.verify().await;
    }

    /// The next crash point: the one with the fewest crashes so far.
    fn point(&self) -> &'static str {
        let points = match self.sort {
            Sort::Whole => &POINTS[..],
            Sort::Tight | Sort::Keyless => &TIGHT_POINTS[..],
        };
        let met = |point: &&&'static str| self.died.get(**point).copied().unwrap_or(0);
        points.iter().min_by_key(met).unwrap()
    }

    /// Puts the server under load until it crashes at a chosen point, which may already happen during the start.
    async fn load_until_it_dies(&mut self) {
        let point = self.point();
        let nth = if matches!(point, "run" | "prune" | "carry") { 1..5 } else { 3..60 };
        let fault = format!("crash:{point}:{}", self.random.u32(nth));
        let process = Server::launch_with_fault(&self.dir, &self.args(), &fault);
        let mut process = match Server::unless_ended(process).await {
            Err(process) => process,
            Ok(server) => {
                if let Some(socket) = self.listen(&server.client, &server).await {
                    self.load(&server.client, socket, std::future::ready(())).await;
                }
                server.process
            }
        };
        let status = process.exit().await;
        assert_eq!(status.code(), None, "the server should have crashed at {point}: {status}");
        *self.died.entry(point).or_default() += 1;
    }

    /// Checks the server and puts it under load until a random moment, then kills it.
    async fn load_and_kill(&mut self) {
        let server = Server::start(&self.dir, &self.args()).await;
        self.check(&server.client).await;
        let socket = self.listen(&server.client, &server).await.expect("a server that lives");
        let moment = Duration::from_millis(self.random.u64(20..350));
        let client = server.client.clone();
        let kill = async {
            sleep(moment).await;
            server.kill().await;
        };
        self.load(&client, socket, kill).await;
    }

    /// A subscriber that continues where the last one ended; `None` when the server dies in the meantime.
    async fn listen(&self, client: &Client, server: &Server) -> Option<Socket> {
        let path = "/api/v1/events";
        let (_, head) = client.try_send(reqwest::Method::GET, path, None).await.ok()?;
        let head: Value = serde_json::from_str(&head).ok()?;
        let epoch = head["cursor"].as_str().unwrap().split(':').next().unwrap();
        let query = format!("?after={epoch}:{}", self.fold.seq);
        Socket::try_open(server.address, &query).await
    }

    /// Submits jobs and receives events until the server is gone.
    async fn load(&mut self, client: &Client, mut socket: Socket, kill: impl Future<Output = ()>) {
        let (tell, ended) = watch::channel(BTreeSet::new());
        let submitters = submitters(client, &self.history, self.sort, &ended, &mut self.random);
        let mut told: Vec<Event> = Vec::new();
        let listen = async {
            let take = |events: Vec<Event>| {
                let ends = events.iter().filter(|event| event.kind == "job.completed");
                let ends: Vec<_> = ends.filter_map(|event| event.job.as_ref()).collect();
                tell.send_modify(|ended| ended.extend(ends.iter().map(|job| job.id.clone())));
                told.extend(events);
            };
            socket.each_until_the_end(take).await;
        };
        tokio::join!(listen, kill);
        drop(tell);
        submitters.join_all().await;
        self.fold.add_all(&told);
        self.log.extend(told);
    }

    /// Verifies the directory as the dead process left it.
    async fn verify(&self) {
        let data = self.dir.data();
        if !data.join("head").exists() {
            return; // it died before the store was created
        }
        let verified = move || cortado::internal::store::data_dir::verify(&data);
        let report = tokio::task::spawn_blocking(verified).await.unwrap();
        assert!(report.is_sound(), "{report}");
    }

    /// Crashes during a start: when the store opens, or when it rescues jobs. Kills a server that does not crash.
    async fn die_while_it_starts(&mut self) {
        let point = ["apply", "rescue", "after-apply", "after-flush", "sync", "after-sync"];
        let point = point[self.random.usize(0..point.len())];
        let fault = format!("crash:{point}:{}", self.random.u8(1..3));
        let mut process = Server::launch_with_fault(&self.dir, &self.args(), &fault);
        sleep(Duration::from_millis(self.random.u64(50..200))).await;
        process.signal(Signal::SIGKILL);
        process.exit().await;
        self.verify().await;
    }

    async fn kill_while_it_starts(&mut self) {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut process = Server::launch(address, &self.dir.data(), &self.args());
        sleep(Duration::from_millis(self.random.u64(0..100))).await;
        process.signal(Signal::SIGKILL);
        process.exit().await;
    }

    /// Compares everything that clients have received with the server after a restart.
    async fn check(&mut self, client: &Client) {
        let rows = client.rows().await;
        self.compare_log(client).await;
        match self.sort {
            Sort::Whole => self.fold.assert_agrees(&rows),
            Sort::Tight | Sort::Keyless => {
                self.pruned = self.fold.assert_agrees_but_for_pruned(&rows, KEPT.0);
            }
        }
        let (acknowledged, unknown) = {
            let mut history = self.history.lock().unwrap();
            let unknown = std::mem::take(&mut history.unknown);
            history.sent += unknown.len();
            (history.acknowledged.clone(), unknown)
        };
        for (key, id) in &acknowledged {
            assert!(self.fold.jobs.contains_key(id), "acknowledged job {id} ({key}) is lost");
        }
        let ids: BTreeSet<&String> = acknowledged.values().collect();
        assert_eq!(ids.len(), acknowledged.len(), "two keys have one job");
        // A key returns its job for as long as that is stored.
        let lasting = acknowledged.iter().filter(|(_, id)| match self.sort {
            Sort::Whole => true,
            Sort::Tight => self.fold.jobs[*id].state == "scheduled",
            Sort::Keyless => false,
        });
        for (key, id) in self.random.choose_multiple(lasting, 5) {
            let other = job("echo", json!("another payload"), key);
            let again = client.try_send(Method::POST, "/api/v1/jobs", Some(&other)).await.unwrap();
            assert_eq!(again.0, 422, "{key}: {}", again.1);
            assert!(again.1.contains(id.as_str()), "{key} of {id}: {}", again.1);
        }
        for (key, job) in unknown {
            let id = client.submit(&job).await;
            assert!(!ids.contains(&id), "key {key} has the job of another key");
            self.history.lock().unwrap().acknowledged.insert(key, id);
        }
    }

    /// Asserts that subscribers received the log, except for trimmed events.
    async fn compare_log(&mut self, client: &Client) {
        let start = client.start_of_log().await;
        let after = format!("{}{}", start.trim_end_matches('0'), self.compared);
        let (read, head, gap) = client.log_there_is_after(&after).await;
        let head = seq_of(&head);
        assert!(head >= self.fold.seq, "received events are lost: {head} {}", self.fold.seq);
        if let Some(oldest) = gap {
            assert!(self.sort != Sort::Whole, "a gap up to {oldest}");
            assert!(oldest + KEPT.1 <= head, "trimmed up to {oldest}, and the log ends at {head}");
            assert!(oldest <= self.fold.seq, "the test is too slow: {oldest} was not received");
        }
        let from = gap.unwrap_or(self.compared);
        for (seq, event) in (from + 1..).zip(&read) {
            assert_eq!(event.seq, seq, "the log is not dense");
            if let Some(told) = self.log.get(seq as usize - 1) {
                assert_eq!(told, event, "a subscriber received another event");
            }
        }
        let news = read.into_iter().filter(|event| event.seq > self.fold.seq);
        let news: Vec<Event> = news.collect();
        self.fold.add_all(&news);
        self.log.extend(news);
        self.compared = self.fold.seq;
    }

    /// Waits until all jobs have ended, checks the whole history of the directory, and stops the server.
    async fn end(&mut self) {
        let server = Server::start(&self.dir, &self.args()).await;
        server.client.post("/api/v1/schedules/tick/pause", None).await;
        self.check(&server.client).await;
        let waits = match self.sort {
            Sort::Whole => &["available", "running", "retryable", "scheduled"][..],
            Sort::Tight | Sort::Keyless => &["available", "running", "retryable"][..],
        };
        eventually("every job completed", || async {
            let states = server.client.get("/api/v1/stats").await["states"].clone();
            waits.iter().all(|state| states[state] == 0).then_some(())
        })
        .await;
        self.check(&server.client).await;
        let (jobs, sent) = {
            let history = self.history.lock().unwrap();
            (history.acknowledged.len(), history.sent)
        };
        let (jobs, sent) = (jobs + self.fold.scheduled.len(), sent + self.fold.scheduled.len());
        assert!(self.fold.scheduled.len() > 1, "the schedule made no jobs");
        for (id, job) in &self.fold.jobs {
            let waits = self.sort != Sort::Whole && job.state == "scheduled";
            let completed = job.state == "completed" && job.completed == 1;
            assert!(waits || completed, "{id}: {job:?}");
        }
        match self.sort {
            Sort::Whole => {
                let whole = server.client.log().await;
                assert_eq!(self.log, whole, "the log, read again from its start");
                assert_eq!(self.fold.jobs.len(), jobs, "there are jobs that were never submitted");
                self.assert_crash_is_shown(&server.client).await;
            }
            Sort::Tight | Sort::Keyless => {
                let there = self.fold.jobs.len();
                assert!((jobs..=sent).contains(&there), "{jobs} to {sent} jobs, not {there}");
            }
        }
        server.stop().await;
    }

    /// Asserts that the timeline of a rescued job shows the crash.
    async fn assert_crash_is_shown(&self, client: &Client) {
        let rescue = self.log.iter().find(|event| event.kind == "job.rescued");
        if let Some(id) = rescue.and_then(|event| event.job.as_ref()).map(|job| &job.id) {
            let job = client.job(id).await;
            let mut timeline = job["timeline"].as_array().unwrap().iter();
            let shown = |it: &Value| it["type"] == "job.rescued" && it["why"] == "crash";
            assert!(timeline.any(shown), "the crash is not in the timeline: {job}");
        }
    }
}
