//! The jobs that can be claimed: for each queue one ordered set per kind, and the merge of the sets that a claim may take
//! from. The cost of a claim does not grow with the jobs that wait for other kinds.

use std::cmp::{Ordering, Reverse};
use std::collections::binary_heap::PeekMut;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, btree_set};

use crate::job::{JobId, Kind, Time};

/// The place of a job in the order of claims: highest priority first, then the earliest time, then the smallest id.
pub type ReadyKey = (Reverse<i16>, Time, JobId);

/// The most priorities of a queue that are examined for the job that has waited longest; real queues use fewer.
const MAX_PRIORITIES: usize = 1_000;

/// The available jobs of one queue.
#[derive(Debug, Default)]
pub struct ReadySets {
    /// The sets that are not empty.
    by_kind: BTreeMap<Kind, BTreeSet<ReadyKey>>,
}

impl ReadySets {
    /// Adds a job.
    pub fn insert(&mut self, kind: &Kind, place: ReadyKey) {
        match self.by_kind.get_mut(kind) {
            Some(set) => {
                set.insert(place);
            }
            None => {
                self.by_kind.insert(kind.clone(), BTreeSet::from([place]));
            }
        }
    }

    /// Removes a job.
    pub fn remove(&mut self, kind: &Kind, place: ReadyKey) {
        if let Some(set) = self.by_kind.get_mut(kind) {
            set.remove(&place);
            if set.is_empty() {
                self.by_kind.remove(kind);
            }
        }
    }

    /// Whether no job is available.
    pub fn is_empty(&self) -> bool {
        self.by_kind.is_empty()
    }

    /// All available jobs.
    pub fn ids(&self) -> impl Iterator<Item = JobId> {
        self.by_kind.values().flatten().map(|(_, _, id)| *id)
    }

    /// How many jobs are before this place, counted up to `most`.
    pub fn before(&self, place: ReadyKey, most: usize) -> usize {
        self.by_kind.values().flat_map(|set| set.range(..place)).take(most).count()
    }

    /// Since when the job that has waited longest is available. It takes one step for each priority in use.
    pub fn waiting_since(&self) -> Option<Time> {
        let mut steps = MAX_PRIORITIES;
        self.by_kind.values().filter_map(|set| waiting_since(set, &mut steps)).min()
    }

    /// The sets of these kinds. It takes as many steps as there are kinds on the shorter side.
    fn of_kinds<'a>(&'a self, kinds: &'a BTreeSet<Kind>) -> Vec<&'a BTreeSet<ReadyKey>> {
        if kinds.len() < self.by_kind.len() {
            kinds.iter().filter_map(|kind| self.by_kind.get(kind)).collect()
        } else {
            let wanted = self.by_kind.iter().filter(|(kind, _)| kinds.contains(*kind));
            wanted.map(|(_, set)| set).collect()
        }
    }
}

/// Since when the job of a set that has waited longest is available, examining at least its first priority.
fn waiting_since(set: &BTreeSet<ReadyKey>, steps: &mut usize) -> Option<Time> {
    let mut next = set.first();
    let mut since: Option<Time> = None;
    while let Some(&(Reverse(priority), run_at, _)) = next {
        since = Some(since.map_or(run_at, |since| since.min(run_at)));
        let (Some(lower), Some(left)) = (priority.checked_sub(1), steps.checked_sub(1)) else {
            break;
        };
        *steps = left;
        let from = (Reverse(lower), Time::from_millis(i64::MIN), JobId::from_u128(0));
        next = set.range(from..).next();
    }
    since
}

/// What a claim may take of one queue.
pub struct ReadySource<'a> {
    /// The number of the queue.
    pub queue: u32,
    sets: Vec<&'a BTreeSet<ReadyKey>>,
    /// How many jobs may be taken.
    room: usize,
    taken: usize,
}

impl<'a> ReadySource<'a> {
    /// The available jobs of these kinds, of which `room` may be taken.
    pub fn new(
        queue: u32,
        ready: &'a ReadySets,
        kinds: &'a BTreeSet<Kind>,
        room: usize,
    ) -> ReadySource<'a> {
        ReadySource { queue, sets: ready.of_kinds(kinds), room, taken: 0 }
    }

    /// Whether jobs are left that could be taken if there were more room.
    pub fn holds_back(&self) -> bool {
        self.taken == self.room && self.sets.iter().map(|set| set.len()).sum::<usize>() > self.taken
    }
}

/// Takes the first `max` jobs of all sources in their common order.
pub fn take_first(sources: &mut [ReadySource<'_>], max: usize) -> Vec<JobId> {
    let mut heads = BinaryHeap::new();
    for (index, source) in sources.iter().enumerate() {
        for set in &source.sets {
            let mut rest = set.iter();
            heads.extend(rest.next().map(|next| Reverse(NextReady { next: *next, index, rest })));
        }
    }
    let mut ids = Vec::new();
    while ids.len() < max
        && let Some(mut first) = heads.peek_mut()
    {
        let Reverse(head) = &mut *first;
        let source = &mut sources[head.index];
        if source.taken == source.room {
            PeekMut::pop(first);
            continue;
        }
        source.taken += 1;
        ids.push(head.next.2);
        match head.rest.next() {
            Some(next) => head.next = *next,
            None => drop(PeekMut::pop(first)),
        }
    }
    ids
}

/// The next job of one set.
struct NextReady<'a> {
    next: ReadyKey,
    /// The source that the set belongs to.
    index: usize,
    rest: btree_set::Iter<'a, ReadyKey>,
}

impl PartialEq for NextReady<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.next == other.next
    }
}

impl Eq for NextReady<'_> {}

impl PartialOrd for NextReady<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for NextReady<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.next.cmp(&other.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(n: usize) -> Kind {
        Kind::parse(&format!("k{n}")).unwrap()
    }

    fn place(priority: i16, at: i64, id: u128) -> ReadyKey {
        (Reverse(priority), Time::from_millis(at), JobId::from_u128(id))
    }

    /// Jobs of 50 kinds, in some order.
    fn sets(jobs: usize) -> (ReadySets, Vec<(usize, ReadyKey)>) {
        let (mut ready, mut all) = (ReadySets::default(), Vec::new());
        for n in 0..jobs {
            let one = (n % 50, place((n * 7 % 5) as i16, (n * 31 % 97) as i64, n as u128));
            ready.insert(&kind(one.0), one.1);
            all.push(one);
        }
        all.sort_by_key(|(_, place)| *place);
        (ready, all)
    }

    #[test]
    fn the_merge_takes_in_the_order_over_all_kinds_and_queues() {
        let ((a, in_a), (b, in_b)) = (sets(2_000), sets(300));
        let kinds: BTreeSet<Kind> = [kind(3), kind(7), kind(99)].into();
        let mut sources = [ReadySource::new(0, &a, &kinds, 60), ReadySource::new(1, &b, &kinds, 5)];
        let ids = take_first(&mut sources, 1_000);
        let wanted = |all: Vec<(usize, ReadyKey)>, room: usize| -> Vec<ReadyKey> {
            let of_kinds = all.into_iter().filter(|(kind, _)| [3, 7].contains(kind));
            of_kinds.map(|(_, place)| place).take(room).collect()
        };
        let mut expected = [wanted(in_a, 60), wanted(in_b, 5)].concat();
        expected.sort();
        assert_eq!(ids, expected.iter().map(|(_, _, id)| *id).collect::<Vec<_>>());
        assert!(sources.iter().all(ReadySource::holds_back));
    }

    #[test]
    fn a_claim_looks_only_at_the_sets_of_its_kinds() {
        let (ready, _) = sets(10_000);
        let one: BTreeSet<Kind> = [kind(3)].into();
        let all: BTreeSet<Kind> = (0..1_000).map(kind).collect();
        assert_eq!((ready.of_kinds(&one).len(), ready.of_kinds(&all).len()), (1, 50));
        let source = ReadySource::new(0, &ready, &one, usize::MAX);
        let looked: usize = source.sets.iter().map(|set| set.len()).sum();
        assert_eq!(looked, 200);
    }

    #[test]
    fn a_set_that_is_empty_costs_nothing_any_more() {
        let (mut ready, all) = sets(100);
        assert_eq!(ready.before(all[60].1, 1_000), 60);
        assert_eq!(ready.before(all[60].1, 10), 10);
        assert_eq!(ready.waiting_since(), all.iter().map(|(_, place)| place.1).min());
        for (n, place) in all {
            ready.remove(&kind(n), place);
        }
        assert!(ready.is_empty() && ready.by_kind.is_empty() && ready.waiting_since().is_none());
    }

    #[test]
    fn nothing_is_held_back_when_everything_was_taken() {
        let (ready, _) = sets(50);
        let kinds: BTreeSet<Kind> = (0..50).map(kind).collect();
        for (room, max, held) in [(50, 99, false), (49, 99, true), (99, 20, false), (0, 9, true)] {
            let mut sources = [ReadySource::new(0, &ready, &kinds, room)];
            assert_eq!(take_first(&mut sources, max).len(), room.min(max).min(50));
            assert_eq!(sources[0].holds_back(), held, "{room} {max}");
        }
    }
}
