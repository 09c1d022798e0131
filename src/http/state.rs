//! The state that every endpoint shares: the engine, the limits, and the parts of the event stream.
//! Long-lived readers are admitted here.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;

use super::error::Problem;
use super::limits::Limits;
use super::stream::admission::{Admission, SubscriberShare};
use super::stream::feed::Feed;
use super::stream::relay::Relay;
use super::stream::ws::Hubs;
use crate::engine::{CountedSubscriber, Engine, Transport};
use crate::job::Cursor;

/// Held by who listens for long.
pub(crate) type SubscriberPermit = (SubscriberShare, CountedSubscriber);

/// What every endpoint is given. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(super) engine: Engine,
    pub(super) limits: Arc<Limits>,
    /// Who listens for long.
    admission: Arc<Admission>,
    /// Where all other readers of the stream hear what is new.
    relay: Arc<Relay>,
    /// Where WebSockets are served.
    pub(super) hubs: Arc<Hubs>,
}

impl Api {
    /// The state of a server that has no subscribers yet.
    pub(super) fn new(engine: Engine, limits: Limits) -> Self {
        let limits = Arc::new(limits);
        let hubs = Arc::new(Hubs::new(engine.clone(), limits.clone()));
        Api { engine, limits, admission: Arc::default(), relay: Arc::default(), hubs }
    }

    /// A share for a subscriber; none once the server stops.
    pub(super) fn admit(
        &self,
        peer: SocketAddr,
        transport: Transport,
    ) -> Result<SubscriberPermit, Problem> {
        if self.engine.shutdown().draining.is_cancelled() {
            let detail = "the server is stopping";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "draining", detail);
            return Err(problem.retry_after(2));
        }
        let share = self.admission.admit(peer.ip(), &self.limits)?;
        Ok((share, self.engine.subscriber_counts().register(transport)))
    }

    /// What follows a share, for one reader.
    pub(super) fn feed(&self, after: Option<Cursor>) -> Feed {
        Feed::new(self.engine.clone(), self.relay.listen(&self.engine), after)
    }
}
