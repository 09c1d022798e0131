//! A subscriber with moods: it hangs up, stands still without reading, stays away for longer than the log
//! reaches back, and always comes back to where it was.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::doors::{Door, SOON};
use super::foreign::{self, Program};
use super::told::Told;
use super::want::Want;
use crate::support::eventually;
use crate::support::http::seq_of;

/// What everybody knows of the storm.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// The last event that the scribe has written down.
    pub seq: u64,
    /// Jobs that have not ended.
    pub live: usize,
    /// No more moods: everybody reads to the end.
    pub calm: bool,
}

/// The server's address, a client, and the weather there.
#[derive(Clone)]
pub struct Place {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub weather: watch::Receiver<Weather>,
}

impl Place {
    /// How far the scribe is.
    pub fn scribe(&self) -> u64 {
        self.weather.borrow().seq
    }

    /// Waits until so many more events have been written down, or it is calm.
    async fn pass(&self, events: u64) {
        let mut weather = self.weather.clone();
        let until = weather.borrow().seq + events;
        weather.wait_for(|weather| weather.calm || weather.seq >= until).await.ok();
    }
}

/// What a subscriber feels like in one connection.
pub struct Mood {
    random: Rng,
    /// Messages until it hangs up.
    patience: Option<u32>,
    /// Messages until it stands still, and for how many events.
    stall: Option<(u32, u64)>,
}

impl Mood {
    fn any(random: &mut Rng) -> Mood {
        let mut random = random.fork();
        let patience = (random.u8(0..3) == 0).then(|| random.u32(1..60));
        let stall = (random.u8(0..3) == 0).then(|| (random.u32(1..40), random.u64(50..1_500)));
        Mood { random, patience, stall }
    }

    pub fn is_calm(&self, place: &Place) -> bool {
        place.weather.borrow().calm
    }

    /// After each message: whether to hang up. Meanwhile it may stand still.
    pub async fn has_enough(&mut self, place: &Place) -> bool {
        if self.is_calm(place) {
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

    /// Events of one poll.
    pub fn page(&mut self) -> usize {
        self.random.usize(1..1_000)
    }

    /// Ends when it has lost its patience with an answer that is held; mostly never.
    pub async fn hangs_up(&mut self) {
        match self.patience {
            Some(patience) => sleep(Duration::from_millis(patience.into())).await,
            None => std::future::pending().await,
        }
    }

    /// Between two connections: mostly it is back at once, sometimes after more than the log keeps.
    async fn away(&mut self, place: &Place, kept: u64) {
        match self.random.u8(0..10) {
            0 => place.pass(kept + kept / 4).await,
            1 => place.pass(kept / 8).await,
            2 => sleep(Duration::from_millis(self.random.u64(0..500))).await,
            _ => sleep(SOON).await,
        }
    }
}

/// Ended when dropped.
pub struct Subscriber {
    /// What it reads with.
    pub name: &'static str,
    pub want: Want,
    pub told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// One that has moods, in a storm where the log keeps so many events.
    pub fn start(
        door: Door,
        want: Want,
        from: &str,
        place: Place,
        kept: u64,
        random: &mut Rng,
    ) -> Self {
        let mut random = random.fork();
        let told = Arc::new(Mutex::new(Told { cursor: from.to_owned(), ..Told::default() }));
        let shared = told.clone();
        let task = tokio::spawn(async move {
            loop {
                let mut mood = Mood::any(&mut random);
                door.connect(&place, want, &shared, &mut mood).await;
                if mood.is_calm(&place) {
                    sleep(SOON).await;
                } else {
                    mood.away(&place, kept).await;
                    if random.u8(0..4) == 0 {
                        shared.lock().unwrap().step_back(random.u64(1..50));
                    }
                }
            }
        });
        Subscriber { name: door.name(), want, told, task }
    }

    /// The scribe: it has no moods, must never see a gap, and tells the weather.
    pub fn scribe(from: &str, place: Place, tell: watch::Sender<Weather>) -> Subscriber {
        let (door, want) = (Door::Socket(super::ALONE), Want::ALL);
        let told = Arc::new(Mutex::new(Told { cursor: from.to_owned(), ..Told::default() }));
        let shared = told.clone();
        let task = tokio::spawn(async move {
            let writing = async {
                loop {
                    let mut mood = Mood { random: Rng::new(), patience: None, stall: None };
                    door.connect(&place, want, &shared, &mut mood).await;
                    sleep(SOON).await;
                }
            };
            let telling = async {
                let mut counted = 0;
                loop {
                    sleep(Duration::from_millis(5)).await; // between two looks
                    let told = shared.lock().unwrap();
                    assert!(told.gaps.is_empty(), "the scribe was too slow: {:?}", told.gaps);
                    let news = told.events[counted..].iter();
                    let is_end = |event: &&Value| {
                        let end = ["completed", "discarded", "cancelled"];
                        end.iter().any(|state| event["job"]["state"] == *state)
                    };
                    let begun =
                        news.clone().filter(|event| event["type"] == "job.enqueued").count();
                    let ended = news.filter(is_end).count();
                    counted = told.events.len();
                    let seq = told.events.last().map_or(0, |event| event["seq"].as_u64().unwrap());
                    tell.send_if_modified(|weather| {
                        weather.live = weather.live + begun - ended;
                        std::mem::replace(&mut weather.seq, seq) != seq
                    });
                }
            };
            tokio::join!(writing, telling);
        });
        Subscriber { name: door.name(), want, told, task }
    }

    /// A program of its own, which prints what it is told.
    pub fn program(
        program: &Program,
        want: Want,
        from: &str,
        place: Place,
        seed: u64,
    ) -> Subscriber {
        let told = Told { cursor: from.to_owned(), ..Told::default() };
        let told = Arc::new(Mutex::new(told));
        let command = program.run(&format!("http://{}", place.address), &want, from, seed);
        let task = tokio::spawn(foreign::follow(command, told.clone(), want, place));
        Subscriber { name: program.name, want, told, task }
    }

    /// It has not met anything that must not be.
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
            (seq_of(&self.told.lock().unwrap().cursor) >= seq).then_some(())
        })
        .await
    }
}
