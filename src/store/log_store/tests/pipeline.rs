//! The pipeline: a group is written while the next one is applied.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::outage::{Faulty, back, is_unavailable};
use super::tiny::TINY;
use crate::job::{NewJob, State};
use crate::store::conformance::{Rig, draft};
use crate::store::sled::faults::{EIO, Faults, Point};
use crate::store::{EnqueueError, StoreLimits};

type Submission = JoinHandle<Result<(), EnqueueError>>;

/// A disk whose syncs can be held until the test says whether each of them fails.
struct Held {
    /// Receives a message for every sync that is held.
    reached: Receiver<()>,
    fails: Sender<bool>,
    holds: Arc<Mutex<bool>>,
    /// The last field, so that the syncs are released first when a test fails.
    rig: Rig<Faulty>,
}

impl Held {
    async fn open() -> Held {
        let (reach, reached) = channel();
        let (fails, word) = channel();
        let holds = Arc::new(Mutex::new(false));
        let held = holds.clone();
        let faults = Faults::watch(Box::new(move |point, _| {
            if point != Point::Sync || !*held.lock().unwrap() {
                return Ok(());
            }
            // When the test is over, every sync passes.
            let _over = reach.send(());
            match word.recv() {
                Ok(true) => Err(std::io::Error::from_raw_os_error(EIO)),
                Ok(false) | Err(_) => Ok(()),
            }
        }));
        let rig = Rig::open_with(Faulty::new(TINY, faults), StoreLimits::default()).await;
        Held { reached, fails, holds, rig }
    }

    fn submit(&self, job: NewJob) -> Submission {
        let store = self.rig.store.clone();
        tokio::spawn(async move { store.enqueue(vec![job]).await.map(drop) })
    }

    /// Submits a job whose group is held at its sync.
    async fn one_group(&self) -> Submission {
        *self.holds.lock().unwrap() = true;
        let submission = self.submit(draft().job());
        while self.reached.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        *self.holds.lock().unwrap() = false;
        submission
    }

    /// Submits such a job, and then another one that is applied meanwhile.
    async fn two_groups(&self) -> [Submission; 2] {
        let first = self.one_group().await;
        // The timer loop is woken as soon as the group is applied.
        let timer = self.rig.store.wake_timer();
        let notified = timer.notified();
        let second = self.submit(draft().after(Duration::from_secs(60)).job());
        let applied = timeout(Duration::from_secs(20), notified).await;
        applied.expect("the second group should be applied while the first is held");
        [first, second]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_applied_while_the_one_before_is_synced() {
    let held = Held::open().await;
    let groups = held.two_groups().await;
    assert_eq!(held.rig.store.head().seq, 0, "nothing is durable yet");
    assert!(groups.iter().all(|group| !group.is_finished()), "and nobody was told that it is");
    held.fails.send(false).unwrap();
    for group in groups {
        group.await.unwrap().unwrap();
    }
    assert_eq!(held.rig.jobs().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_applied_is_refused_with_the_one_before_it() {
    let held = Held::open().await;
    let groups = held.two_groups().await;
    held.fails.send(true).unwrap();
    for group in groups {
        let refused = group.await.unwrap();
        assert!(is_unavailable(&refused), "{refused:?}");
    }
    back(&held.rig).await;
    let stats = held.rig.stats().await;
    assert_eq!(stats.states.values().sum::<u64>(), 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_committer_notices_that_a_group_has_failed() {
    let held = Held::open().await;
    let refused = held.one_group().await;
    held.fails.send(true).unwrap();
    assert!(refused.await.unwrap().is_err());
    back(&held.rig).await; // although no command arrived meanwhile
    held.rig.add(draft()).await;
}

/// Reads do not show what is applied and not yet durable: they are of the cursor that they name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_is_durable() {
    let rig = Rig::open_with(Faulty::new(TINY, Faults::default()), StoreLimits::default()).await;
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, jobs) = (rig.store.clone(), [0; 100].map(|_| draft().job()));
            tokio::spawn(async move {
                for job in jobs {
                    store.enqueue(vec![job]).await.unwrap();
                }
            })
        })
        .collect();
    let mut looks = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        let stats = rig.stats().await;
        assert_eq!(stats.states[&State::Available], stats.cursor.seq, "one event for each job");
        looks += 1;
    }
    assert!(looks > 1);
}
