//! The lengths of the rows that are written again and again.

use std::collections::BTreeMap;

use crate::store::log::WriteBatch;

/// The length of each row by its key, so that no part of a longer one is left behind when it is replaced.
#[derive(Debug, Default)]
pub struct RowLengths(BTreeMap<Vec<u8>, usize>);

impl RowLengths {
    /// Notes the length of a row that was read.
    pub fn note(&mut self, key: Vec<u8>, len: usize) {
        self.0.insert(key, len);
    }

    /// Writes a row, which may replace one.
    pub fn put(&mut self, writes: &mut WriteBatch, key: Vec<u8>, value: Vec<u8>) {
        let before = self.0.insert(key.clone(), value.len()).unwrap_or_default();
        writes.replace(key, before, value);
    }

    /// Removes a row.
    pub fn remove(&mut self, writes: &mut WriteBatch, key: Vec<u8>) {
        let before = self.0.remove(&key).unwrap_or_default();
        writes.remove(key, before);
    }
}
