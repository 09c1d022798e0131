//! A log in memory that several stores share, as several nodes share a database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::job::{Cursor, Epoch, JobId, Time};
use crate::store::log::conformance::{
    self, LogHarness, SharedLogHarness, shared_log_conformance_suite,
};
use crate::store::log::{
    AnnouncedChunk, Applied, Log, LogInbox, NodeHeartbeat, NodeMessage, Row, Rows, TurnRequest,
    Write, WriteBatch,
};
use crate::store::{InboxFigures, InboxRow, NotEnqueued, Storage, StoreError};

/// The values by their keys.
type RowTable = BTreeMap<Vec<u8>, Vec<u8>>;

/// What all handles share.
#[derive(Default)]
struct Content {
    rows: Mutex<RowTable>,
    /// Wakes those who wait for a chunk.
    changed: Condvar,
    /// What is known of each node.
    heartbeats: Mutex<BTreeMap<u64, MemoryHeartbeat>>,
    /// How many nodes were heard of.
    started: AtomicU64,
    /// How many appends were lost.
    lost: AtomicU64,
    /// Which nodes have asked for their turn, by number; each is forgotten with its next append.
    asked: Mutex<BTreeMap<u64, (String, TurnRequest)>>,
    /// Which nodes have written the chunks.
    writers: Mutex<BTreeMap<u64, u64>>,
    /// The submissions in the inbox.
    inbox: Mutex<BTreeMap<JobId, String>>,
    /// The submissions that made no job.
    dismissed: Mutex<Vec<NotEnqueued>>,
}

/// What is known of a node.
struct MemoryHeartbeat {
    name: String,
    /// How many nodes were heard of before it.
    started: u64,
    said: NodeMessage,
    at: Instant,
}

/// What goes wrong with the next append of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails before anything is written.
    Before,
    /// It is written, but the answer is lost.
    After,
    /// It fails, and is written when [`MemoryLog::commit_late`] is called, as by a server that was thought dead.
    Late,
}

/// The shared log, or one node's handle of it.
#[derive(Clone)]
pub struct MemoryLog {
    content: Arc<Content>,
    name: String,
    faults: Arc<Mutex<Vec<Fault>>>,
    /// What is written late.
    late: Arc<Mutex<Vec<Write>>>,
    is_shut: Arc<AtomicBool>,
    /// Whether the log cannot be opened again.
    pub is_away: Arc<AtomicBool>,
    /// Whether the node has stopped to say that it is at work.
    pub is_silent: Arc<AtomicBool>,
}

impl MemoryLog {
    /// An empty log.
    fn empty() -> MemoryLog {
        MemoryLog {
            content: Arc::default(),
            name: "nobody".into(),
            faults: Arc::default(),
            late: Arc::default(),
            is_shut: Arc::default(),
            is_away: Arc::default(),
            is_silent: Arc::default(),
        }
    }

    /// The handle of a node with this name.
    pub fn handle(&self, name: &str) -> MemoryLog {
        MemoryLog { content: self.content.clone(), name: name.into(), ..MemoryLog::empty() }
    }

    /// Makes the next append of this handle fail.
    pub fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push(fault);
    }

    /// Writes what was to be written late.
    pub fn commit_late(&self) {
        let mut rows = self.content.rows.lock().unwrap();
        for write in self.late.lock().unwrap().drain(..) {
            if let Write::Put { key, value, .. } = write {
                assert_eq!(rows.insert(key, value), None, "another append was first");
            }
        }
        self.content.changed.notify_all();
    }

    /// How many appends were lost to another node.
    pub fn lost(&self) -> u64 {
        self.content.lost.load(Ordering::Acquire)
    }

    /// Puts a submission into the inbox.
    pub fn submit(&self, id: JobId) {
        self.content.inbox.lock().unwrap().insert(id, String::new());
    }

    /// The ids in the inbox.
    pub fn waiting(&self) -> Vec<JobId> {
        self.content.inbox.lock().unwrap().keys().copied().collect()
    }

    /// How long ago each node was heard of.
    pub fn silences(&self) -> Vec<Duration> {
        let heartbeats = self.content.heartbeats.lock().unwrap();
        heartbeats.values().map(|heartbeat| heartbeat.at.elapsed()).collect()
    }

    fn rows(&self) -> Result<MutexGuard<'_, RowTable>, StoreError> {
        if self.is_shut.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the log is shut".into()));
        }
        Ok(self.content.rows.lock().unwrap())
    }
}

/// Whether there is a chunk with this key or a later one.
fn has_chunk(rows: &RowTable, key: &[u8]) -> bool {
    rows.range(key.to_vec()..).next().is_some_and(|(key, _)| key.starts_with(b"j"))
}

fn number_of(chunk: &[u8]) -> u64 {
    u64::from_be_bytes(chunk[1..].try_into().unwrap())
}

impl Log for MemoryLog {
    fn location(&self) -> &str {
        "memory"
    }

    fn name(&self) -> String {
        "the log in memory".into()
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows()?.get(key).cloned())
    }

    fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Rows {
        let rows = match self.rows() {
            Ok(rows) => rows,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let within = rows.range(from.max(prefix).to_vec()..);
        let within = within.take_while(|(key, _)| key.starts_with(prefix));
        let found: Vec<_> = within.map(|(key, value)| Ok((key.clone(), value.clone()))).collect();
        Box::new(found.into_iter())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn inbox(&self) -> Option<&dyn LogInbox> {
        Some(self)
    }

    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError> {
        let mut rows = self.rows()?;
        let mut inbox = self.content.inbox.lock().unwrap();
        let (taken, writer) = (batch.taken().to_vec(), batch.writer);
        let writes: Vec<Write> = batch.into_writes().collect();
        let chunks = writes.iter().filter_map(|write| match write {
            Write::Put { key, .. } => key.starts_with(b"j").then_some(key),
            Write::Remove { .. } => None,
        });
        if let Some(first) = chunks.min() {
            if has_chunk(&rows, first) || !taken.iter().all(|id| inbox.contains_key(id)) {
                self.content.lost.fetch_add(1, Ordering::AcqRel);
                // Not always all of them, as on a server.
                let others = rows.range(first.clone()..b"k".to_vec()).take(2);
                return Ok(Applied::Lost(others.map(|(k, v)| (k.clone(), v.clone())).collect()));
            }
            let newest = rows.range(b"j".to_vec()..b"k".to_vec()).next_back();
            if newest.is_some_and(|(newest, _)| number_of(newest) + 1 != number_of(first)) {
                return Err(StoreError::Unavailable("the chunk before it is missing".into()));
            }
        }
        let fault = self.faults.lock().unwrap().pop();
        let failed = || StoreError::Unavailable("the connection was lost".into());
        if fault == Some(Fault::Before) {
            return Err(failed());
        }
        if fault == Some(Fault::Late) {
            self.late.lock().unwrap().extend(writes);
            return Err(failed());
        }
        inbox.retain(|id, _| !taken.contains(id));
        if let Some(writer) = writer {
            self.content.asked.lock().unwrap().remove(&writer);
        }
        for write in writes {
            if let Write::Put { key, .. } = &write
                && key.starts_with(b"j")
                && let Some(writer) = writer
            {
                self.content.writers.lock().unwrap().insert(number_of(key), writer);
            }
            match write {
                Write::Put { key, value, .. } => rows.insert(key, value),
                Write::Remove { key, .. } => rows.remove(&key),
            };
        }
        self.content.changed.notify_all();
        if fault == Some(Fault::After) { Err(failed()) } else { Ok(Applied::Done) }
    }

    fn heartbeat(&self, message: NodeMessage) -> Result<Vec<NodeHeartbeat>, StoreError> {
        let mut heartbeats = self.content.heartbeats.lock().unwrap();
        if !self.is_silent.load(Ordering::Acquire) {
            heartbeats.retain(|other, heard| *other == message.node || heard.name != self.name);
            let before = heartbeats.get(&message.node).map(|heard| heard.started);
            let started =
                before.unwrap_or_else(|| self.content.started.fetch_add(1, Ordering::Relaxed));
            let (name, at) = (self.name.clone(), Instant::now());
            heartbeats.insert(message.node, MemoryHeartbeat { name, started, said: message, at });
        }
        let heartbeat = |heard: &MemoryHeartbeat| NodeHeartbeat {
            node: heard.said.node,
            name: heard.name.clone(),
            version: "0.0.0".into(),
            reads_snapshot: heard.said.reads_snapshot,
            silent_for: heard.at.elapsed(),
            started_at: Time::from_millis(heard.started.cast_signed()),
            seq: heard.said.seq,
            lag: Duration::ZERO,
            figures: heard.said.figures.clone(),
        };
        Ok(heartbeats.values().map(heartbeat).collect())
    }

    fn sign_off(&self, node: u64) -> Result<(), StoreError> {
        self.content.heartbeats.lock().unwrap().remove(&node);
        Ok(())
    }

    fn has_chunk(&self, number: u64) -> Result<bool, StoreError> {
        Ok(has_chunk(&*self.rows()?, &conformance::chunk(number)))
    }

    fn wait_for_chunk(&self, number: u64, at_most: Duration) -> Result<bool, StoreError> {
        let key = conformance::chunk(number);
        let rows = self.rows()?;
        let waits =
            |rows: &mut RowTable| !has_chunk(rows, &key) && !self.is_shut.load(Ordering::Acquire);
        let waited = self.content.changed.wait_timeout_while(rows, at_most, waits).unwrap();
        let is_there = has_chunk(&waited.0, &key);
        drop(waited);
        self.rows().map(|_| is_there)
    }

    fn ask_for_turn(&self, request: TurnRequest) {
        self.content.asked.lock().unwrap().insert(request.node, (self.name.clone(), request));
    }

    fn turn_requests(&self) -> Vec<TurnRequest> {
        let asked = self.content.asked.lock().unwrap();
        let others = asked.values().filter(|(name, _)| *name != self.name);
        others.map(|(_, request)| *request).collect()
    }

    /// As a server announces them: mostly with the writer, and short ones with their content.
    fn wait_for_announcement(
        &self,
        number: u64,
        at_most: Duration,
    ) -> Result<Option<AnnouncedChunk>, StoreError> {
        if !self.wait_for_chunk(number, at_most)? {
            return Ok(None);
        }
        let rows = self.rows()?;
        let newest = rows.range(b"j".to_vec()..b"k".to_vec()).next_back();
        let newest = newest.map_or(number, |(key, _)| number_of(key));
        let writers = self.content.writers.lock().unwrap();
        Ok(Some(AnnouncedChunk { number: newest, writer: writers.get(&newest).copied() }))
    }

    fn announced_chunks(&self, from: u64) -> Vec<Row> {
        let Ok(rows) = self.rows() else { return Vec::new() };
        let numbers = (from..).take_while(|number| !number.is_multiple_of(5));
        let found = numbers.map_while(|number| {
            let key = conformance::chunk(number);
            rows.get(&key).cloned().map(|value| (key, value))
        });
        found.collect()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.rows().map(drop)
    }

    fn begin_writing(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn recorded_head(&self, _epoch: Epoch) -> Result<Option<u64>, StoreError> {
        Ok(Some(0))
    }

    fn record_head(&self, _head: Cursor) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        self.rows().map(drop)
    }

    fn check_values(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn measure(&self, _storage: &mut Storage) -> Result<(), StoreError> {
        Ok(())
    }

    fn shut(&self) {
        let _rows = self.content.rows.lock().unwrap(); // nobody is about to wait
        self.is_shut.store(true, Ordering::Release);
        self.content.changed.notify_all();
    }

    fn reopen(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the log is away".into()));
        }
        self.is_shut.store(false, Ordering::Release);
        Ok(())
    }
}

impl LogInbox for MemoryLog {
    fn arrivals(&self) -> Arc<Notify> {
        Arc::default()
    }

    fn set_max_payload(&self, _bytes: usize) -> Result<(), StoreError> {
        Ok(())
    }

    fn read(&self, _node: u64, _kinds: Vec<String>) -> Result<Vec<InboxRow>, StoreError> {
        let inbox = self.content.inbox.lock().unwrap();
        let row = |(id, submission): (&JobId, &String)| InboxRow {
            id: *id,
            submission: submission.clone(),
            age: Duration::ZERO,
        };
        Ok(inbox.iter().map(row).collect())
    }

    fn figures(&self) -> Result<InboxFigures, StoreError> {
        let waiting = self.content.inbox.lock().unwrap().len() as u64;
        Ok(InboxFigures { waiting, oldest: Duration::ZERO, refused: 0 })
    }

    fn dismiss(&self, rows: Vec<NotEnqueued>) -> Result<(), StoreError> {
        let mut inbox = self.content.inbox.lock().unwrap();
        let gone = rows.into_iter().filter(|row| inbox.remove(&row.id).is_some());
        self.content.dismissed.lock().unwrap().extend(gone);
        Ok(())
    }
}

impl LogHarness for MemoryLog {
    fn new() -> Self {
        MemoryLog::empty()
    }

    fn open(&self) -> Box<dyn Log> {
        Box::new(self.handle("nobody"))
    }
}

impl SharedLogHarness for MemoryLog {
    fn open_as(&self, node: &str) -> Box<dyn Log> {
        Box::new(self.handle(node))
    }
}

shared_log_conformance_suite!(MemoryLog);
