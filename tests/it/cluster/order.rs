//! Eight writers on four servers at the same time: all readers receive the same events in the same dense order, the order
//! agrees with the order of the answers, and what one server has acknowledged is shown by any later request to another.
//!
//! `CORTADO_ORDER_SECONDS=300` writes for longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::subscriber::{Subscriber, Surroundings, TRANSPORTS, Visits};
use super::{Cluster, Node};
use crate::support::http::seq_of;
use crate::support::{Fold, within};

const NODES: usize = 4;
const WRITERS: usize = 8;
/// The most submissions of one writer in a second of the test; more would only make the log longer.
const SUBMISSIONS_PER_SECOND: u64 = 60;

/// When a submission was begun and answered, as the ticks of one counter, and the number of its event.
#[derive(Debug, Clone, Copy)]
struct Write {
    begun: u64,
    answered: u64,
    seq: u64,
}

/// Submits jobs to one server after the other, and looks for each of them on another one.
async fn write(
    nodes: Vec<Arc<Node>>,
    ticks: Arc<AtomicU64>,
    seconds: u64,
    mut random: Rng,
) -> Vec<Write> {
    let tick = || ticks.fetch_add(1, Ordering::SeqCst);
    let (until, mut writes) = (Instant::now() + Duration::from_secs(seconds), Vec::new());
    while Instant::now() < until && (writes.len() as u64) < seconds * SUBMISSIONS_PER_SECOND {
        let here = random.choice(&nodes).unwrap();
        let begun = tick();
        let job = json!({ "kind": "echo", "payload": { "number": writes.len() } });
        let answer = here.client.post("/api/v1/jobs", Some(&job)).await;
        let write = Write { begun, answered: tick(), seq: answer["seq"].as_u64().unwrap() };
        let there = random.choice(&nodes).unwrap();
        look_up(there, answer["id"].as_str().unwrap(), write.seq, random.u8(0..3)).await;
        writes.push(write);
    }
    writes
}

/// Looks once and at once for a job on another server than that which has accepted it.
async fn look_up(node: &Node, id: &str, seq: u64, way: u8) {
    let get = async |path: String| -> Value {
        let (status, text) = node.client.try_send(Method::GET, &path, None).await.unwrap();
        assert_eq!(status, 200, "GET {path}: {text}");
        serde_json::from_str(&text).unwrap()
    };
    match way {
        0 => {
            get(format!("/api/v1/jobs/{id}")).await;
        }
        1 => {
            let list = get("/api/v1/jobs?limit=200".to_owned()).await;
            let is_there = list["jobs"].as_array().unwrap().iter().any(|job| job["id"] == id);
            assert!(is_there, "{id} is not in the list of another server: {list}");
        }
        _ => {
            let epoch = node.client.start_of_log().await;
            let after = format!("{}{}", epoch.trim_end_matches('0'), seq - 1);
            let read = get(format!("/api/v1/events?limit=1&after={after}")).await;
            assert_eq!(read["events"][0]["job"]["id"], id, "{read}");
        }
    }
}

/// Asserts that a submission that was answered before another one began has the smaller number.
fn assert_in_order(mut writes: Vec<Write>) {
    writes.sort_unstable_by_key(|write| write.answered);
    let mut by_begin = writes.clone();
    by_begin.sort_unstable_by_key(|write| write.begun);
    let (mut answered, mut newest) = (writes.iter().peekable(), 0);
    for write in by_begin {
        while let Some(before) = answered.next_if(|before| before.answered < write.begun) {
            newest = newest.max(before.seq);
        }
        assert!(newest < write.seq, "{write:?} began after event {newest} was answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_on_all_servers_receive_what_eight_writers_do_in_one_order() {
    let seconds = std::env::var("CORTADO_ORDER_SECONDS")
        .map_or(10, |text| text.parse::<u64>().expect("a number"));
    let cluster = Cluster::new(NODES, "").await;
    let servers = cluster.start().await;
    let surroundings = Surroundings::new(cluster.addresses());
    let start = cluster.nodes[0].client.start_of_log().await;
    let epoch = start.split(':').next().unwrap();
    let mut random = Rng::new();
    let mut readers = Vec::new();
    for transport in TRANSPORTS {
        for visits in (0..NODES).map(Visits::One).chain([Visits::All]) {
            readers.push(Subscriber::start(transport, visits, epoch, &surroundings, &mut random));
        }
    }
    let ticks = Arc::default();
    let mut writing = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let (nodes, ticks) = (cluster.nodes.clone(), Arc::clone(&ticks));
        writing.spawn(write(nodes, ticks, seconds, random.fork()));
    }
    let writes: Vec<Write> = writing.join_all().await.into_iter().flatten().collect();
    surroundings.ending.send_replace(true);
    let jobs = writes.len();
    within("the last job", async {
        let mut progress = surroundings.transcript.progress();
        progress.wait_for(|progress| progress.completed == jobs).await.unwrap();
    })
    .await;
    let head = seq_of(&cluster.nodes[0].client.head().await);
    for reader in &readers {
        reader.upto(head).await;
    }
    let log = surroundings.transcript.events();
    for node in &cluster.nodes {
        assert!(node.client.log().await == log, "a server has another log than readers received");
    }
    let fold = Fold::of_nodes(&log);
    assert_eq!((fold.jobs.len(), fold.rescued), (jobs, 0));
    assert_in_order(writes);
    println!("{jobs} submissions, {head} events, {} readers", readers.len());
    drop(readers);
    for server in servers {
        server.stop().await;
    }
}
