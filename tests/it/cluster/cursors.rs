//! One cursor is valid on every server and over every transport, also on a server that has not read so far yet, and an
//! event reaches the subscribers of all servers.

use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Cluster;
use super::subscriber::{LogReader, Seen, Subscriber, Surroundings, TRANSPORTS, Transport, Visits};
use crate::support::http::seq_of;
use crate::support::{Server, within};

/// A server is told of events at once, and looks for them four times a second.
const SOON: Duration = Duration::from_millis(500);

fn echo() -> Value {
    json!({ "kind": "echo" })
}

async fn stop(servers: Vec<Server>) {
    for server in servers {
        server.stop().await;
    }
}

async fn epoch_of(cluster: &Cluster) -> String {
    let start = cluster.nodes[0].client.start_of_log().await;
    start.split(':').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_continues_on_any_server_and_over_any_transport() {
    let cluster = Cluster::new(3, "").await;
    let servers = cluster.start().await;
    let surroundings = Surroundings::new(cluster.addresses());
    let epoch = epoch_of(&cluster).await;
    let mut reader = LogReader::new("the reader".to_owned(), &epoch, 0, surroundings.clone());
    // Each transport follows each other one, and each server each other one.
    for hop in 0..18 {
        let transport = TRANSPORTS[(hop + hop / 9) % 3];
        let (address, other) = (surroundings.addresses[hop / 3 % 3], &cluster.nodes[hop % 3]);
        let id = other.client.submit(&echo()).await;
        let begun = reader.seq;
        let (tell, mut seen) = watch::channel(Seen::default());
        within("the next events", async {
            tokio::select! {
                () = transport.read(address, &mut reader, &tell) => panic!("the stream has ended"),
                is_further = seen.wait_for(|seen| seen.seq > begun) => drop(is_further.unwrap()),
            }
        })
        .await;
        cluster.nodes[(hop + 1) % 3].client.job_in(&id, "completed").await;
    }
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_a_server_has_not_reached_is_no_gap() {
    let cluster = Cluster::new(2, "").await;
    let servers = cluster.start().await;
    let (ahead, behind) = (&cluster.nodes[0], &cluster.nodes[1]);
    ahead.client.post("/api/v1/queues/default/pause", None).await;
    behind.client.head().await;
    behind.link.hold();
    ahead.client.submit_all((0..5).map(|_| echo()).collect()).await;
    let cursor = ahead.client.head().await;
    let (epoch, seq) = (cursor.split(':').next().unwrap(), seq_of(&cursor));

    let surroundings = Surroundings::new(vec![behind.address]);
    // The transcript of what the cursor has behind it.
    let mut before = LogReader::new("before".to_owned(), epoch, 0, surroundings.clone());
    let (tell, mut seen) = watch::channel(Seen::default());
    within("the events before", async {
        tokio::select! {
            () = Transport::Poll.read(ahead.address, &mut before, &tell) => panic!("no answer"),
            is_there = seen.wait_for(|seen| seen.seq == seq) => drop(is_there.unwrap()),
        }
    })
    .await;
    let mut readers = Vec::new();
    for transport in [Transport::Poll, Transport::EventStream, Transport::Socket] {
        let name = format!("{transport:?}");
        let mut reader = LogReader::new(name, epoch, seq, surroundings.clone());
        let (address, (tell, mut seen)) = (behind.address, watch::channel(Seen::default()));
        let task = tokio::spawn(async move { transport.read(address, &mut reader, &tell).await });
        if transport != Transport::Poll {
            // A stream greets its reader before it reads the log, which it cannot do now.
            let greeted = seen.wait_for(|seen| seen.greetings > 0);
            within("a greeting", greeted).await.unwrap();
        }
        readers.push((seen, task));
    }
    behind.link.release();
    ahead.client.submit(&echo()).await;
    for (mut seen, task) in readers {
        within("the next event", seen.wait_for(|seen| seen.seq > seq)).await.unwrap();
        task.abort();
    }
    stop(servers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_the_subscribers_of_all_servers() {
    let cluster = Cluster::new(3, "").await;
    let servers = cluster.start().await;
    let surroundings = Surroundings::new(cluster.addresses());
    let epoch = epoch_of(&cluster).await;
    let mut subscribers = Vec::new();
    for transport in TRANSPORTS {
        for index in 0..3 {
            let (visits, random) = (Visits::One(index), &mut Rng::new());
            subscribers.push(Subscriber::start(transport, visits, &epoch, &surroundings, random));
        }
    }
    // Nothing runs, so that servers have no other reason to look for events.
    cluster.nodes[0].client.post("/api/v1/queues/default/pause", None).await;
    let mut delays = Vec::new();
    for number in 0..9 {
        let node = &cluster.nodes[number % 3];
        let job = node.client.post("/api/v1/jobs", Some(&echo())).await;
        let answered = Instant::now();
        for subscriber in &subscribers {
            let seen = subscriber.upto(job["seq"].as_u64().unwrap()).await;
            assert_eq!(seen.connections, 1, "it was connected again");
        }
        delays.push(answered.elapsed());
    }
    delays.sort_unstable();
    assert!(delays[4] < SOON, "events take long to the other servers: {delays:?}");
    drop(subscribers);
    stop(servers).await;
}
