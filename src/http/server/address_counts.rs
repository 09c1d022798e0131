//! Counts how much of something each client holds: connections, requests through a proxy, subscriptions, bytes. A client
//! is an address, or a network of 64 bits in IPv6.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::client_address::counted_as;

/// The amount that each client holds.
#[derive(Debug, Default)]
pub struct AddressCounts(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_address: HashMap<IpAddr, usize>,
    total: usize,
}

/// The limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// The limit of all addresses together, of which this much is used.
    Total(usize),
    /// The limit of one address, which holds this much.
    OfAddress(usize),
}

impl AddressCounts {
    /// Counts `amount` more, unless that would be more than `per_address` or than `total` in all.
    ///
    /// # Errors
    /// The bound that was reached.
    pub fn take(
        self: &Arc<Self>,
        address: IpAddr,
        amount: usize,
        per_address: usize,
        total: usize,
    ) -> Result<AddressShare, Reached> {
        let address = counted_as(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total.saturating_add(amount) > total {
            return Err(Reached::Total(counts.total));
        }
        let held = counts.by_address.get(&address).copied().unwrap_or_default();
        if held.saturating_add(amount) > per_address {
            return Err(Reached::OfAddress(held));
        }
        counts.by_address.insert(address, held + amount);
        counts.total += amount;
        Ok(AddressShare { counts: self.clone(), address, amount })
    }

    /// How many there are in all.
    pub fn total(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
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
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total -= self.amount;
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
        assert!(counts.0.lock().unwrap().by_address.is_empty(), "nothing is kept of who left");
    }
}
