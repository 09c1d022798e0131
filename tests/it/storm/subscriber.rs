//! A subscriber that disconnects, stops reading, and stays away for longer than the log reaches back, but always
//! continues at its cursor.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::foreign::{self, Program};
use super::received::Received;
use super::transports::{SOON, Transport};
use super::want::Want;
use crate::support::eventually;
use crate::support::http::seq_of;

/// The progress of the test, which all tasks can see.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The last event that the scribe has recorded.
    pub seq: u64,
    /// The number of jobs that have not ended.
    pub live: usize,
    /// Whether the test is ending, so that every subscriber reads to the end without misbehaving.
    pub ending: bool,
}

/// The server's address, a client, and the progress of the test.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub progress: watch::Receiver<Progress>,
}

impl Place {
    /// The last event that the scribe has recorded.
    pub fn scribe(&self) -> u64 {
        self.progress.borrow().seq
    }

    /// Waits until that many more events have been recorded, or the test is ending.
    async fn pass(&self, events: u64) {
        let mut progress = self.progress.clone();
        let until = progress.borrow().seq + events;
        progress.wait_for(|progress| progress.ending || progress.seq >= until).await.ok();
    }
}

/// The behaviour of a subscriber during one connection.
pub struct Behaviour {
    random: Rng,
    /// The number of messages until it disconnects.
    patience: Option<u32>,
    /// The number of messages until it stops reading, and for how many events it does.
    stall: Option<(u32, u64)>,
}

impl Behaviour {
    fn any(random: &mut Rng) -> Behaviour {
        let mut random = random.fork();
        let patience = (random.u8(0..3) == 0).then(|| random.u32(1..60));
        let stall = (random.u8(0..3) == 0).then(|| (random.u32(1..40), random.u64(50..1_500)));
        Behaviour { random, patience, stall }
    }

    pub fn is_ending(&self, place: &Place) -> bool {
        place.progress.borrow().ending
    }

    /// Whether to disconnect after this message. Before it answers, it may stop reading for a while.
    pub async fn has_enough(&mut self, place: &Place) -> bool {
        if self.is_ending(place) {
            return false;
        }
        if let Some((left, events)) = &mut self.stall {
            *left = left.saturating_sub(1);
            if *left == 0 {
                place.pass(*events).await;
                self.stall = None;
            }
        }
        let Some(left) = &mut self.patience else { return false };
        *left = left.saturating_sub(1);
        *left == 0
    }

    /// The number of events to request in one poll.
    pub fn page(&mut self) -> usize {
        self.random.usize(1..1_000)
    }

    /// Returns when the client gives up a poll that the server holds; mostly never.
    pub async fn hangs_up(&mut self) {
        match self.patience {
            Some(patience) => sleep(Duration::from_millis(patience.into())).await,
            None => std::future::pending().await,
        }
    }

    /// Waits between two connections: mostly for a moment, sometimes for more events than the log keeps.
    async fn away(&mut self, place: &Place, kept: u64) {
        match self.random.u8(0..10) {
            0 => place.pass(kept + kept / 4).await,
            1 => place.pass(kept / 8).await,
            2 => sleep(Duration::from_millis(self.random.u64(0..500))).await,
            _ => sleep(SOON).await,
        }
    }
}

/// A running subscriber, which is stopped when dropped.
pub struct Subscriber {
    /// The client that it uses.
    pub name: &'static str,
    pub want: Want,
    pub received: Arc<Mutex<Received>>,
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Starts a subscriber that misbehaves; the log keeps `kept` events.
    pub fn start(
        transport: Transport,
        want: Want,
        from: &str,
        place: Place,
        kept: u64,
        random: &mut Rng,
    ) -> Self {
        let mut random = random.fork();
        let received =
            Arc::new(Mutex::new(Received { cursor: from.to_owned(), ..Received::default() }));
        let shared = received.clone();
        let task = tokio::spawn(async move {
            loop {
                let mut behaviour = Behaviour::any(&mut random);
                transport.connect(&place, want, &shared, &mut behaviour).await;
                if behaviour.is_ending(&place) {
                    sleep(SOON).await;
                } else {
                    behaviour.away(&place, kept).await;
                    if random.u8(0..4) == 0 {
                        shared.lock().unwrap().step_back(random.u64(1..50));
                    }
                }
            }
        });
        Subscriber { name: transport.name(), want, received, task }
    }

    /// Starts the scribe, which never misbehaves, must never see a gap, and publishes the progress.
    pub fn scribe(from: &str, place: Place, tell: watch::Sender<Progress>) -> Subscriber {
        let (transport, want) = (Transport::Socket(super::ALONE), Want::ALL);
        let received =
            Arc::new(Mutex::new(Received { cursor: from.to_owned(), ..Received::default() }));
        let shared = received.clone();
        let task = tokio::spawn(async move {
            let writing = async {
                loop {
                    let mut behaviour =
                        Behaviour { random: Rng::new(), patience: None, stall: None };
                    transport.connect(&place, want, &shared, &mut behaviour).await;
                    sleep(SOON).await;
                }
            };
            let telling = async {
                let mut counted = 0;
                loop {
                    sleep(Duration::from_millis(5)).await; // between two checks
                    let received = shared.lock().unwrap();
                    assert!(
                        received.gaps.is_empty(),
                        "the scribe was too slow: {:?}",
                        received.gaps
                    );
                    let news = received.events[counted..].iter();
                    let is_end = |event: &&Value| {
                        let end = ["completed", "discarded", "cancelled"];
                        end.iter().any(|state| event["job"]["state"] == *state)
                    };
                    let begun =
                        news.clone().filter(|event| event["type"] == "job.enqueued").count();
                    let ended = news.filter(is_end).count();
                    counted = received.events.len();
                    let seq =
                        received.events.last().map_or(0, |event| event["seq"].as_u64().unwrap());
                    tell.send_if_modified(|progress| {
                        progress.live = progress.live + begun - ended;
                        std::mem::replace(&mut progress.seq, seq) != seq
                    });
                }
            };
            tokio::join!(writing, telling);
        });
        Subscriber { name: transport.name(), want, received, task }
    }

    /// Starts an external program, which prints what it receives.
    pub fn program(
        program: &Program,
        want: Want,
        from: &str,
        place: Place,
        seed: u64,
    ) -> Subscriber {
        let received = Received { cursor: from.to_owned(), ..Received::default() };
        let received = Arc::new(Mutex::new(received));
        let command = program.run(&format!("http://{}", place.address), &want, from, seed);
        let task = tokio::spawn(foreign::follow(command, received.clone(), want, place));
        Subscriber { name: program.name, want, received, task }
    }

    /// Asserts that the subscriber has not failed.
    pub fn assert_lives(&self) {
        assert!(
            !self.task.is_finished(),
            "a subscriber has failed: {:?} {:?}",
            self.name,
            self.want
        );
    }

    /// Waits until it has seen everything up to an event.
    pub async fn upto(&self, seq: u64) {
        eventually(&format!("{:?} {:?} at event {seq}", self.name, self.want), || async {
            self.assert_lives();
            (seq_of(&self.received.lock().unwrap().cursor) >= seq).then_some(())
        })
        .await
    }
}
