//! What the store's handle, its readers and the committer share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tokio::sync::{Notify, mpsc, watch};

use super::node_table::NodeTable;
use super::publish_time::PublishTime;
use super::tuning::Tuning;
use crate::access::AccessTable;
use crate::clock::Clock;
use crate::job::{Cursor, Epoch, Event, QueueName, Time};
use crate::store::kinds::DeclaredKinds;
use crate::store::log::Log;
use crate::store::log_store::archive::runs::Archive;
use crate::store::log_store::journal::chunks;
use crate::store::log_store::journal::chunks::ChunkIndex;
use crate::store::log_store::journal::codec::Chunk;
use crate::store::log_store::journal::nodes::NodeId;
use crate::store::log_store::snapshot::pins::Pins;
use crate::store::search::ActiveReads;
use crate::store::{Storage, StoreError, StoreLimits};

/// The parts of an open store that are used by several threads.
pub struct Shared {
    pub log: Box<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub limits: StoreLimits,
    pub tuning: Tuning,
    pub epoch: Epoch,
    /// The number of the newest durable event.
    pub head: AtomicU64,
    /// Events up to this number are past their retention and no longer shown.
    pub oldest: AtomicU64,
    pub chunk_index: Arc<RwLock<ChunkIndex>>,
    pub archive: RwLock<Archive>,
    pub followers: Mutex<Vec<mpsc::Sender<Arc<[Event]>>>>,
    /// What publishing events to them costs the committer.
    publish_time: PublishTime,
    wakes: Mutex<HashMap<QueueName, Arc<Notify>>>,
    pub timer: Arc<Notify>,
    /// Notified when another node has added the first job of a queue, or changed a setting of one.
    pub queue_changes: Arc<Notify>,
    /// Why the store accepts no commands; `None` while it does.
    down: watch::Sender<Option<StoreError>>,
    /// How many outages there were.
    pub outages: AtomicU64,
    /// Readers of snapshots. Nothing is removed while there are any.
    pub pins: Pins,
    /// What the nodes of a shared log say about themselves.
    pub nodes: NodeTable,
    /// This process among those that write to the log; `None` where the log is not shared.
    pub node: Option<NodeId>,
    /// Lists and searches under way.
    pub searches: Arc<ActiveReads>,
    /// Reads of the log under way.
    pub log_reads: Arc<ActiveReads>,
    /// The table of users, tokens, sessions and share links as of the newest durable group.
    pub access: watch::Sender<Arc<AccessTable>>,
    /// The table of declared kinds as of the newest durable group.
    pub kinds: watch::Sender<Arc<DeclaredKinds>>,
    /// When processes opened the store.
    pub starts: RwLock<Vec<Time>>,
    /// When this process did; set once, by the opening.
    pub started_at: OnceLock<Time>,
}

/// The channels of the followers at one moment.
pub struct Followers(Vec<mpsc::Sender<Arc<[Event]>>>);

/// The most events in one batch for followers. It bounds what waits in their channels, however large groups are.
const PUBLISH_BATCH: usize = 256;

impl Shared {
    pub fn new(
        log: Box<dyn Log>,
        clock: Arc<dyn Clock>,
        limits: StoreLimits,
        tuning: Tuning,
        epoch: Epoch,
    ) -> Shared {
        let node = log.is_shared().then(|| NodeId(fastrand::u64(1..=i64::MAX.unsigned_abs())));
        Shared {
            log,
            clock,
            limits,
            tuning,
            epoch,
            head: AtomicU64::new(0),
            oldest: AtomicU64::new(0),
            chunk_index: Arc::default(),
            archive: RwLock::default(),
            followers: Mutex::default(),
            publish_time: PublishTime::default(),
            wakes: Mutex::default(),
            timer: Arc::default(),
            queue_changes: Arc::default(),
            pins: Pins::default(),
            nodes: NodeTable::default(),
            node,
            down: watch::Sender::new(None),
            outages: AtomicU64::new(0),
            searches: Arc::default(),
            log_reads: Arc::default(),
            access: watch::Sender::default(),
            kinds: watch::Sender::default(),
            starts: RwLock::default(),
            started_at: OnceLock::new(),
        }
    }

    /// The cursor of the newest durable event.
    pub fn head(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.head.load(Ordering::Acquire) }
    }

    /// The oldest cursor from which the log is complete.
    pub fn oldest(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.oldest.load(Ordering::Acquire) }
    }

    pub fn wake(&self, queue: &QueueName) -> Arc<Notify> {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.entry(queue.clone()).or_default().clone()
    }

    /// Reads a chunk; `None` when it was removed.
    pub fn chunk(&self, number: u64) -> Result<Option<Chunk>, StoreError> {
        let Some(bytes) = self.log.get(&chunks::key(number))? else { return Ok(None) };
        let place = || format!("journal chunk {number} in {}", self.log.location());
        Chunk::decode(&bytes).map(Some).map_err(|why| why.at(place()))
    }

    /// The number of the chunk that this process reads or writes next.
    pub fn next_chunk(&self) -> u64 {
        self.chunk_index.read().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Measures what is stored and what was written.
    pub fn storage(&self) -> Result<Storage, StoreError> {
        let mut storage = Storage::default();
        self.log.measure(&mut storage)?;
        {
            let chunk_index = self.chunk_index.read().unwrap_or_else(PoisonError::into_inner);
            storage.journal_bytes = chunk_index.bytes;
            storage.journal_chunks = chunk_index.len() as u64;
        }
        let archive = self.archive();
        (storage.publish_p50_ns, storage.publish_p99_ns) =
            (self.publish_time.at(50), self.publish_time.at(99));
        storage.publish_times = self.publish_time.totals();
        storage.searches = self.searches.count();
        storage.log_reads = self.log_reads.count();
        storage.archive_runs = archive.runs.len() as u64;
        storage.archived_jobs = archive.runs.values().map(|run| run.len()).sum();
        Ok(storage)
    }

    /// # Errors
    /// The reason why the store accepts no commands, if it does not.
    pub fn check(&self) -> Result<(), StoreError> {
        match &*self.down.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Waits until the outage is over.
    ///
    /// # Errors
    /// When the store is closed or damaged instead.
    pub async fn wait_for_outage_end(&self) -> Result<(), StoreError> {
        let is_outage =
            |down: &Option<StoreError>| matches!(down, Some(StoreError::Unavailable(_)));
        let mut down = self.down.subscribe();
        match down.wait_for(|down| !is_outage(down)).await.as_deref() {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error.clone()),
            Err(_) => Err(StoreError::Closed),
        }
    }

    /// Waits until the log was replaced by another one; never returns when the store is closed before that.
    pub async fn wait_for_replacement(&self) -> StoreError {
        let is_replaced = |down: &Option<StoreError>| matches!(down, Some(StoreError::Replaced(_)));
        let mut down = self.down.subscribe();
        let found = down.wait_for(is_replaced).await.ok().and_then(|down| down.clone());
        match found {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Refuses every command from now on. The first reason is kept.
    pub fn close_with(&self, error: StoreError) {
        self.down.send_modify(|down| _ = down.get_or_insert(error));
        self.followers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Refuses every command until [`Shared::resume`]. The newest reason is kept.
    pub fn suspend(&self, error: StoreError) {
        self.down.send_replace(Some(error));
    }

    /// Accepts commands again, and wakes every loop that may have missed a wake.
    pub fn resume(&self) {
        self.down.send_replace(None);
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.values().chain([&self.timer]).for_each(|wake| wake.notify_one());
    }

    /// The present followers.
    pub fn followers(&self) -> Followers {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.is_closed());
        Followers(followers.clone())
    }

    /// Sends durable events to those who followed before the callers were answered, in batches of at most
    /// [`PUBLISH_BATCH`]. It never waits.
    pub fn publish(&self, followers: &Followers, events: Vec<Event>) {
        if followers.0.is_empty() || events.is_empty() {
            return;
        }
        let _timed = self.publish_time.begin();
        // Events that wait in a channel must not keep the payloads of thousands of jobs in memory.
        let mut events = events.into_iter().map(Event::without_content);
        while events.len() > 0 {
            let batch: Arc<[Event]> = events.by_ref().take(PUBLISH_BATCH).collect();
            for follower in &followers.0 {
                // A follower whose channel is full sees a gap and reads the log. A closed one is dropped later.
                let _missed = follower.try_send(batch.clone());
            }
        }
    }

    pub fn archive(&self) -> Archive {
        self.archive.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
