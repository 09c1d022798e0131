//! The changes that a log applies in one atomic step.

use crate::job::JobId;

/// Changes in the order in which they were made; the last one of a key counts.
#[derive(Debug, Default)]
pub struct WriteBatch {
    writes: Vec<Write>,
    bytes: u64,
    marks: Vec<Mark>,
    /// The jobs that the batch enqueues from the inbox.
    taken: Vec<JobId>,
    /// The size of the events in the batch before compression, as callers submitted them.
    pub event_bytes: u64,
    /// Whether this process appends again at once. Then others need not be told of this batch.
    pub is_followed: bool,
    /// The node that appends the batch, which others are told.
    pub writer: Option<u64>,
}

/// One change.
#[derive(Debug)]
pub enum Write {
    /// Stores a value. A value of `replaced` bytes was under the key before, or none when that is 0.
    Put { key: Vec<u8>, value: Vec<u8>, replaced: usize },
    /// Removes a value of `len` bytes.
    Remove { key: Vec<u8>, len: usize },
}

/// What is special about a batch. Tests inject faults where such a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It adds a run of finished jobs to the archive.
    Run,
    /// It drops or rewrites a run.
    Prune,
    /// It copies jobs forward.
    Carry,
    /// It gives back the leases of the previous process.
    Rescue,
}

impl WriteBatch {
    /// Stores a value under a key that has none, or one that is not longer.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.replace(key, 0, value);
    }

    /// Stores a value where one of `replaced` bytes was, or none when that is 0.
    pub fn replace(&mut self, key: impl Into<Vec<u8>>, replaced: usize, value: Vec<u8>) {
        let key = key.into();
        self.bytes += (key.len() + value.len()) as u64;
        self.writes.push(Write::Put { key, value, replaced });
    }

    /// Removes a value that was `len` bytes long when it was put.
    pub fn remove(&mut self, key: impl Into<Vec<u8>>, len: usize) {
        let key = key.into();
        self.bytes += key.len() as u64;
        self.writes.push(Write::Remove { key, len });
    }

    /// Takes a job out of the inbox, which has to be there. A batch that takes something has a chunk.
    pub fn take(&mut self, id: JobId) {
        self.taken.push(id);
    }

    /// The jobs that it takes out of the inbox.
    pub fn taken(&self) -> &[JobId] {
        &self.taken
    }

    /// Marks the batch as special.
    pub fn mark(&mut self, mark: Mark) {
        if !self.marks.contains(&mark) {
            self.marks.push(mark);
        }
    }

    /// Adds the changes of another batch behind these.
    pub fn append(&mut self, mut other: WriteBatch) {
        self.writes.append(&mut other.writes);
        self.taken.append(&mut other.taken);
        self.bytes += other.bytes;
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The bytes of all keys and values in it.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is special about it.
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The changes, in order.
    pub fn into_writes(self) -> impl Iterator<Item = Write> {
        self.writes.into_iter()
    }
}
