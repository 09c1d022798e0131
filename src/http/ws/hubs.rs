//! The hubs of a server, one for each core. They are started by the first subscriber.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::catch_up::Library;
use super::hub::Hub;
use crate::engine::Engine;
use crate::http::Limits;
use crate::http::query::StreamQuery;

/// What a subscriber holds of the server while it is there, whatever it is: its place, its connection's
/// slot, its entry in the stop's tracker.
pub type Stay = Box<dyn Any + Send>;

/// A socket that has just been opened.
pub struct Newcomer {
    /// The connection.
    pub stream: TcpStream,
    /// What the client sent right behind its handshake.
    pub first_bytes: Bytes,
    /// What it asks for.
    pub wanted: StreamQuery,
    /// Given back when it leaves.
    pub stay: Stay,
}

/// Where sockets are handed over.
pub struct Hubs {
    engine: Engine,
    limits: Arc<Limits>,
    doors: OnceLock<Vec<mpsc::UnboundedSender<Newcomer>>>,
    /// How many came; each goes to the next hub.
    count: AtomicUsize,
}

impl Hubs {
    /// None runs yet.
    pub fn new(engine: Engine, limits: Arc<Limits>) -> Hubs {
        Hubs { engine, limits, doors: OnceLock::new(), count: AtomicUsize::new(0) }
    }

    /// Hands a socket to a hub. What waits there is bounded by the places that subscribers take.
    pub fn welcome(&self, newcomer: Newcomer) {
        let doors = self.doors.get_or_init(|| self.open());
        let next = self.count.fetch_add(1, Ordering::Relaxed);
        if let Some(door) = doors.get(next % doors.len().max(1)) {
            // A hub ends after everybody who could come; else the connection is dropped.
            let _ = door.send(newcomer);
        }
    }

    fn open(&self) -> Vec<mpsc::UnboundedSender<Newcomer>> {
        let library = Arc::new(Library::new(self.engine.clone()));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let start = |_| {
            let (door, newcomers) = mpsc::unbounded_channel();
            let hub =
                Hub::new(self.engine.clone(), self.limits.clone(), library.clone(), newcomers);
            // A round must not end early because it used many sockets: the hub yields by itself.
            self.engine.shutdown().tasks.spawn(tokio::task::unconstrained(hub.run()));
            door
        };
        (0..cores).map(start).collect()
    }
}
