//! The changes of a group, in the pieces that sled is given: a value above 8 kB could spill into `blobs/`,
//! which is never synced.

use sled::IVec;

use super::faults::Point;

/// The longest value sled is given, in bytes.
pub const PIECE: usize = 7_168;

/// What a group changes; applied in one atomic step.
#[derive(Default)]
pub struct Ops {
    changes: Vec<(IVec, Option<IVec>)>,
    /// Bytes handed to sled, keys and values.
    pub bytes: u64,
    /// What is special about the group, for tests that strike there.
    marks: Vec<Point>,
    /// Bytes of the events in it, before compression: what callers gave.
    pub accepted: u64,
}

impl Ops {
    /// Stores a value under a key, in as many pieces as it needs.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        let mut pieces = value.chunks(PIECE).enumerate();
        if value.is_empty() {
            self.insert(piece_key(key, 0), &[]);
        }
        for (n, piece) in &mut pieces {
            self.insert(piece_key(key, n as u16), piece);
        }
    }

    /// Stores a value where one of `before` bytes was; 0 when there was none.
    pub fn replace(&mut self, key: &[u8], before: usize, value: &[u8]) {
        if before.div_ceil(PIECE) > value.len().div_ceil(PIECE) {
            self.remove(key, before);
        }
        self.put(key, value);
    }

    /// Removes a value that was `len` bytes long when it was put.
    pub fn remove(&mut self, key: &[u8], len: usize) {
        for n in 0..len.div_ceil(PIECE).max(1) {
            let key = piece_key(key, n as u16);
            self.bytes += key.len() as u64;
            self.changes.push((key.into(), None));
        }
    }

    /// Names a point that is passed while these changes are written.
    pub fn mark(&mut self, point: Point) {
        if !self.marks.contains(&point) {
            self.marks.push(point);
        }
    }

    fn insert(&mut self, key: Vec<u8>, value: &[u8]) {
        self.bytes += (key.len() + value.len()) as u64;
        self.changes.push((key.into(), Some(value.into())));
    }

    /// The special points of the group.
    pub fn marks(&self) -> &[Point] {
        &self.marks
    }

    /// Adds changes that were put together elsewhere.
    pub fn append(&mut self, mut other: Ops) {
        self.changes.append(&mut other.changes);
        self.bytes += other.bytes;
    }

    /// The changes as sled takes them.
    pub fn into_batch(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in self.changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

/// The key of a piece of a value.
pub fn piece_key(key: &[u8], n: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&n.to_be_bytes());
    full
}
