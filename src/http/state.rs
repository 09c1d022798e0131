//! The state that all endpoints share: the engine, the limits, and the parts of the event stream.

use std::net::SocketAddr;
use std::sync::Arc;

use super::error::Problem;
use super::limits::HttpLimits;
use super::stream::admission::{Admission, SubscriberPermit};
use super::stream::feed::Feed;
use super::stream::relay::Relay;
use super::stream::ws::Hubs;
use crate::engine::{Engine, Transport};
use crate::job::Cursor;

/// The state of the API, which every endpoint receives. It is cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(super) engine: Engine,
    pub(super) limits: Arc<HttpLimits>,
    /// The number of subscribers of each address.
    admission: Arc<Admission>,
    /// Passes live events to all transports except WebSockets.
    relay: Arc<Relay>,
    /// The tasks that serve the WebSockets.
    pub(super) hubs: Arc<Hubs>,
}

impl Api {
    /// Creates the state of a server without subscribers.
    pub(super) fn new(engine: Engine, limits: HttpLimits) -> Self {
        let limits = Arc::new(limits);
        let hubs = Arc::new(Hubs::new(engine.clone(), limits.clone()));
        Api { engine, limits, admission: Arc::default(), relay: Arc::default(), hubs }
    }

    /// Admits a subscriber, or refuses it when the server is stopping or a limit is reached.
    pub(super) fn admit(
        &self,
        peer: SocketAddr,
        transport: Transport,
    ) -> Result<SubscriberPermit, Problem> {
        self.admission.admit(&self.engine, &self.limits, peer.ip(), transport)
    }

    /// The feed of one reader: the events after `after`, or from now on.
    pub(super) fn feed(&self, after: Option<Cursor>) -> Feed {
        Feed::new(self.engine.clone(), self.relay.subscribe(&self.engine), after)
    }
}
