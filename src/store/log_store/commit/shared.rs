//! What the store's handle, its readers and the committer share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::{Notify, mpsc, watch};

use super::publish_time::Told;
use super::tuning::Tuning;
use crate::clock::Clock;
use crate::job::{Cursor, Epoch, Event, QueueName, Time};
use crate::store::log::Log;
use crate::store::log_store::archive::runs::Archive;
use crate::store::log_store::journal::chunks;
use crate::store::log_store::journal::chunks::Directory;
use crate::store::log_store::journal::codec::Chunk;
use crate::store::log_store::snapshot::pins::Pins;
use crate::store::search::Searches;
use crate::store::{Limits, Storage, StoreError};

pub struct Shared {
    pub log: Box<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub limits: Limits,
    pub tuning: Tuning,
    pub epoch: Epoch,
    /// The number of the newest durable event.
    pub head: AtomicU64,
    /// Events up to this number are no longer shown.
    pub oldest: AtomicU64,
    pub directory: Arc<RwLock<Directory>>,
    pub archive: RwLock<Archive>,
    pub followers: Mutex<Vec<mpsc::Sender<Arc<[Event]>>>>,
    /// What telling them costs the committer.
    told: Told,
    wakes: Mutex<HashMap<QueueName, Arc<Notify>>>,
    pub timer: Arc<Notify>,
    /// Why the store takes no commands, while it does not.
    down: watch::Sender<Option<StoreError>>,
    /// How often the directory had to be opened again.
    pub outages: AtomicU64,
    /// Readers of a snapshot, for whom nothing is removed.
    pub pins: Pins,
    /// Lists and searches under way.
    pub searches: Arc<Searches>,
    /// Reads of the log under way.
    pub log_reads: Arc<Searches>,
    /// When processes opened the store; set once, by the opening.
    pub starts: OnceLock<Vec<Time>>,
}

/// Channels of those who follow.
pub struct Followers(Vec<mpsc::Sender<Arc<[Event]>>>);

/// Events in a batch for followers: what waits in their channels is bounded by this times their length,
/// however large the groups are.
const TOLD_AT_ONCE: usize = 256;

impl Shared {
    pub fn new(
        log: Box<dyn Log>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        tuning: Tuning,
        epoch: Epoch,
    ) -> Shared {
        Shared {
            log,
            clock,
            limits,
            tuning,
            epoch,
            head: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            directory: Arc::default(),
            archive: RwLock::default(),
            followers: Mutex::default(),
            told: Told::default(),
            wakes: Mutex::default(),
            timer: Arc::default(),
            pins: Pins::default(),
            down: watch::Sender::new(None),
            outages: AtomicU64::new(0),
            searches: Arc::default(),
            log_reads: Arc::default(),
            starts: OnceLock::new(),
        }
    }

    /// The newest durable place.
    pub fn head(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.head.load(Ordering::Acquire) }
    }

    /// The oldest place from which the log is complete.
    pub fn oldest(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.oldest.load(Ordering::Acquire) }
    }

    pub fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.entry(queue.clone()).or_default().clone()
    }

    /// A stored chunk; `None` when it is gone.
    pub fn chunk(&self, number: u64) -> Result<Option<Chunk>, StoreError> {
        let Some(bytes) = self.log.get(&chunks::key(number))? else { return Ok(None) };
        let place = || format!("journal chunk {number} in {}", self.log.location());
        Chunk::decode(&bytes).map(Some).map_err(|why| why.at(place()))
    }

    /// How much is stored and was written.
    pub fn storage(&self) -> Result<Storage, StoreError> {
        let mut storage = Storage::default();
        self.log.measure(&mut storage)?;
        {
            let directory = self.directory.read().unwrap_or_else(PoisonError::into_inner);
            storage.journal_bytes = directory.bytes;
            storage.journal_chunks = directory.len() as u64;
        }
        let archive = self.archive();
        (storage.publish_p50_ns, storage.publish_p99_ns) = (self.told.at(50), self.told.at(99));
        storage.searches = self.searches.under_way();
        storage.log_reads = self.log_reads.under_way();
        storage.archive_runs = archive.runs.len() as u64;
        storage.archived_jobs = archive.runs.values().map(|run| run.len()).sum();
        Ok(storage)
    }

    /// Why no command is taken, if so.
    pub fn check(&self) -> Result<(), StoreError> {
        match &*self.down.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Waits until the store works, if it is going to.
    ///
    /// # Errors
    /// When it is closed or damaged instead.
    pub async fn outage_over(&self) -> Result<(), StoreError> {
        let is_outage =
            |down: &Option<StoreError>| matches!(down, Some(StoreError::Unavailable(_)));
        let mut down = self.down.subscribe();
        match down.wait_for(|down| !is_outage(down)).await.as_deref() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error.clone()),
            Err(_) => Err(StoreError::Closed),
        }
    }

    /// Refuses every command for good; the first reason stays.
    pub fn take_down(&self, error: StoreError) {
        self.down.send_modify(|down| _ = down.get_or_insert(error));
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Refuses every command with the newest reason, until [`Shared::resume`].
    pub fn suspend(&self, error: StoreError) {
        self.down.send_replace(Some(error));
    }

    /// Takes commands again, and tells everybody who may have missed a hint.
    pub fn resume(&self) {
        self.down.send_replace(None);
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.values().chain([&self.timer]).for_each(|wake| wake.notify_one());
    }

    /// Who follows now.
    pub fn followers(&self) -> Followers {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.is_closed());
        Followers(followers.clone())
    }

    /// Hands committed events to those who followed before anybody was answered, in batches of at most
    /// [`TOLD_AT_ONCE`]; nobody is waited for.
    pub fn tell(&self, followers: &Followers, events: Vec<Event>) {
        if followers.0.is_empty() || events.is_empty() {
            return;
        }
        let _timed = self.told.begin();
        // What waits in channels must not hold the payloads of thousands of jobs.
        let mut events = events.into_iter().map(Event::without_content);
        while events.len() > 0 {
            let batch: Arc<[Event]> = events.by_ref().take(TOLD_AT_ONCE).collect();
            for follower in &followers.0 {
                // Full: it sees a jump and reads the log. Closed: it is forgotten with the next group.
                let _missed = follower.try_send(batch.clone());
            }
        }
    }

    pub fn archive(&self) -> Archive {
        self.archive.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
