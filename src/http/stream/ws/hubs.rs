//! The hubs of a server, one for each core. They are started when the first subscriber connects.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::accepted_socket::AcceptedSocket;
use super::hub::Hub;
use super::hub_load::{HubLoad, LoadGuard};
use super::log_page_cache::LogPageCache;
use crate::engine::Engine;
use crate::http::HttpLimits;
use crate::supervise::Part;

/// Starts the hubs and assigns each accepted socket to one of them.
pub struct Hubs {
    engine: Engine,
    limits: Arc<HttpLimits>,
    /// The number of subscribers of each hub.
    load: HubLoad,
    /// The channel to each hub; empty until the first subscriber connects.
    senders: OnceLock<Vec<mpsc::UnboundedSender<(AcceptedSocket, LoadGuard)>>>,
}

impl Hubs {
    /// Creates the hubs; none is started yet.
    pub fn new(engine: Engine, limits: Arc<HttpLimits>) -> Hubs {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Hubs { engine, limits, load: HubLoad::new(cores), senders: OnceLock::new() }
    }

    /// Hands a socket to a hub. The channel is unbounded, but each socket in it holds a subscriber permit.
    pub fn hand_over(&self, socket: AcceptedSocket) {
        let senders = self.senders.get_or_init(|| self.start());
        let load_guard = self.load.assign();
        if let Some(sender) = senders.get(load_guard.hub) {
            // A hub runs as long as this sender exists. If it has panicked, the connection is dropped.
            let _ = sender.send((socket, load_guard));
        }
    }

    /// Starts all hubs and returns the channels to them.
    fn start(&self) -> Vec<mpsc::UnboundedSender<(AcceptedSocket, LoadGuard)>> {
        let log_pages = Arc::new(LogPageCache::new(self.engine.clone()));
        let start = |_| {
            let (sender, accepted) = mpsc::unbounded_channel();
            let (engine, limits) = (self.engine.clone(), self.limits.clone());
            let hub = Hub::new(engine, limits, log_pages.clone(), self.load.clone(), accepted);
            // The hub yields by itself; tokio's budget would end a round after a few sockets.
            let hub = tokio::task::unconstrained(hub.run());
            let shutdown = self.engine.shutdown();
            shutdown.tasks.spawn(shutdown.failures.clone().guard(Part::Hub, hub));
            sender
        };
        (0..self.load.hubs()).map(start).collect()
    }
}
