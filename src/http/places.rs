//! Who listens for long: every subscriber, whatever its door, takes one place of its address and one of
//! the whole server, and gives both back when it leaves.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;

use super::limits::Loopback;
use super::{Limits, Problem};

/// Who holds how many places: WebSockets, server-sent events, followed logs and waiting polls together.
#[derive(Debug, Default)]
pub struct Places {
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

impl Places {
    /// Takes a place, if one is left.
    ///
    /// # Errors
    /// 503 when all places are taken, 429 when those of the address are.
    pub fn admit(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Result<Place, Problem> {
        let mut by_address = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = by_address.values().sum();
        if total >= limits.ws_total {
            let detail = format!("all {} sockets are taken", limits.ws_total);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sockets_full", detail)
                .retry_after(10));
        }
        let own = by_address.entry(address).or_default();
        let is_exempt = match limits.ws_loopback {
            Loopback::Limited => false,
            Loopback::Unlimited => address.to_canonical().is_loopback(),
        };
        if *own >= limits.ws_per_address && !is_exempt {
            let detail = format!("your address holds {own} sockets already");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", detail)
                .retry_after(10));
        }
        *own += 1;
        Ok(Place { places: self.clone(), address })
    }
}

/// One subscriber's place in the count; gives it back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let by_address = &self.places.by_address;
        let mut by_address = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_address.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}
