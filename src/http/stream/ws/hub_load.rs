//! The number of subscribers of each hub. It decides which hub gets a new socket, and how much of its time a hub may
//! spend on writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of subscribers of each hub.
#[derive(Debug, Clone)]
pub struct HubLoad(Arc<[AtomicUsize]>);

/// Counts one subscriber of a hub until it is dropped.
#[derive(Debug)]
pub struct LoadGuard {
    load: HubLoad,
    /// The index of the hub.
    pub hub: usize,
}

/// The number of subscribers that a hub gets before the next hub is used. Two hubs with half of them each would be
/// slower, because they take cores from clients on the same machine.
const FILL_FIRST: usize = 2_000;

impl HubLoad {
    /// Creates the counts of this many hubs, all zero.
    pub fn new(hubs: usize) -> HubLoad {
        HubLoad((0..hubs.max(1)).map(|_| AtomicUsize::new(0)).collect())
    }

    /// The number of hubs.
    pub fn hubs(&self) -> usize {
        self.0.len()
    }

    /// Chooses a hub for a new subscriber: the first that is not filled, or else the one with the fewest.
    pub fn assign(&self) -> LoadGuard {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let fewest = || counts.clone().enumerate().min_by_key(|(_, count)| *count);
        let not_filled = counts.clone().position(|count| count < FILL_FIRST);
        let hub = not_filled.or_else(|| fewest().map(|(hub, _)| hub)).unwrap_or_default();
        if let Some(count) = self.0.get(hub) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        LoadGuard { load: self.clone(), hub }
    }

    /// How much of its time a hub with subscribers may spend on writing, in percent: two fifths of all cores divided by
    /// the number of such hubs, and four fifths of one core at most.
    pub fn write_share(&self) -> u32 {
        let busy = self.0.iter().filter(|count| count.load(Ordering::Relaxed) > 0).count();
        (40 * self.0.len() / busy.max(1)).min(80) as u32
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        if let Some(count) = self.load.0.get(self.hub) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_filled_before_the_next_and_then_all_alike() {
        let load = HubLoad::new(3);
        let few: Vec<LoadGuard> = (0..3 * FILL_FIRST).map(|_| load.assign()).collect();
        assert!(few.iter().enumerate().all(|(n, one)| one.hub == n / FILL_FIRST));
        let more: Vec<LoadGuard> = (0..30).map(|_| load.assign()).collect();
        for hub in 0..3 {
            assert_eq!(more.iter().filter(|one| one.hub == hub).count(), 10);
        }
        drop(few);
        assert_eq!(load.assign().hub, 0, "a subscriber that has left makes room");
    }

    #[test]
    fn hubs_share_the_time_for_writing() {
        let load = HubLoad::new(2);
        let first: Vec<LoadGuard> = (0..FILL_FIRST).map(|_| load.assign()).collect();
        assert_eq!(load.write_share(), 80);
        let second = load.assign();
        assert_eq!(load.write_share(), 40);
        drop((first, second));
        assert_eq!(load.write_share(), 80);
        assert_eq!(HubLoad::new(1).write_share(), 40);
    }
}
