//! The table of the journal's chunks: with which event each begins, and which are still needed. The chunks themselves
//! are rows of the log under `j` + chunk number.

use std::collections::VecDeque;
use std::sync::{Arc, RwLock};

use crate::job::Time;
use crate::store::Keep;
use crate::store::log::WriteBatch;

/// The key of a chunk.
pub fn key(chunk: u64) -> [u8; 9] {
    let mut key = [b'j'; 9];
    key[1..].copy_from_slice(&chunk.to_be_bytes());
    key
}

/// The number of the chunk with this key.
pub fn number(key: &[u8]) -> Option<u64> {
    let digits = key.strip_prefix(b"j")?;
    Some(u64::from_be_bytes(digits.try_into().ok()?))
}

/// The readers' side of the table: the first event of every durable chunk.
#[derive(Debug, Default)]
pub struct ChunkIndex {
    base: u64,
    first_seqs: VecDeque<u64>,
    /// The stored size of all chunks in bytes.
    pub bytes: u64,
}

impl ChunkIndex {
    /// Adds a durable chunk, which readers find from now on.
    pub fn add(&mut self, first_seq: u64, len: usize) {
        self.first_seqs.push_back(first_seq);
        self.bytes += len as u64;
    }

    /// The number of chunks.
    pub fn len(&self) -> usize {
        self.first_seqs.len()
    }

    /// The number of the next chunk.
    pub fn next(&self) -> u64 {
        self.base + self.first_seqs.len() as u64
    }

    /// The chunks that hold the events from `seq` on, oldest first, at most `max`.
    pub fn chunks_from(&self, seq: u64, max: usize) -> Vec<u64> {
        let from = self.first_seqs.partition_point(|first| *first <= seq).saturating_sub(1);
        (from..self.first_seqs.len()).take(max).map(|n| self.base + n as u64).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct ChunkMeta {
    first_seq: u64,
    at: Time,
    /// The stored length, which is needed to remove the chunk.
    len: u32,
    /// How many jobs of the index have this chunk in their trail.
    refs: u32,
}

/// The committer's side of the table. It includes chunks of groups that are still being written.
pub struct Journal {
    shared: Arc<RwLock<ChunkIndex>>,
    base: u64,
    metas: VecDeque<ChunkMeta>,
    /// References to chunks of the group that is being applied, which have no entry yet.
    fresh_refs: Vec<u32>,
    /// The stored size of all chunks in bytes.
    pub bytes: u64,
    undo: Option<JournalUndo>,
}

/// What a group has changed in the table.
#[derive(Default)]
struct JournalUndo {
    /// The number of the first chunk of the group.
    first: u64,
    /// The chunks that it has removed, oldest first.
    trimmed: Vec<ChunkMeta>,
    /// The chunks before it whose references it has changed, and whether it has added one.
    refs: Vec<(u64, bool)>,
}

/// The most chunks that one group removes, so that trimming never delays a group for long.
const MAX_TRIMMED_CHUNKS: usize = 256;

impl Journal {
    /// An empty table whose first chunk will have the number `base`.
    pub fn new(base: u64, shared: Arc<RwLock<ChunkIndex>>) -> Self {
        let mut index = shared.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *index = ChunkIndex { base, ..ChunkIndex::default() };
        drop(index);
        let metas = VecDeque::new();
        Journal { shared, base, metas, fresh_refs: Vec::new(), bytes: 0, undo: None }
    }

    /// Begins to keep what the next group changes.
    pub fn begin_undo(&mut self) {
        self.undo = Some(JournalUndo { first: self.next_chunk(), ..JournalUndo::default() });
    }

    /// Forgets what the group has changed.
    pub fn end_undo(&mut self) {
        self.undo = None;
    }

    /// Takes back what the group has changed.
    pub fn roll_back(&mut self) {
        let Some(JournalUndo { first, trimmed, refs }) = self.undo.take() else { return };
        self.fresh_refs.clear();
        self.metas.truncate(first.saturating_sub(self.base) as usize);
        let mut shared = self.shared.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        for meta in trimmed.into_iter().rev() {
            self.metas.push_front(meta);
            self.base -= 1;
            self.bytes += u64::from(meta.len);
            shared.first_seqs.push_front(meta.first_seq);
            shared.base -= 1;
            shared.bytes += u64::from(meta.len);
        }
        drop(shared);
        for (chunk, is_added) in refs {
            if let Some(refs) = self.refs(chunk) {
                *refs = if is_added { refs.saturating_sub(1) } else { *refs + 1 };
            }
        }
    }

    /// The number of the first event of the oldest chunk.
    pub fn first_seq(&self) -> Option<u64> {
        self.metas.front().map(|meta| meta.first_seq)
    }

    /// The number of the oldest chunk.
    pub fn first_chunk(&self) -> u64 {
        self.base
    }

    /// The number of the next chunk.
    pub fn next_chunk(&self) -> u64 {
        self.base + self.metas.len() as u64
    }

    /// Adds a chunk that is about to be written.
    pub fn stage(&mut self, first_seq: u64, at: Time) {
        let refs = if self.fresh_refs.is_empty() { 0 } else { self.fresh_refs.remove(0) };
        self.metas.push_back(ChunkMeta { first_seq, at, len: 0, refs });
    }

    /// Notes that the chunks from this number on were stored, and their lengths.
    pub fn stored(&mut self, first: u64, lens: &[usize]) {
        let place = (first.saturating_sub(self.base) as usize).min(self.metas.len());
        for (meta, len) in self.metas.range_mut(place..).zip(lens) {
            meta.len = *len as u32;
            self.bytes += *len as u64;
        }
    }

    /// Adds a chunk that is stored already.
    pub fn add(&mut self, first_seq: u64, at: Time, len: usize) {
        let number = self.next_chunk();
        self.stage(first_seq, at);
        self.stored(number, &[len]);
        let mut shared = self.shared.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.add(first_seq, len);
    }

    /// Corrects the times of chunks that were written while the clock was ahead: no chunk is younger than the next one,
    /// or than now. Otherwise it would not expire, nor anything after it, until the clock gets there again.
    pub fn correct_times(&mut self, now: Time) {
        let mut latest = now;
        for meta in self.metas.iter_mut().rev() {
            latest = latest.min(meta.at);
            meta.at = latest;
        }
    }

    /// Notes that one more job has this chunk in its trail.
    pub fn hold(&mut self, chunk: u64) {
        if let Some(refs) = self.refs(chunk) {
            *refs += 1;
            self.remember(chunk, true);
        }
    }

    /// Notes that a job no longer has these chunks in its trail.
    pub fn release(&mut self, chunks: impl Iterator<Item = u64>) {
        for chunk in chunks {
            if let Some(refs) = self.refs(chunk) {
                *refs = refs.saturating_sub(1);
                self.remember(chunk, false);
            }
        }
    }

    fn remember(&mut self, chunk: u64, is_added: bool) {
        if let Some(undo) = &mut self.undo
            && chunk < undo.first
        {
            undo.refs.push((chunk, is_added));
        }
    }

    fn refs(&mut self, chunk: u64) -> Option<&mut u32> {
        let place = usize::try_from(chunk.checked_sub(self.base)?).ok()?;
        if let Some(fresh) = place.checked_sub(self.metas.len()) {
            if fresh >= self.fresh_refs.len() {
                self.fresh_refs.resize(fresh + 1, 0);
            }
            return self.fresh_refs.get_mut(fresh);
        }
        self.metas.get_mut(place).map(|meta| &mut meta.refs)
    }

    /// The number of the newest event that is past the retention; events up to it may be removed.
    pub fn expired_up_to(&self, head: u64, now: Time, keep: Keep) -> u64 {
        let by_count = head.saturating_sub(keep.count);
        let young = self.metas.partition_point(|meta| meta.at.after(keep.age) <= now);
        let by_age = match self.metas.get(young) {
            Some(meta) => meta.first_seq.saturating_sub(1),
            None => head,
        };
        by_count.max(by_age).min(head)
    }

    /// Removes the oldest chunks that are no longer needed: no job has them in its trail, and all their events are at
    /// or below `expired`. Stops at the first one that is needed.
    pub fn trim(&mut self, expired: u64, writes: &mut WriteBatch) {
        for _ in 0..MAX_TRIMMED_CHUNKS {
            let (Some(first), Some(second)) = (self.metas.front(), self.metas.get(1)) else {
                return;
            };
            if first.refs > 0 || second.first_seq > expired + 1 {
                return;
            }
            writes.remove(key(self.base), first.len as usize);
            self.drop_first();
        }
    }

    /// How many of the oldest chunks [`Journal::trim`] would remove.
    pub fn removable(&self, expired: u64) -> usize {
        let pairs = self.metas.iter().zip(self.metas.iter().skip(1)).take(MAX_TRIMMED_CHUNKS);
        pairs.take_while(|(first, next)| first.refs == 0 && next.first_seq <= expired + 1).count()
    }

    /// Removes the chunks below a number from the table, because another node has removed them.
    pub fn trimmed_below(&mut self, number: u64) {
        while self.base < number && !self.metas.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let Some(first) = self.metas.pop_front() else { return };
        self.bytes -= u64::from(first.len);
        self.base += 1;
        let mut shared = self.shared.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.first_seqs.pop_front();
        shared.base += 1;
        shared.bytes = shared.bytes.saturating_sub(u64::from(first.len));
        drop(shared);
        if let Some(undo) = &mut self.undo {
            undo.trimmed.push(first);
        }
    }

    /// The oldest chunk, if its events have expired and only jobs keep it from being removed.
    pub fn blocked_front(&self, expired: u64) -> Option<u64> {
        let (first, second) = (self.metas.front()?, self.metas.get(1)?);
        (first.refs > 0 && second.first_seq <= expired + 1).then_some(self.base)
    }

    /// Whether more than half of the chunks are in no job's trail. Then copying the other jobs forward costs less than
    /// it frees.
    pub fn is_mostly_dead(&self) -> bool {
        let live = self.metas.iter().filter(|meta| meta.refs > 0).count();
        live * 2 < self.metas.len()
    }

    /// The numbers of all chunks.
    pub fn chunks(&self) -> std::ops::Range<u64> {
        self.base..self.next_chunk()
    }

    /// The number of chunks.
    pub fn len(&self) -> usize {
        self.metas.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn journal() -> (Journal, Arc<RwLock<ChunkIndex>>) {
        let shared = Arc::default();
        let mut journal = Journal::new(10, Arc::clone(&shared));
        for (n, first_seq) in [1, 4, 4, 9].into_iter().enumerate() {
            journal.add(first_seq, Time::from_millis(n as i64 * 1_000), 100);
        }
        (journal, shared)
    }

    #[test]
    fn readers_find_the_chunk_of_an_event() {
        let (_journal, shared) = journal();
        let index = shared.read().unwrap();
        assert_eq!(index.chunks_from(1, 9), [10, 11, 12, 13]);
        assert_eq!(index.chunks_from(3, 2), [10, 11]);
        assert_eq!(index.chunks_from(4, 9), [12, 13]);
        assert_eq!(index.chunks_from(99, 9), [13]);
    }

    #[test]
    fn only_expired_and_unneeded_chunks_at_the_front_go() {
        let (mut journal, shared) = journal();
        let mut writes = WriteBatch::default();
        journal.trim(2, &mut writes);
        assert_eq!(journal.len(), 4, "event 3 is not expired");
        journal.hold(11);
        journal.trim(9, &mut writes);
        assert_eq!((journal.len(), journal.bytes), (3, 300));
        assert_eq!(journal.blocked_front(9), Some(11));
        journal.release([11].into_iter());
        journal.trim(9, &mut writes);
        assert_eq!(journal.len(), 1, "the newest chunk stays");
        assert_eq!(shared.read().unwrap().chunks_from(0, 9), [13]);
        assert_eq!(journal.next_chunk(), 14);
    }

    #[test]
    fn references_to_chunks_of_the_group_under_way_count() {
        let (mut journal, _) = journal();
        journal.hold(15);
        journal.add(10, Time::default(), 1);
        journal.add(11, Time::default(), 1);
        let mut writes = WriteBatch::default();
        journal.add(12, Time::default(), 1);
        journal.trim(12, &mut writes);
        assert_eq!(journal.blocked_front(12), Some(15));
    }

    #[test]
    fn chunks_of_a_clock_that_was_ahead_expire_with_their_neighbours() {
        let mut journal = Journal::new(0, Arc::default());
        for (first_seq, secs) in [(1, 10), (4, 900_000), (9, 900_001), (12, 20), (15, 900_000)] {
            journal.add(first_seq, Time::from_millis(secs * 1_000), 100);
        }
        let keep = Keep { count: 99, age: Duration::from_secs(60) };
        let expired = |journal: &Journal, secs: i64| {
            journal.expired_up_to(20, Time::from_millis(secs * 1_000), keep)
        };
        journal.correct_times(Time::from_millis(30_000));
        assert_eq!(expired(&journal, 79), 3);
        assert_eq!(expired(&journal, 80), 14, "up to the one that was written at 20 s");
        assert_eq!(expired(&journal, 90), 20, "the last one counts from the correction");
    }

    #[test]
    fn events_expire_by_count_and_by_age() {
        let (journal, _) = journal();
        let now = Time::from_millis(3_500);
        let keep = |count, secs| Keep { count, age: Duration::from_secs(secs) };
        assert_eq!(journal.expired_up_to(12, now, keep(5, 99)), 7);
        assert_eq!(journal.expired_up_to(12, now, keep(99, 2)), 3, "chunks 10 and 11 are old");
        assert_eq!(journal.expired_up_to(12, now, keep(99, 0)), 12);
    }
}
