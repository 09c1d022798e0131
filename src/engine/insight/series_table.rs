//! The last five minutes of each queue or of each kind: histories of a bounded number of names.

use std::collections::HashMap;
use std::hash::Hash;

use super::history::{SECONDS, Series};

/// The histories of queues or of kinds, by their names.
pub struct SeriesTable<K> {
    histories: Vec<NamedHistory<K>>,
    /// The most histories. A new one replaces the one that has been idle longest.
    max: usize,
    indexes: HashMap<K, usize>,
    /// The names whose histories were dropped, each with its last second, so that they are not taken for idle ones; as
    /// many as there are histories.
    dropped: HashMap<K, i64>,
    /// The newest second in a dropped history whose name is not known any more.
    forgotten_until: i64,
}

struct NamedHistory<K> {
    name: K,
    series: Series,
    /// The second from which on the history is complete: an earlier history of this name may have been dropped.
    complete_from: i64,
}

impl<K: Clone + Eq + Hash> SeriesTable<K> {
    pub fn new(max: usize) -> Self {
        SeriesTable {
            histories: Vec::new(),
            max,
            indexes: HashMap::new(),
            dropped: HashMap::new(),
            forgotten_until: i64::MIN,
        }
    }

    /// The index of a name, for [`SeriesTable::at`]. It is valid until another name is added.
    pub fn index(&mut self, name: &K, now: i64) -> usize {
        match self.indexes.get(name) {
            Some(index) => *index,
            None => self.add(name, now),
        }
    }

    /// The history at an index.
    pub fn at(&mut self, index: usize) -> &mut Series {
        &mut self.histories[index].series
    }

    /// The history of a name; `None` when nothing is known.
    pub fn get(&self, name: &K) -> Option<&Series> {
        let index = self.indexes.get(name)?;
        Some(&self.histories[*index].series)
    }

    /// The histories in which something happened at this second or later.
    pub fn since(&self, from: i64) -> impl Iterator<Item = (&K, &Series)> {
        let busy = self.histories.iter().filter(move |history| history.series.last() >= from);
        busy.map(|history| (&history.name, &history.series))
    }

    /// Whether everything that happened in the last five minutes is known.
    pub fn knows_recent(&self, name: &K, now: i64) -> bool {
        let from = oldest(now);
        match self.indexes.get(name) {
            Some(index) => self.histories[*index].complete_from <= from,
            None => {
                let was_active = self.dropped.get(name).is_some_and(|last| *last >= from);
                !was_active && self.forgotten_until < from
            }
        }
    }

    /// How many names with a dropped history are known.
    #[cfg(test)]
    pub fn dropped_len(&self) -> usize {
        self.dropped.len()
    }

    fn add(&mut self, name: &K, now: i64) -> usize {
        let is_complete = self.dropped.remove(name).is_none() && self.forgotten_until < oldest(now);
        let complete_from = if is_complete { i64::MIN } else { now };
        let fresh = NamedHistory { name: name.clone(), series: Series::default(), complete_from };
        let quietest =
            (0..self.histories.len()).min_by_key(|index| self.histories[*index].series.last());
        let index = match quietest {
            Some(index) if self.histories.len() >= self.max => {
                let dropped = std::mem::replace(&mut self.histories[index], fresh);
                self.indexes.remove(&dropped.name);
                self.remember_dropped(dropped.name, dropped.series.last(), now);
                index
            }
            Some(_) | None => {
                self.histories.push(fresh);
                self.histories.len() - 1
            }
        };
        self.indexes.insert(name.clone(), index);
        index
    }

    fn remember_dropped(&mut self, name: K, last: i64, now: i64) {
        if self.dropped.len() >= self.max {
            self.dropped.retain(|_, last| *last >= oldest(now));
        }
        if self.dropped.len() < self.max {
            self.dropped.insert(name, last);
        } else {
            self.forgotten_until = self.forgotten_until.max(last);
        }
    }
}

/// The oldest second of the five minutes before `now`.
pub fn oldest(now: i64) -> i64 {
    now - SECONDS as i64
}
