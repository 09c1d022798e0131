//! Who listens for long: every subscriber, whatever its door, takes one place of its address and one of
//! the whole server, and gives both back when it leaves.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::StatusCode;

use crate::http::server::address_counts::{AddressCounts, AddressShare, Reached};
use crate::http::{Limits, Problem};

/// Who holds how many places: WebSockets, server-sent events, followed logs and waiting polls together.
#[derive(Debug, Default)]
pub struct Places(Arc<AddressCounts>);

/// One subscriber's place in the count; gives it back when dropped.
pub type Place = AddressShare;

impl Places {
    /// Takes a place, if one is left.
    ///
    /// # Errors
    /// 503 when all places are taken, 429 when those of the address are.
    pub fn admit(&self, address: IpAddr, limits: &Limits) -> Result<Place, Problem> {
        let per_address = limits.unless_exempt(address, limits.subscribers_per_address);
        let taken = self.0.take(address, 1, per_address, limits.max_subscribers);
        let (status, code, detail) = match taken {
            Ok(place) => return Ok(place),
            Err(Reached::Total(_)) => {
                let detail = format!("all {} sockets are taken", limits.max_subscribers);
                (StatusCode::SERVICE_UNAVAILABLE, "sockets_full", detail)
            }
            Err(Reached::OfAddress(held)) => {
                let detail = format!("your address holds {held} sockets already");
                (StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", detail)
            }
        };
        Err(Problem::new(status, code, detail).retry_after(10))
    }
}
