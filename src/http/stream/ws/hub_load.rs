//! How many subscribers each hub has: it decides where a newcomer goes, and for how much of its time a hub
//! may write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The subscribers of all hubs, counted.
#[derive(Debug, Clone)]
pub struct Crowds(Arc<[AtomicUsize]>);

/// One subscriber, counted while it is there.
#[derive(Debug)]
pub struct Counted {
    crowds: Crowds,
    /// Its hub.
    pub hub: usize,
}

/// So many share a hub before the next one is used. One hub tells them sooner than two: peers that read on
/// the same machine have the other cores meanwhile.
const FEW: usize = 2_000;

impl Crowds {
    /// Of so many hubs, all empty.
    pub fn new(hubs: usize) -> Crowds {
        Crowds((0..hubs.max(1)).map(|_| AtomicUsize::new(0)).collect())
    }

    /// How many hubs there are.
    pub fn hubs(&self) -> usize {
        self.0.len()
    }

    /// Counts a newcomer: in the first hub that has few, or else in the one that has fewest.
    pub fn enter(&self) -> Counted {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let fewest = || counts.clone().enumerate().min_by_key(|(_, count)| *count);
        let few = counts.clone().position(|count| count < FEW);
        let hub = few.or_else(|| fewest().map(|(hub, _)| hub)).unwrap_or_default();
        if let Some(count) = self.0.get(hub) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Counted { crowds: self.clone(), hub }
    }

    /// For how much of its time a hub that has somebody may write, in percent: all of them together for
    /// two fifths of the cores, and each for four fifths.
    pub fn share(&self) -> u32 {
        let busy = self.0.iter().filter(|count| count.load(Ordering::Relaxed) > 0).count();
        (40 * self.0.len() / busy.max(1)).min(80) as u32
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(count) = self.crowds.0.get(self.hub) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_is_filled_before_the_next_and_then_all_alike() {
        let crowds = Crowds::new(3);
        let few: Vec<Counted> = (0..3 * FEW).map(|_| crowds.enter()).collect();
        assert!(few.iter().enumerate().all(|(n, one)| one.hub == n / FEW));
        let more: Vec<Counted> = (0..30).map(|_| crowds.enter()).collect();
        for hub in 0..3 {
            assert_eq!(more.iter().filter(|one| one.hub == hub).count(), 10);
        }
        drop(few);
        assert_eq!(crowds.enter().hub, 0, "who has left leaves room");
    }

    #[test]
    fn hubs_share_the_time_for_writing() {
        let crowds = Crowds::new(2);
        let first: Vec<Counted> = (0..FEW).map(|_| crowds.enter()).collect();
        assert_eq!(crowds.share(), 80);
        let second = crowds.enter();
        assert_eq!(crowds.share(), 40);
        drop((first, second));
        assert_eq!(crowds.share(), 80);
        assert_eq!(Crowds::new(1).share(), 40);
    }
}
