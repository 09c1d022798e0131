//! Counts what each client holds: connections, requests through a proxy, subscriptions, bytes. A client is an IPv4
//! address or a /64 network of IPv6.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client_address::counted_as;

/// The counts of one resource.
#[derive(Debug, Default)]
pub struct AddressCounts {
    counts: Mutex<Counts>,
    /// The sum over all addresses, which can be read without the lock.
    total: AtomicUsize,
}

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, usize>,
    total: usize,
}

/// The limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The total limit was reached; this much is in use.
    Total(usize),
    /// The limit per address was reached; the address holds this much.
    OfAddress(usize),
}

impl AddressCounts {
    /// Adds `amount`, unless that would exceed `per_address` or `total`.
    ///
    /// # Errors
    /// The limit that was reached.
    pub fn take(
        self: &Arc<Self>,
        address: IpAddr,
        amount: usize,
        per_address: usize,
        total: usize,
    ) -> Result<AddressShare, Reached> {
        let address = counted_as(address);
        let mut counts = self.lock();
        if counts.total.saturating_add(amount) > total {
            return Err(Reached::Total(counts.total));
        }
        let held = counts.by_address.get(&address).copied().unwrap_or_default();
        if held.saturating_add(amount) > per_address {
            return Err(Reached::OfAddress(held));
        }
        counts.by_address.insert(address, held + amount);
        counts.total += amount;
        self.total.store(counts.total, Ordering::Relaxed);
        Ok(AddressShare { counts: self.clone(), address, amount })
    }

    /// The sum over all addresses.
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// How much one address holds.
    pub fn held_by(&self, address: IpAddr) -> usize {
        self.lock().by_address.get(&counted_as(address)).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An amount that counts until this is dropped.
#[derive(Debug)]
pub struct AddressShare {
    counts: Arc<AddressCounts>,
    address: IpAddr,
    amount: usize,
}

impl Drop for AddressShare {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.total -= self.amount;
        self.counts.total.store(counts.total, Ordering::Relaxed);
        if let Some(held) = counts.by_address.get_mut(&self.address) {
            *held -= self.amount;
            if *held == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_a_network_of_64_bits_is_one_address() {
        let counts = Arc::new(AddressCounts::default());
        let take = |address: &str, total| counts.take(address.parse().unwrap(), 1, 2, total);
        let first = take("2001:db8::1", 9).unwrap();
        let second = take("2001:db8::ffff:2", 9).unwrap();
        assert_eq!(take("2001:db8::3", 9).unwrap_err(), Reached::OfAddress(2));
        let other = take("2001:db8:0:1::3", 9).unwrap();
        let mapped = (take("192.0.2.1", 9).unwrap(), take("::ffff:192.0.2.1", 9).unwrap());
        assert_eq!(take("192.0.2.1", 9).unwrap_err(), Reached::OfAddress(2));
        assert_eq!(take("192.0.2.2", 5).unwrap_err(), Reached::Total(5));
        assert_eq!(counts.total(), 5);
        drop(first);
        let third = take("2001:db8::3", 9).unwrap();
        drop((second, third, other, mapped));
        assert_eq!(counts.total(), 0);
        assert!(counts.lock().by_address.is_empty(), "unused addresses are removed");
    }
}
