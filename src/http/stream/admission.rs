//! Admits subscribers: readers that hold a connection for long, over any transport. Their number is limited for each
//! address and in all.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::StatusCode;

use crate::engine::{CountedSubscriber, Engine, Transport};
use crate::http::server::address_counts::{AddressCounts, AddressShare, Reached};
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
            let detail = "the server is stopping";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail);
            return Err(problem.retry_after(2));
        }
        let per_address = limits.unless_exempt(address, limits.subscribers_per_address);
        let (status, code, detail) =
            match self.0.take(address, 1, per_address, limits.max_subscribers) {
                Ok(share) => {
                    let counted = engine.subscriber_counts().register(transport);
                    return Ok(SubscriberPermit { _share: share, _counted: counted });
                }
                Err(Reached::Total(_)) => {
                    let detail = format!(
                        "the server has reached its limit of {} streams",
                        limits.max_subscribers
                    );
                    (StatusCode::SERVICE_UNAVAILABLE, "sockets_full", detail)
                }
                Err(Reached::OfAddress(held)) => {
                    let detail =
                        format!("your address has {held} open streams, which is the limit");
                    (StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", detail)
                }
            };
        Err(Problem::new(status, code, detail).retry_after(10))
    }
}
