//! Four servers, their database and the workers in other processes are killed at random moments, and connections to the
//! database and to the servers are cut. What was acknowledged holds, no lease ends an attempt twice, and every subscriber
//! receives the same log.
//!
//! `CORTADO_CLUSTER_KILLS=240` kills servers that often, `CORTADO_CLUSTER_STOPS=36` the database, and
//! `CORTADO_CLUSTER_SEED` repeats the random choices.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::Signal;
use reqwest::Method;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::load::{Answers, ClientContext, clients};
use super::subscriber::{Subscriber, Surroundings, TRANSPORTS, Visits};
use super::{Cluster, Node, assert_no_fault};
use crate::crash::running_worker::{Language, RunningWorker};
use crate::crash::worker_effects::{Attempts, Effects};
use crate::support::http::seq_of;
use crate::support::postgres::Postgres;
use crate::support::proxy::{Proxy, Target};
use crate::support::{BOUND, Client, Dir, Fold, Server, within};

const NODES: usize = 4;
const WORKERS: [Language; 4] =
    [Language::Rust, Language::RustHttp, Language::Node, Language::Python];
/// A schedule, whose jobs must not be made twice, and an archive to which all servers write.
const CONFIG: &str = "[kinds.work]\n[schedules.tick]\ncron = \"every 1s\"\nkind = \"echo\"\n\
    [store]\narchive_from = 50\n";

/// One of so many stops of the database is a long one, which takes this many milliseconds. Servers look for an append for
/// ten seconds.
const STOPS_TO_A_LONG_ONE: u32 = 9;
const LONG_STOP: std::ops::Range<u64> = 11_000..13_000;

/// What is still to be killed, and what was.
struct Strikes {
    kills_left: AtomicU32,
    stops_of_nodes: AtomicU32,
    cuts: AtomicU32,
    kills_of_workers: AtomicU32,
}

impl Strikes {
    /// Whether another server is to be killed.
    fn take_kill(&self) -> bool {
        let take = |left: u32| left.checked_sub(1);
        self.kills_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
    }
}

/// Kills a server again and again, and now and then stops it in order. Returns it at the end, when it is running.
async fn kill_node(
    node: Arc<Node>,
    mut server: Server,
    strikes: Arc<Strikes>,
    mut random: Rng,
) -> Server {
    loop {
        sleep(Duration::from_millis(random.u64(300..2_000))).await; // a random moment
        let ended = server.process.has_ended();
        assert!(!ended, "a server has ended: {}", server.process.err.so_far().join("\n"));
        if random.u8(0..5) == 0 {
            server.process.signal(Signal::SIGTERM);
            server.process.exit().await;
            strikes.stops_of_nodes.fetch_add(1, Ordering::SeqCst);
        } else if strikes.take_kill() {
            server.process.signal(Signal::SIGKILL);
            server.process.exit().await;
        } else {
            return server;
        }
        assert_no_fault(&server.process);
        sleep(Duration::from_millis(random.u64(0..300))).await; // it is away
        server = node.start().await;
    }
}

/// Stops the database again and again, now and then for so long that servers give up to find out what has become of their
/// last append.
async fn stop_database(database: &mut Postgres, stops: u32, mut random: Rng) {
    for stop in 1..=stops {
        sleep(Duration::from_millis(random.u64(500..2_500))).await; // a random moment
        database.crash().await;
        let away = if stop % STOPS_TO_A_LONG_ONE == 0 { LONG_STOP } else { 0..1_500 };
        sleep(Duration::from_millis(random.u64(away))).await; // it is away
        database.start_again().await;
    }
}

/// Cuts connections until the test ends.
async fn cut(
    nodes: Vec<Arc<Node>>,
    entrance: Arc<Proxy>,
    strikes: Arc<Strikes>,
    mut random: Rng,
    end: watch::Receiver<bool>,
) {
    while !*end.borrow() {
        sleep(Duration::from_millis(random.u64(10..400))).await; // a random moment
        let proxy = match random.choice(&nodes) {
            Some(node) if random.u8(0..4) > 0 => &node.link,
            Some(_) | None => &entrance,
        };
        strikes.cuts.fetch_add(u32::from(proxy.cut_some(&mut random)), Ordering::SeqCst);
    }
    nodes.iter().for_each(|node| node.link.calm_down());
    entrance.calm_down();
}

/// What the processes of workers need.
#[derive(Clone)]
struct WorkerContext {
    entrance: SocketAddr,
    files: PathBuf,
    started: Arc<AtomicU32>,
    strikes: Arc<Strikes>,
}

impl WorkerContext {
    fn start(&self, language: Language) -> RunningWorker {
        let number = self.started.fetch_add(1, Ordering::SeqCst) + 1;
        RunningWorker::start(language, number, self.entrance, &self.files)
    }

    /// Kills a worker again and again until the test ends. Returns those that were asked to stop, and the last one.
    async fn kill_worker(
        self,
        language: Language,
        mut random: Rng,
        end: watch::Receiver<bool>,
    ) -> Vec<RunningWorker> {
        let (mut worker, mut leaving) = (self.start(language), Vec::new());
        loop {
            sleep(Duration::from_millis(random.u64(500..3_000))).await; // a random moment
            if *end.borrow() {
                leaving.push(worker);
                return leaving;
            }
            let has_ended = worker.process.has_ended();
            let log = || worker.process.err.so_far().join("\n");
            assert!(!has_ended, "{} has ended: {}", worker.name, log());
            self.strikes.kills_of_workers.fetch_add(1, Ordering::SeqCst);
            let mut gone = std::mem::replace(&mut worker, self.start(language));
            if random.u8(0..4) == 0 {
                gone.process.signal(Signal::SIGTERM);
                leaving.push(gone);
            } else {
                gone.process.signal(Signal::SIGKILL);
                gone.process.exit().await;
            }
        }
    }
}

/// Waits until a server works again.
async fn recovers(client: &Client) {
    while !matches!(client.try_send(Method::GET, "/api/v1/stats", None).await, Ok((200, _))) {
        sleep(Duration::from_millis(50)).await; // between two looks
    }
}

/// Waits until every job has ended.
async fn becomes_quiet(client: &Client) {
    let busy = ["scheduled", "available", "running", "retryable"];
    loop {
        let states = client.get("/api/v1/stats").await["states"].clone();
        if busy.iter().all(|state| states[state] == 0) {
            return;
        }
        sleep(Duration::from_millis(50)).await; // between two looks
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_servers_their_database_and_their_workers_are_killed_at_random_moments() {
    let number = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let kills = u32::try_from(number("CORTADO_CLUSTER_KILLS", 12)).unwrap();
    let stops = u32::try_from(number("CORTADO_CLUSTER_STOPS", 3)).unwrap();
    let seed = number("CORTADO_CLUSTER_SEED", fastrand::u64(..));
    println!("CORTADO_CLUSTER_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);

    let mut cluster = Cluster::new(NODES, CONFIG).await;
    let servers = cluster.start().await;
    let (nodes, addresses) = (cluster.nodes.clone(), cluster.addresses());
    let entrance = Arc::new(Proxy::start(Target::OneOf(addresses.clone())).await);
    let surroundings = Surroundings::new(addresses);
    let start = nodes[0].client.start_of_log().await;
    let epoch = start.split(':').next().unwrap();
    let subscribers: Vec<Subscriber> = TRANSPORTS
        .iter()
        .flat_map(|transport| {
            let visits = [Visits::All, Visits::All, Visits::One(random.usize(0..NODES))];
            visits.map(|visits| {
                Subscriber::start(*transport, visits, epoch, &surroundings, &mut random)
            })
        })
        .collect();
    let (end, ended) = watch::channel(false);
    let answers = Arc::default();
    let context = ClientContext {
        nodes: nodes.clone(),
        answers: Arc::clone(&answers),
        progress: surroundings.transcript.progress(),
        end: ended.clone(),
    };
    let mut submitting = clients(4, &context, &mut random);
    let strikes = Arc::new(Strikes {
        kills_left: kills.into(),
        stops_of_nodes: 0.into(),
        cuts: 0.into(),
        kills_of_workers: 0.into(),
    });
    let files = Dir::new();
    std::fs::create_dir(files.data()).unwrap();
    let workers = WorkerContext {
        entrance: entrance.address,
        files: files.data(),
        started: Arc::default(),
        strikes: strikes.clone(),
    };
    let mut killing_workers = JoinSet::new();
    for language in WORKERS {
        killing_workers.spawn(workers.clone().kill_worker(language, random.fork(), ended.clone()));
    }
    let cutting =
        cut(nodes.clone(), entrance.clone(), strikes.clone(), random.fork(), ended.clone());
    let cutting = tokio::spawn(cutting);
    let mut killing = JoinSet::new();
    for (node, server) in nodes.iter().zip(servers) {
        killing.spawn(kill_node(node.clone(), server, strikes.clone(), random.fork()));
    }

    // Everything goes on until all kills and stops are done; a task that has failed ends the test.
    let (killed, ()) = {
        let stopping = stop_database(&mut cluster.database, stops, random.fork());
        let watching = watch_over(&subscribers, &mut submitting, &mut killing_workers);
        tokio::select! {
            killed = async { tokio::join!(killing.join_all(), stopping) } => killed,
            never = watching => never,
        }
    };
    end.send_replace(true);
    surroundings.ending.send_replace(true);
    within("the end of the submissions", submitting.join_all()).await;
    within("the last cut", cutting).await.unwrap();
    let workers = within("workers that go on", killing_workers.join_all()).await;
    for node in &nodes {
        within("a server that works again", recovers(&node.client)).await;
    }
    nodes[0].client.post("/api/v1/schedules/tick/pause", None).await;
    within("a quiet cluster", becomes_quiet(&nodes[0].client)).await;
    leave(workers.into_iter().flatten()).await;

    let head = seq_of(&nodes[0].client.head().await);
    let mut connections = 0;
    for subscriber in &subscribers {
        connections += subscriber.upto(head).await.connections;
    }
    drop(subscribers);
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    let fold = check(&cluster, &answers, &surroundings, &files.data()).await;
    println!(
        "{kills} kills and {} orderly stops of servers, {stops} stops of the database, {} kills of \
         workers, {} cuts of connections; {} accepted jobs, {} submissions repeated, {} looked up on \
         another server, {} deleted; {head} events, {} attempts given back after a crash; \
         subscribers connected {connections} times",
        strikes.stops_of_nodes.load(Ordering::SeqCst),
        strikes.kills_of_workers.load(Ordering::SeqCst),
        strikes.cuts.load(Ordering::SeqCst),
        answers.accepted.len(),
        answers.repeated,
        answers.looked_up,
        fold.deleted.len(),
        fold.rescued,
    );
    assert!(answers.accepted.len() > 2 * kills as usize, "the load was too small");
    for server in killed {
        assert_no_fault(&server.process);
        server.stop().await;
    }
}

/// Panics when a subscriber, a client or a worker has failed.
async fn watch_over(
    subscribers: &[Subscriber],
    submitting: &mut JoinSet<()>,
    killing_workers: &mut JoinSet<Vec<RunningWorker>>,
) -> ! {
    loop {
        subscribers.iter().for_each(Subscriber::assert_lives);
        assert!(submitting.try_join_next().is_none(), "a client has failed");
        assert!(killing_workers.try_join_next().is_none(), "a worker has failed");
        sleep(Duration::from_millis(50)).await; // between two looks
    }
}

/// Stops workers in order.
async fn leave(workers: impl Iterator<Item = RunningWorker>) {
    for mut worker in workers {
        if !worker.process.has_ended() {
            worker.process.signal(Signal::SIGTERM);
        }
        let status = worker.process.exit().await;
        // One that has only just begun to start does not obey yet.
        let log = worker.process.err.so_far().join("\n");
        assert!(status.code().is_none() || status.success(), "{}: {status}: {log}", worker.name);
    }
}

/// Compares what clients, workers and subscribers know with each server.
async fn check(
    cluster: &Cluster,
    answers: &Answers,
    surroundings: &Surroundings,
    files: &Path,
) -> Fold {
    let log = surroundings.transcript.events();
    let fold = Fold::of_nodes(&log);
    let ids = answers.ids();
    for (key, id) in &answers.accepted {
        let job = fold.jobs.get(id);
        let job = job.unwrap_or_else(|| {
            let why = if fold.deleted.contains(id) { "deleted" } else { "lost" };
            panic!("accepted job {id} ({key}) was {why}")
        });
        assert!(job.state == "completed" && job.completed == 1, "{id}: {job:?}");
    }
    let mut keys = surroundings.transcript.submitted_keys();
    let submitted = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), submitted, "a submission has made two jobs");
    let made = fold.jobs.len() + fold.deleted.len() - fold.scheduled.len();
    assert!(made <= ids.len() + answers.unknown, "there are jobs that were never submitted");
    let effects = Effects::read(files);
    let attempts = Attempts::of(&log);
    effects.assert_agree(&attempts);
    assert_eq!(effects.told.len(), WORKERS.len(), "only {:?} were told", effects.told);

    let mut states = BTreeSet::new();
    for node in &cluster.nodes {
        let stored = within("the log of a server", node.client.log()).await;
        for (stored, received) in stored.iter().zip(&log) {
            assert_eq!(stored, received, "a server has another event than subscribers received");
        }
        assert!(stored.len() >= log.len(), "a server has fewer events than were received");
        fold.assert_agrees(&within("the jobs of a server", node.client.rows()).await);
        states.insert(node.client.get("/api/v1/stats").await["states"].to_string());
    }
    assert_eq!(states.len(), 1, "servers count differently: {states:?}");
    let mut by_language: BTreeMap<String, usize> = BTreeMap::new();
    for id in ids {
        let node = &cluster.nodes[fastrand::usize(0..NODES)];
        let job = tokio::time::timeout(BOUND, node.client.job(id)).await.unwrap();
        if job["kind"] == "work" {
            let result = job["result"].as_str().unwrap();
            let begun = effects.begun.get(result);
            let last = attempts.completed[id];
            assert_eq!(begun, Some(&(id.clone(), last)), "{id} has the result {result}");
            let language = result.split('-').next().unwrap();
            *by_language.entry(language.to_owned()).or_default() += 1;
        }
    }
    println!("jobs by worker: {by_language:?}");
    fold
}
