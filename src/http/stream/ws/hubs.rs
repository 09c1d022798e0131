//! The hubs of a server, at most one for each core. They are started by the first subscriber.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::accepted_socket::Newcomer;
use super::hub::Hub;
use super::hub_load::{Counted, Crowds};
use super::log_page_cache::Library;
use crate::engine::Engine;
use crate::http::Limits;
use crate::supervise::Part;

/// Where sockets are handed over.
pub struct Hubs {
    engine: Engine,
    limits: Arc<Limits>,
    crowds: Crowds,
    doors: OnceLock<Vec<mpsc::UnboundedSender<(Newcomer, Counted)>>>,
}

impl Hubs {
    /// None runs yet.
    pub fn new(engine: Engine, limits: Arc<Limits>) -> Hubs {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Hubs { engine, limits, crowds: Crowds::new(cores), doors: OnceLock::new() }
    }

    /// Hands a socket to a hub. What waits there is bounded by the places that subscribers take.
    pub fn welcome(&self, newcomer: Newcomer) {
        let doors = self.doors.get_or_init(|| self.open());
        let counted = self.crowds.enter();
        if let Some(door) = doors.get(counted.hub) {
            // A hub ends after everybody who could come; else the connection is dropped.
            let _ = door.send((newcomer, counted));
        }
    }

    fn open(&self) -> Vec<mpsc::UnboundedSender<(Newcomer, Counted)>> {
        let library = Arc::new(Library::new(self.engine.clone()));
        let start = |_| {
            let (door, newcomers) = mpsc::unbounded_channel();
            let (engine, limits) = (self.engine.clone(), self.limits.clone());
            let hub = Hub::new(engine, limits, library.clone(), self.crowds.clone(), newcomers);
            // A round must not end early because it used many sockets: the hub yields by itself.
            let hub = tokio::task::unconstrained(hub.run());
            let shutdown = self.engine.shutdown();
            shutdown.tasks.spawn(shutdown.failures.clone().guard(Part::Hub, hub));
            door
        };
        (0..self.crowds.hubs()).map(start).collect()
    }
}
