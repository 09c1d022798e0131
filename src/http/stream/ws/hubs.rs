//! The hubs of a server, at most one for each core. They are started by the first subscriber.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::accepted_socket::AcceptedSocket;
use super::hub::Hub;
use super::hub_load::{HubLoad, LoadGuard};
use super::log_page_cache::LogPageCache;
use crate::engine::Engine;
use crate::http::Limits;
use crate::supervise::Part;

/// Where sockets are handed over.
pub struct Hubs {
    engine: Engine,
    limits: Arc<Limits>,
    load: HubLoad,
    senders: OnceLock<Vec<mpsc::UnboundedSender<(AcceptedSocket, LoadGuard)>>>,
}

impl Hubs {
    /// None runs yet.
    pub fn new(engine: Engine, limits: Arc<Limits>) -> Hubs {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Hubs { engine, limits, load: HubLoad::new(cores), senders: OnceLock::new() }
    }

    /// Hands a socket to a hub. What waits there is bounded by the places that subscribers take.
    pub fn hand_over(&self, socket: AcceptedSocket) {
        let senders = self.senders.get_or_init(|| self.start());
        let load_guard = self.load.assign();
        if let Some(sender) = senders.get(load_guard.hub) {
            // A hub ends after everybody who could come; else the connection is dropped.
            let _ = sender.send((socket, load_guard));
        }
    }

    fn start(&self) -> Vec<mpsc::UnboundedSender<(AcceptedSocket, LoadGuard)>> {
        let log_pages = Arc::new(LogPageCache::new(self.engine.clone()));
        let start = |_| {
            let (sender, accepted) = mpsc::unbounded_channel();
            let (engine, limits) = (self.engine.clone(), self.limits.clone());
            let hub = Hub::new(engine, limits, log_pages.clone(), self.load.clone(), accepted);
            // A round must not end early because it used many sockets: the hub yields by itself.
            let hub = tokio::task::unconstrained(hub.run());
            let shutdown = self.engine.shutdown();
            shutdown.tasks.spawn(shutdown.failures.clone().guard(Part::Hub, hub));
            sender
        };
        (0..self.load.hubs()).map(start).collect()
    }
}
