//! Splits values into pieces, because sled may store a value above 8 kB in `blobs/`, which is never synced.

use crate::store::log::{Write, WriteBatch};

/// The length of a piece in bytes; the last piece of a value may be shorter.
pub const PIECE_BYTES: usize = 7_168;

/// A batch for sled.
#[derive(Default)]
pub struct Pieces {
    pub batch: sled::Batch,
    /// The size of its keys and values in bytes.
    pub bytes: u64,
    /// The key of the current piece, a buffer that is reused.
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
            let piece = &value[n * PIECE_BYTES..value.len().min((n + 1) * PIECE_BYTES)];
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

/// The number of pieces of a value of `len` bytes. An empty value has one piece.
fn count(len: usize) -> usize {
    len.div_ceil(PIECE_BYTES).max(1)
}

/// The key of a piece of a value.
pub fn piece_key(key: &[u8], n: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&n.to_be_bytes());
    full
}
