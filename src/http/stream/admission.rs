//! Admits subscribers: readers that hold a connection for long, over any transport. Their number is limited for each
//! address and in all.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::StatusCode;

use crate::engine::{CountedSubscriber, Engine, Transport};
use crate::http::server::address_counts::{AddressCounts, AddressShare, Reached};
use crate::http::server_fault::ServerFault;
use crate::http::{HttpLimits, Problem};

/// The number of subscribers of each address: WebSockets, event streams, followed logs and waiting polls together.
#[derive(Debug, Default)]
pub struct Admission(Arc<AddressCounts>);

/// Counts a subscriber against the limits and in the metrics until it is dropped.
pub struct SubscriberPermit {
    _share: AddressShare,
    _counted: CountedSubscriber,
}

impl Admission {
    /// Admits a subscriber from `address`.
    ///
    /// # Errors
    /// 503 when the server is stopping or has too many subscribers, 429 when the address has too many.
    pub fn admit(
        &self,
        engine: &Engine,
        limits: &HttpLimits,
        address: IpAddr,
        transport: Transport,
    ) -> Result<SubscriberPermit, Problem> {
        if engine.shutdown().draining.is_cancelled() {
            return Err(ServerFault::Stopping.problem("the server is stopping"));
        }
        let per_address = limits.unless_exempt(address, limits.subscribers_per_address);
        match self.0.take(address, 1, per_address, limits.max_subscribers) {
            Ok(share) => {
                let counted = engine.subscriber_counts().register(transport);
                Ok(SubscriberPermit { _share: share, _counted: counted })
            }
            Err(Reached::Total(_)) => {
                let limit = limits.max_subscribers;
                let detail = format!("the server has reached its limit of {limit} streams");
                Err(ServerFault::TooManyStreams.problem(detail))
            }
            Err(Reached::OfAddress(held)) => {
                let detail = format!("your address has {held} open streams, which is the limit");
                let problem =
                    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", detail);
                Err(problem.retry_after(10))
            }
        }
    }
}
