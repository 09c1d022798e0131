//! The newest chunks that this process has written or read, as the server stores them. The records of jobs are read from
//! chunks, mostly soon after they were written, and each read of the server would be a round trip.

use std::collections::BTreeMap;

/// How many bytes of chunks are kept. Jobs with 200 bytes of payload need about as much in the log, so these are the chunks of
/// the last 100,000 or so.
const MAX_BYTES: usize = 32 * 1_024 * 1_024;

/// Chunks by their numbers. What is stored under a number never changes while the log is the same.
#[derive(Debug, Default)]
pub struct RecentChunks {
    bodies: BTreeMap<i64, Vec<u8>>,
    bytes: usize,
}

impl RecentChunks {
    /// Keeps a chunk, and forgets the oldest ones if there is no room.
    pub fn add(&mut self, number: i64, body: Vec<u8>) {
        self.bytes += body.len();
        if let Some(replaced) = self.bodies.insert(number, body) {
            self.bytes -= replaced.len();
        }
        while self.bytes > MAX_BYTES
            && let Some((_, oldest)) = self.bodies.pop_first()
        {
            self.bytes -= oldest.len();
        }
    }

    /// Forgets a chunk that was removed.
    pub fn remove(&mut self, number: i64) {
        if let Some(removed) = self.bodies.remove(&number) {
            self.bytes -= removed.len();
        }
    }

    /// A chunk, if it is kept.
    pub fn get(&self, number: i64) -> Option<Vec<u8>> {
        self.bodies.get(&number).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_chunks_are_kept() {
        let mut recent = RecentChunks::default();
        let third = MAX_BYTES / 3;
        for number in 0..4 {
            recent.add(number, vec![0; third]);
        }
        assert_eq!((recent.get(0), recent.get(1).map(|body| body.len())), (None, Some(third)));
        recent.remove(2);
        recent.remove(2);
        recent.add(4, vec![0; third]);
        assert!(recent.get(1).is_some() && recent.get(2).is_none());
        recent.add(4, vec![1]);
        recent.add(5, vec![0; third]);
        assert_eq!(
            (recent.get(1).map(|body| body.len()), recent.get(4)),
            (Some(third), Some(vec![1]))
        );
        assert_eq!(recent.bytes, 3 * third + 1);
    }
}
