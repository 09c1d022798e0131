//! How many subscribers each hub has: it decides where a newcomer goes, and for how much of its time a hub
//! may write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The subscribers of all hubs, load_guard.
#[derive(Debug, Clone)]
pub struct HubLoad(Arc<[AtomicUsize]>);

/// One subscriber, load_guard while it is there.
#[derive(Debug)]
pub struct LoadGuard {
    load: HubLoad,
    /// Its hub.
    pub hub: usize,
}

/// So many share a hub before the next one is used. One hub tells them sooner than two: peers that read on
/// the same machine have the other cores meanwhile.
const FEW: usize = 2_000;

impl HubLoad {
    /// Of so many hubs, all empty.
    pub fn new(hubs: usize) -> HubLoad {
        HubLoad((0..hubs.max(1)).map(|_| AtomicUsize::new(0)).collect())
    }

    /// How many hubs there are.
    pub fn hubs(&self) -> usize {
        self.0.len()
    }

    /// Counts a newcomer: in the first hub that has few, or else in the one that has fewest.
    pub fn assign(&self) -> LoadGuard {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let fewest = || counts.clone().enumerate().min_by_key(|(_, count)| *count);
        let few = counts.clone().position(|count| count < FEW);
        let hub = few.or_else(|| fewest().map(|(hub, _)| hub)).unwrap_or_default();
        if let Some(count) = self.0.get(hub) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        LoadGuard { load: self.clone(), hub }
    }

    /// For how much of its time a hub that has somebody may write, in percent: all of them together for
    /// two fifths of the cores, and each for four fifths.
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
        let few: Vec<LoadGuard> = (0..3 * FEW).map(|_| load.assign()).collect();
        assert!(few.iter().enumerate().all(|(n, one)| one.hub == n / FEW));
        let more: Vec<LoadGuard> = (0..30).map(|_| load.assign()).collect();
        for hub in 0..3 {
            assert_eq!(more.iter().filter(|one| one.hub == hub).count(), 10);
        }
        drop(few);
        assert_eq!(load.assign().hub, 0, "who has left leaves room");
    }

    #[test]
    fn hubs_share_the_time_for_writing() {
        let load = HubLoad::new(2);
        let first: Vec<LoadGuard> = (0..FEW).map(|_| load.assign()).collect();
        assert_eq!(load.write_share(), 80);
        let second = load.assign();
        assert_eq!(load.write_share(), 40);
        drop((first, second));
        assert_eq!(load.write_share(), 80);
        assert_eq!(HubLoad::new(1).write_share(), 40);
    }
}
