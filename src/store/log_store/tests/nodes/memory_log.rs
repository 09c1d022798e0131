//! A log in memory that several stores share, as several nodes share a database.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::job::{Cursor, Epoch};
use crate::store::log::{Applied, Log, NodeBeat, Rows, Write, WriteBatch};
use crate::store::{Storage, StoreError};

/// The values by their keys.
type RowTable = BTreeMap<Vec<u8>, Vec<u8>>;

/// What all handles share.
#[derive(Default)]
struct Content {
    rows: Mutex<RowTable>,
    appended: Condvar,
    beats: Mutex<BTreeMap<u64, (String, bool, Instant)>>,
    /// How many appends were lost.
    lost: AtomicU64,
}

/// What goes wrong with the next append of a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails before anything is written.
    Before,
    /// It is written, but the answer is lost.
    After,
}

/// The shared log, or one node's handle of it.
#[derive(Clone)]
pub struct MemoryLog {
    content: Arc<Content>,
    name: String,
    faults: Arc<Mutex<Vec<Fault>>>,
    is_shut: Arc<AtomicBool>,
    /// Whether the node has stopped to say that it is at work.
    pub is_silent: Arc<AtomicBool>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> MemoryLog {
        MemoryLog {
            content: Arc::default(),
            name: "nobody".into(),
            faults: Arc::default(),
            is_shut: Arc::default(),
            is_silent: Arc::default(),
        }
    }

    /// The handle of a node with this name.
    pub fn handle(&self, name: &str) -> MemoryLog {
        MemoryLog { content: self.content.clone(), name: name.into(), ..MemoryLog::new() }
    }

    /// Makes the next append of this handle fail.
    pub fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push(fault);
    }

    /// How many appends were lost to another node.
    pub fn lost(&self) -> u64 {
        self.content.lost.load(Ordering::Acquire)
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

fn chunk_key(number: u64) -> Vec<u8> {
    [&b"j"[..], &number.to_be_bytes()].concat()
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

    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError> {
        let mut rows = self.rows()?;
        let writes: Vec<Write> = batch.into_writes().collect();
        let chunks = writes.iter().filter_map(|write| match write {
            Write::Put { key, .. } => key.starts_with(b"j").then_some(key),
            Write::Remove { .. } => None,
        });
        let first = chunks.min().expect("a batch for a shared log has a chunk");
        if has_chunk(&rows, first) {
            self.content.lost.fetch_add(1, Ordering::AcqRel);
            return Ok(Applied::Lost);
        }
        let fault = self.faults.lock().unwrap().pop();
        let failed = || StoreError::Unavailable("the connection was lost".into());
        if fault == Some(Fault::Before) {
            return Err(failed());
        }
        for write in writes {
            match write {
                Write::Put { key, value, .. } => rows.insert(key, value),
                Write::Remove { key, .. } => rows.remove(&key),
            };
        }
        self.content.appended.notify_all();
        if fault == Some(Fault::After) { Err(failed()) } else { Ok(Applied::Done) }
    }

    fn apply_alone(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut rows = self.rows()?;
        for write in batch.into_writes() {
            match write {
                Write::Put { key, value, .. } => rows.insert(key, value),
                Write::Remove { key, .. } => rows.remove(&key),
            };
        }
        Ok(())
    }

    fn beat(&self, node: u64, reads_snapshot: bool) -> Result<Vec<NodeBeat>, StoreError> {
        let mut beats = self.content.beats.lock().unwrap();
        if !self.is_silent.load(Ordering::Acquire) {
            beats.retain(|other, (name, ..)| *other == node || *name != self.name);
            beats.insert(node, (self.name.clone(), reads_snapshot, Instant::now()));
        }
        let beat = |(node, (name, reads, at)): (&u64, &(String, bool, Instant))| NodeBeat {
            node: *node,
            name: name.clone(),
            version: "1.0.0".into(),
            reads_snapshot: *reads,
            silent_for: at.elapsed(),
        };
        Ok(beats.iter().map(beat).collect())
    }

    fn sign_off(&self, node: u64) -> Result<(), StoreError> {
        self.content.beats.lock().unwrap().remove(&node);
        Ok(())
    }

    fn wait_for_chunk(&self, number: u64, at_most: Duration) -> Result<bool, StoreError> {
        let key = chunk_key(number);
        let rows = self.rows()?;
        let is_missing = |rows: &mut RowTable| !has_chunk(rows, &key);
        let waited = self.content.appended.wait_timeout_while(rows, at_most, is_missing).unwrap();
        Ok(has_chunk(&waited.0, &key))
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
        self.is_shut.store(true, Ordering::Release);
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.is_shut.store(false, Ordering::Release);
        Ok(())
    }
}
