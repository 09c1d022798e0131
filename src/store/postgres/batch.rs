//! A batch of the log as the parameters of one statement.

use std::collections::BTreeMap;

use super::keys::KeyPlace;
use crate::store::StoreError;
use crate::store::log::{Write, WriteBatch};

/// The changes of a batch by what happens to them. Each key is there once, because a statement sees only the state
/// before it and could not change a row twice.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BatchChanges {
    /// The numbers of new chunks, ascending, and their bodies.
    pub chunks: Vec<i64>,
    pub bodies: Vec<Vec<u8>>,
    /// The keys of stored rows, ascending, and their values.
    pub keys: Vec<Vec<u8>>,
    pub values: Vec<Vec<u8>>,
    pub removed_chunks: Vec<i64>,
    pub removed_keys: Vec<Vec<u8>>,
    /// The ids of rows of the inbox that are removed, and without which nothing is changed; ascending.
    pub taken: Vec<String>,
    /// The size of the keys and values.
    pub bytes: u64,
    /// The size of the events before compression.
    pub accepted_bytes: u64,
    /// Whether this process appends again at once.
    pub is_followed: bool,
    /// The node that appends.
    pub writer: Option<u64>,
}

impl BatchChanges {
    /// Sorts the changes of a batch; the last one of a key counts.
    ///
    /// # Errors
    /// When nothing can be stored under a key.
    pub fn of(batch: WriteBatch) -> Result<BatchChanges, StoreError> {
        let mut changes = BatchChanges {
            bytes: batch.bytes(),
            accepted_bytes: batch.event_bytes,
            is_followed: batch.is_followed,
            writer: batch.writer,
            ..BatchChanges::default()
        };
        changes.taken = batch.taken().iter().map(ToString::to_string).collect();
        changes.taken.sort_unstable(); // whoever locks several rows does so in one order
        let mut last = BTreeMap::new();
        for write in batch.into_writes() {
            match write {
                Write::Put { key, value, replaced: _ } => last.insert(key, Some(value)),
                Write::Remove { key, len: _ } => last.insert(key, None),
            };
        }
        for (key, value) in last {
            match (KeyPlace::to_write(&key)?, value) {
                (KeyPlace::Chunk(number), Some(body)) => {
                    changes.chunks.push(number);
                    changes.bodies.push(body);
                }
                (KeyPlace::Chunk(number), None) => changes.removed_chunks.push(number),
                (KeyPlace::Row, Some(value)) => {
                    changes.keys.push(key);
                    changes.values.push(value);
                }
                (KeyPlace::Row, None) => changes.removed_keys.push(key),
            }
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::postgres::keys::chunk_key;

    #[test]
    fn the_last_change_of_a_key_counts_and_chunks_are_in_order() {
        let mut batch = WriteBatch::default();
        batch.put(chunk_key(8), b"eight".to_vec());
        batch.put(chunk_key(7), b"seven".to_vec());
        batch.remove(chunk_key(3), 5);
        for (key, value) in [("a", "1"), ("a", "2"), ("b", "1")] {
            batch.put(key, value.into());
        }
        batch.remove("b", 1);
        batch.remove("c", 1);
        batch.put("c", b"again".to_vec());
        let changes = BatchChanges::of(batch).unwrap();
        assert_eq!(changes.chunks, [7, 8]);
        assert_eq!(changes.bodies, [b"seven".to_vec(), b"eight".to_vec()]);
        assert_eq!(changes.removed_chunks, [3]);
        assert_eq!(changes.keys, [b"a", b"c"]);
        assert_eq!(changes.values, [b"2".to_vec(), b"again".to_vec()]);
        assert_eq!(changes.removed_keys, [b"b"]);
    }
}
