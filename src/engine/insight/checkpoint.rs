//! The counters at moments of the log, from which the counters of every other moment are counted. They are stored beside the
//! journal with the rows for charts.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::job::{Cursor, Kind, QueueName, QueueSettings, State};
use crate::store::{HistoryKey, HistoryRow, HistorySeries, HistoryStep, MAX_HISTORY_VALUE, Stats};

/// The fewest events between two checkpoints; so many are counted quickly.
const MIN_EVENTS: u64 = 4_096;
/// The most events between two checkpoints, so that counting from one to the next stays quick.
const MAX_EVENTS: u64 = 100_000;
/// A larger checkpoint comes after more events, so that all of them together take at most so many bytes an event.
const MAX_BYTES_PER_EVENT: u64 = 3;
/// The most checkpoints in memory. With more, every second one is forgotten.
const MAX_CHECKPOINTS: usize = 4_096;
/// A checkpoint that does not fit into one row has several, whose numbers differ in these low bits.
const PART_BITS: u32 = 12;

/// The numbers of jobs by state.
type CountsByState = BTreeMap<State, u64>;

/// What was counted up to an event, and what was set for queues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The last event that is counted.
    pub cursor: Cursor,
    /// The number of jobs in each state.
    pub states: CountsByState,
    /// The queues that had a job or a setting.
    pub queues: BTreeMap<QueueName, (CountsByState, QueueSettings)>,
    /// The kinds that had a job.
    pub kinds: BTreeMap<Kind, CountsByState>,
}

impl Checkpoint {
    /// The counters of the store at its cursor.
    pub fn of(stats: &Stats) -> Checkpoint {
        let counted = |counts: &CountsByState| -> CountsByState {
            counts.iter().filter(|(_, count)| **count > 0).map(|(state, n)| (*state, *n)).collect()
        };
        let queues = stats.queues.iter();
        let queues =
            queues.map(|(name, queue)| (name.clone(), (counted(&queue.states), queue.settings)));
        let kinds = stats.kinds.iter().map(|(kind, counts)| (kind.clone(), counted(counts)));
        Checkpoint {
            cursor: stats.cursor,
            states: counted(&stats.states),
            queues: queues
                .filter(|(_, (counts, set))| !counts.is_empty() || !set.is_default())
                .collect(),
            kinds: kinds.filter(|(_, counts)| !counts.is_empty()).collect(),
        }
    }

    /// The counters of a log without events.
    pub fn empty(cursor: Cursor) -> Checkpoint {
        let (states, queues, kinds) = Default::default();
        Checkpoint { cursor, states, queues, kinds }
    }
}

/// All checkpoints of a log, in the order of their events.
#[derive(Debug, Default)]
pub struct Checkpoints {
    /// The number of the last event of each, and its encoded form.
    known: VecDeque<(u64, Vec<u8>)>,
    /// Those up to this event are stored or being stored.
    saved: u64,
    /// The value of `saved` before the rows that are being stored.
    saved_before: u64,
}

impl Checkpoints {
    /// Whether one is due after this event.
    pub fn is_due(&self, seq: u64) -> bool {
        let Some((last, encoded)) = self.known.back() else { return true };
        let bytes = u64::try_from(encoded.len()).unwrap_or(u64::MAX);
        seq.saturating_sub(*last) >= (bytes / MAX_BYTES_PER_EVENT).clamp(MIN_EVENTS, MAX_EVENTS)
    }

    /// Adds one, unless a later one is known.
    pub fn add(&mut self, checkpoint: &Checkpoint) {
        let seq = checkpoint.cursor.seq;
        if self.known.back().is_some_and(|(last, _)| *last >= seq) {
            return;
        }
        let Ok(encoded) = postcard::to_stdvec(checkpoint) else { return };
        self.known.push_back((seq, encoded));
        if self.known.len() > MAX_CHECKPOINTS {
            let mut place = 0;
            self.known.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }

    /// The newest one that counts no event after `seq`, and the oldest one after it.
    pub fn around(&self, seq: u64) -> (Option<Checkpoint>, Option<Checkpoint>) {
        let after = self.known.partition_point(|(at, _)| *at <= seq);
        let read = |place: Option<usize>| {
            let (_, encoded) = self.known.get(place?)?;
            postcard::from_bytes(encoded).ok()
        };
        (read(after.checked_sub(1)), read(Some(after)))
    }

    /// The number of the last event that the oldest one counts.
    pub fn oldest(&self) -> Option<u64> {
        self.known.front().map(|(seq, _)| *seq)
    }

    /// Adds those that the store has of this log. Rows of which a part is missing are passed over.
    pub fn resume(&mut self, rows: &[HistoryRow], head: Cursor) {
        let mut known: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        for (key, value) in rows {
            let (seq, part) = (key.number >> PART_BITS, key.number & ((1 << PART_BITS) - 1));
            match known.back_mut().filter(|(last, _)| *last == seq && part > 0) {
                Some((_, encoded)) => encoded.extend_from_slice(value),
                None => known.push_back((seq, value.clone())),
            }
        }
        known.retain(|(seq, encoded)| {
            let read = postcard::from_bytes::<Checkpoint>(encoded);
            read.is_ok_and(|it| it.cursor == Cursor { seq: *seq, ..head } && *seq <= head.seq)
        });
        self.saved = known.back().map_or(0, |(seq, _)| *seq);
        self.saved_before = self.saved;
        let newer = self.known.drain(..).filter(|(seq, _)| *seq > self.saved);
        known.extend(newer);
        self.known = known;
    }

    /// Forgets those whose events are gone, except the newest of them, from which later ones are counted.
    pub fn forget_before(&mut self, oldest: u64) {
        while self.known.get(1).is_some_and(|(seq, _)| *seq <= oldest) {
            self.known.pop_front();
        }
    }

    /// The rows of those that are not stored yet. [`Checkpoints::saved`] or [`Checkpoints::not_saved`] follows.
    pub fn save(&mut self) -> Vec<HistoryRow> {
        self.saved_before = self.saved;
        let mut rows = Vec::new();
        for (seq, encoded) in self.known.iter().filter(|(seq, _)| *seq > self.saved) {
            for (part, value) in encoded.chunks(MAX_HISTORY_VALUE).enumerate() {
                let part = u64::try_from(part).unwrap_or(u64::MAX);
                let number = (seq << PART_BITS) | part;
                let key = HistoryKey {
                    step: HistoryStep::Counters,
                    series: HistorySeries::Server,
                    number,
                };
                rows.push((key, value.to_vec()));
            }
        }
        if let Some((seq, _)) = self.known.back() {
            self.saved = self.saved.max(*seq);
        }
        rows
    }

    /// The rows of the last save were not stored, so that the next one has them, too.
    pub fn not_saved(&mut self) {
        self.saved = self.saved_before;
    }

    /// The number of the rows of the oldest checkpoint; those with a smaller one can be removed from the store.
    pub fn oldest_row(&self) -> u64 {
        self.oldest().unwrap_or(0) << PART_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Epoch;

    fn at(seq: u64) -> Cursor {
        Cursor { epoch: Epoch(7), seq }
    }

    fn with_queues(seq: u64, queues: usize) -> Checkpoint {
        let counts = CountsByState::from([(State::Available, seq), (State::Running, 2)]);
        let name = |n| QueueName::parse(&format!("queue-with-a-long-name-{n:06}")).unwrap();
        let queues = (0..queues).map(|n| (name(n), (counts.clone(), QueueSettings::default())));
        let queues = queues.collect();
        Checkpoint { states: counts.clone(), queues, ..Checkpoint::empty(at(seq)) }
    }

    #[test]
    fn checkpoints_survive_their_rows_however_large_they_are() {
        let mut checkpoints = Checkpoints::default();
        for (seq, queues) in [(10, 3), (20, 1_000), (30, 0)] {
            checkpoints.add(&with_queues(seq, queues));
        }
        let mut rows = checkpoints.save();
        assert!(rows.len() > 5, "the second one has several rows");
        assert!(rows.iter().all(|(_, value)| value.len() <= MAX_HISTORY_VALUE));
        assert!(checkpoints.save().is_empty(), "each is stored once");
        let mut resumed = Checkpoints::default();
        resumed.add(&with_queues(40, 1));
        resumed.resume(&rows, at(45));
        assert_eq!(resumed.around(25), (Some(with_queues(20, 1_000)), Some(with_queues(30, 0))));
        assert_eq!(resumed.around(9), (None, Some(with_queues(10, 3))));
        assert_eq!(resumed.around(99).0, Some(with_queues(40, 1)));
        assert_eq!(resumed.save().len(), 1, "only what the store does not have");
        // A part is missing, the log is another one, or the checkpoint is ahead of it.
        rows.remove(2);
        let mut damaged = Checkpoints::default();
        damaged.resume(&rows, at(29));
        assert_eq!(damaged.around(99), (Some(with_queues(10, 3)), None));
        let mut other = Checkpoints::default();
        other.resume(&rows, Cursor { epoch: Epoch(8), seq: 99 });
        assert_eq!(other.around(99), (None, None));
    }

    #[test]
    fn rows_that_were_not_stored_come_again() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.add(&with_queues(10, 1));
        assert_eq!(checkpoints.save().len(), 1);
        checkpoints.not_saved();
        checkpoints.add(&with_queues(20, 1));
        assert_eq!(checkpoints.save().len(), 2);
    }

    #[test]
    fn large_checkpoints_are_rare_and_old_ones_are_forgotten() {
        let mut checkpoints = Checkpoints::default();
        assert!(checkpoints.is_due(0));
        checkpoints.add(&with_queues(0, 1));
        assert!(!checkpoints.is_due(MIN_EVENTS - 1) && checkpoints.is_due(MIN_EVENTS));
        checkpoints.add(&with_queues(MIN_EVENTS, 1_000));
        assert!(!checkpoints.is_due(MIN_EVENTS + 9_000) && checkpoints.is_due(MIN_EVENTS + 20_000));
        checkpoints.add(&with_queues(50_000, 1));
        checkpoints.forget_before(49_999);
        assert_eq!(checkpoints.oldest(), Some(MIN_EVENTS), "the log between the two needs it");
        checkpoints.forget_before(50_000);
        assert_eq!(checkpoints.oldest(), Some(50_000));
        for n in 0..2 * MAX_CHECKPOINTS as u64 {
            checkpoints.add(&with_queues(60_000 + n, 0));
        }
        assert!(checkpoints.known.len() <= MAX_CHECKPOINTS);
    }
}
