//! Which batch wrote the newest chunks that this process has seen. A server that was promoted without the last commits
//! may give their numbers to other chunks; a process must not append to a history that it has not read.

use std::collections::BTreeMap;

/// How many chunks are remembered. A batch follows the newest chunk that its process has read, and others may have been
/// read since.
const MAX: usize = 1_024;

/// The newest chunks that were read or written: their numbers, and the batches that wrote them.
#[derive(Debug, Default)]
pub struct KnownChunks(BTreeMap<i64, String>);

impl KnownChunks {
    /// Remembers a chunk.
    pub fn add(&mut self, number: i64, grp: &str) {
        if self.0.len() == MAX {
            if self.0.first_key_value().is_some_and(|(oldest, _)| number < *oldest) {
                return;
            }
            self.0.pop_first();
        }
        self.0.insert(number, grp.to_owned());
    }

    /// The batch that wrote a chunk, if this process has seen it.
    pub fn get(&self, number: i64) -> Option<String> {
        self.0.get(&number).cloned()
    }

    /// The newest chunk.
    pub fn newest(&self) -> Option<(i64, String)> {
        self.0.last_key_value().map(|(number, grp)| (*number, grp.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_chunks_are_remembered() {
        let mut known = KnownChunks::default();
        for number in 0..=MAX as i64 {
            known.add(number, &number.to_string());
        }
        known.add(0, "0");
        assert_eq!((known.get(0), known.get(1)), (None, Some("1".to_owned())));
        assert_eq!(known.newest(), Some((MAX as i64, MAX.to_string())));
    }
}
