//! Values in the pieces that sled is given: one above 8 kB could spill into `blobs/`, which is never synced.

use crate::store::log::{Write, WriteBatch};

/// The longest value sled is given, in bytes.
pub const PIECE: usize = 7_168;

/// A batch as sled takes it.
#[derive(Default)]
pub struct Pieces {
    pub batch: sled::Batch,
    /// Bytes of the keys and values in it.
    pub bytes: u64,
    /// The key of the piece at hand; reused, because sled copies short keys.
    key: Vec<u8>,
}

impl Pieces {
    /// Splits every value of a batch.
    pub fn of(batch: WriteBatch) -> Pieces {
        let mut pieces = Pieces::default();
        for write in batch.into_writes() {
            match write {
                Write::Put { key, value, replaced } => {
                    if count(replaced) > count(value.len()) {
                        pieces.remove(&key, replaced);
                    }
                    pieces.put(&key, &value);
                }
                Write::Remove { key, len } => pieces.remove(&key, len),
            }
        }
        pieces
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        for n in 0..count(value.len()) {
            let piece = &value[n * PIECE..value.len().min((n + 1) * PIECE)];
            self.set_key(key, n);
            self.bytes += (self.key.len() + piece.len()) as u64;
            self.batch.insert(&self.key[..], piece);
        }
    }

    fn remove(&mut self, key: &[u8], len: usize) {
        for n in 0..count(len) {
            self.set_key(key, n);
            self.bytes += self.key.len() as u64;
            self.batch.remove(&self.key[..]);
        }
    }

    fn set_key(&mut self, key: &[u8], n: usize) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.key.extend_from_slice(&(n as u16).to_be_bytes());
    }
}

/// How many pieces a value of so many bytes has; an empty one has one.
fn count(len: usize) -> usize {
    len.div_ceil(PIECE).max(1)
}

/// The key of a piece of a value.
pub fn piece_key(key: &[u8], n: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&n.to_be_bytes());
    full
}
