//! The stream under stress: the server is killed, stopped and restarted, subscribers of three transports stop reading,
//! disconnect and stay away, and the log is trimmed in the meantime. Each subscriber must still receive the log.
//!
//! `CORTADO_STORM_ROUNDS=100` ends the server a hundred times; `CORTADO_STORM_SEED` repeats the random choices.

mod foreign;
mod received;
mod subscriber;
mod transports;
mod want;

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::foreign::Program;
use self::subscriber::{Place, Progress, Subscriber};
use self::transports::{Names, Transport};
use self::want::Want;
use crate::support::process::lasting_address;
use crate::support::{Client, Dir, Server, eventually, within};

/// The number of events that the log keeps.
const KEPT: u64 = 2_000;
/// The most events by which the log may be ahead of the scribe; the load waits for it.
const AHEAD: u64 = 1_000;
/// The number of unfinished jobs above which the load waits.
const LIVE: usize = 40;
/// The number of events between two ends of the server.
const ROUND: std::ops::Range<u64> = 100..1_500;

/// Small limits and short timeouts, so that each of them is reached often.
const CONFIG: &str = r#"
[stop]
close = "500ms"
[store]
archive_from = 100
pipeline_from = 1
carry_above = "64KiB"
[retention]
completed = { age = "1 day", count = 300 }
events = { age = "1 day", count = 2_000 }
[http]
subscribers_per_address = 1_000
subscriber_mark = "300ms"
write_timeout = "1s"
socket_ping = "2s"
socket_pong = "2s"
[engine]
stream_capacity = 16
"#;

const WANTS: [Want; 6] = [
    Want::ALL,
    Want { queue: &["mail"], ..Want::ALL },
    Want { queue: &["mail", "web"], types: &["job.*"], ..Want::ALL },
    Want { types: &["job.completed", "queue.*"], ..Want::ALL },
    Want { kind: &["fail"], tag: &["red", "blue"], ..Want::ALL },
    Want { types: &["*.retry_scheduled", "job.discarded"], ..Want::ALL },
];

const RESUME: &str = "/api/v1/queues/web/resume";

const ALONE: Names = Names { names: &[], replace: false };

/// Named subscriptions in addition to the filter of the query string, and some that replace it.
const NAMED: [(Want, Names); 2] = [
    (
        Want::ALL,
        Names {
            names: &[
                ("bad", Want { types: &["job.discarded", "*.retry_scheduled"], ..Want::ALL }),
                ("red", Want { tag: &["red"], ..Want::ALL }),
                ("nothing", Want { queue: &["nowhere"], ..Want::ALL }),
            ],
            replace: false,
        },
    ),
    (
        Want { queue: &["mail", "web"], ..Want::ALL },
        Names {
            names: &[
                ("letters", Want { queue: &["mail"], ..Want::ALL }),
                ("pages", Want { queue: &["web"], ..Want::ALL }),
            ],
            replace: true,
        },
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_puts_the_log_together_in_a_storm() {
    let number = |name, default| {
        std::env::var(name).map_or(default, |text| text.parse::<u64>().expect("a number"))
    };
    let rounds = number("CORTADO_STORM_ROUNDS", 10);
    let seed = number("CORTADO_STORM_SEED", fastrand::u64(..));
    println!("CORTADO_STORM_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);

    let (dir, address) = (Dir::new(), lasting_address());
    let config = dir.config(CONFIG);
    let args = ["--grace", "1s", "--log", "warn", "--config", &config];
    let start = async || Server::start_on(address, &dir.data(), &args).await;
    let mut server = start().await;
    let from = server.client.start_of_log().await;
    let (tell, progress) = watch::channel(Progress::default());
    let http = cortado::internal::cli::http_client().unwrap();
    let place = Place { address, http, progress: progress.clone() };
    let scribe = Subscriber::scribe(&from, place.clone(), tell.clone());
    let mut subscribers = Vec::new();
    let mut subscribe = |transport, want| {
        let place = place.clone();
        subscribers.push(Subscriber::start(transport, want, &from, place, KEPT, &mut random));
    };
    for want in WANTS {
        subscribe(Transport::Socket(ALONE), want);
        subscribe(Transport::EventStream, want);
        subscribe(Transport::Poll, want);
    }
    for (want, names) in NAMED {
        subscribe(Transport::Socket(names), want);
        subscribe(Transport::Socket(names), want);
    }
    for program in &Program::all() {
        for want in &WANTS[..3] {
            let (place, seed) = (place.clone(), random.u64(..));
            subscribers.push(Subscriber::program(program, *want, &from, place, seed));
        }
    }
    let end_load = CancellationToken::new();
    let load = load(server.client.clone(), progress.clone(), random.fork(), end_load.clone());
    let feeding = tokio::spawn(load);

    for round in 0..rounds {
        let until = progress.borrow().seq + random.u64(ROUND);
        let mut passing = progress.clone();
        let passed = passing.wait_for(|progress| progress.seq >= until);
        within("events of a round", passed).await.unwrap();
        match round % 2 {
            0 => drop(server.stop().await),
            _ => server.kill().await,
        }
        sleep(Duration::from_millis(random.u64(0..300))).await; // the server is down
        server = start().await;
        assert!(!feeding.is_finished(), "the load has failed");
        subscribers.iter().chain([&scribe]).for_each(Subscriber::assert_lives);
    }

    // A submission that was cut off could still be accepted after the server looked quiet.
    end_load.cancel();
    within("the end of the load", feeding).await.unwrap();
    tell.send_modify(|progress| progress.ending = true);
    server.client.post(RESUME, None).await;
    eventually("a quiet server", || async {
        let states = server.client.get("/api/v1/stats").await["states"].clone();
        let busy = ["scheduled", "available", "running", "retryable"];
        busy.iter().all(|state| states[state] == 0).then_some(())
    })
    .await;
    let head = crate::support::http::seq_of(&server.client.head().await);
    scribe.upto(head).await;
    let log = scribe.received.lock().unwrap().events.clone();
    let numbers = log.iter().map(|event| event["seq"].as_u64().unwrap());
    assert!(numbers.eq(1..=head), "the scribe does not have the whole log");
    let (kept, _, _) = server.client.log_there_is_after(&from).await;
    for event in &kept {
        let received = serde_json::from_value(log[event.seq as usize - 1].clone());
        assert_eq!(*event, received.unwrap(), "the scribe received another event");
    }

    let mut sums: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for subscriber in &subscribers {
        subscriber.upto(head).await;
        let received = subscriber.received.lock().unwrap();
        received.assert_is(&subscriber.want, &log, KEPT, AHEAD);
        let sum = sums.entry(subscriber.name).or_default();
        let these =
            [received.events.len(), received.connections, received.gaps.len(), received.doubles];
        sum.iter_mut().zip(these).for_each(|(sum, this)| *sum += this);
    }
    println!("{rounds} ends of the server, {head} events, the log kept {}", kept.len());
    for (transport, [events, connections, gaps, doubles]) in &sums {
        println!(
            "  {transport}: {events} events in {connections} connections, {gaps} gaps, {doubles} came twice"
        );
    }
    let sum = |which: usize| sums.values().map(|sums| sums[which]).sum::<usize>();
    let stormy = sum(1) > subscribers.len() * 2 && sum(2) > 0 && sum(3) > 0;
    assert!(rounds < 10 || stormy, "there was too little disruption to test anything");
    server.stop().await;
}

/// Submits jobs until it is cancelled, and waits for the scribe. It ignores a server that is down.
async fn load(
    client: Client,
    mut progress: watch::Receiver<Progress>,
    mut random: Rng,
    end: CancellationToken,
) {
    while !end.is_cancelled() {
        let few = progress.wait_for(|progress| progress.live < LIVE);
        if tokio::time::timeout(Duration::from_millis(300), few).await.is_err() {
            // The jobs may be waiting in the paused queue.
            client.try_send(reqwest::Method::POST, RESUME, None).await.ok();
            continue;
        }
        let jobs = (0..random.u8(1..20)).map(|_| any_job(&mut random)).collect::<Vec<Value>>();
        let wish = match random.u8(0..20) {
            0 => client.try_send(reqwest::Method::POST, "/api/v1/queues/web/pause", None).await,
            1..3 => client.try_send(reqwest::Method::POST, RESUME, None).await,
            _ => {
                let path = "/api/v1/jobs";
                client.try_send(reqwest::Method::POST, path, Some(&Value::Array(jobs))).await
            }
        };
        let seq = wish.ok().and_then(|(_, answer)| {
            let answer: Value = serde_json::from_str(&answer).ok()?;
            answer["jobs"].as_array()?.iter().filter_map(|job| job["seq"].as_u64()).max()
        });
        if let Some(seq) = seq {
            let known = progress.wait_for(|progress| progress.seq >= seq);
            // The scribe receives the event, if necessary after a restart.
            within("a scribe that sees the load", known).await.ok();
        } else {
            sleep(Duration::from_millis(5)).await; // the server was down
        }
    }
}

fn any_job(random: &mut Rng) -> Value {
    let queue = ["mail", "web", "other"][random.usize(0..3)];
    let mut tags: Vec<String> = (0..7).map(|n| format!("{n}{}", "-".repeat(80))).collect();
    tags.truncate(random.usize(0..14)); // larger events fill the buffers of clients that stop reading
    let colours = [&[][..], &["red"], &["blue", "red"]][random.usize(0..3)];
    tags.extend(colours.iter().map(|tag| (*tag).to_owned()));
    let (kind, payload, attempts) = match random.u8(0..10) {
        0..5 => ("echo", json!({ "number": random.u32(..) }), 5),
        5 => ("sleep", json!({ "ms": random.u16(1..200) }), 5),
        6 => ("sleep", json!({ "ms": random.u16(1..200), "progress": true }), 5),
        7 | 8 => ("fail", json!({ "times": random.u8(1..3) }), 5),
        _ => ("fail", json!({ "times": 9 }), 2),
    };
    json!({
        "kind": kind, "queue": queue, "tags": tags, "payload": payload, "max_attempts": attempts,
        "backoff": { "base_ms": 10, "cap_ms": 50 },
    })
}
