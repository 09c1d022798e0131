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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::clock::SystemClock;
    use crate::engine::{EngineConfig, Registry};
    use crate::http::access::access_watch::AccessWatch;
    use crate::http::access::job_scope::JobScope;
    use crate::http::api::query::StreamQuery;
    use crate::http::server::client_stream::ClientStream;
    use crate::http::stream::reader::StreamReader;
    use crate::http::stream::ws::socket_stream::SocketStream;
    use crate::shutdown::{Shutdown, StopBounds};
    use crate::store::StoreLimits;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn a_stop_that_ends_before_a_hub_has_seen_it_is_still_announced() {
        let store = MemoryStore::new(StoreLimits::default(), Arc::new(SystemClock));
        let shutdown = Shutdown::default();
        let config = EngineConfig::default();
        let engine = Engine::start(store, Registry::default(), config, shutdown.clone());
        shutdown.draining.cancel();
        engine.stop(&StopBounds::default(), async {}).await;
        // A hub sees the end of the events and the stop in any order.
        for _ in 0..16 {
            let hubs = Hubs::new(engine.clone(), Arc::default());
            let (mut client, accepted) = UnixStream::pair().unwrap();
            hubs.hand_over(AcceptedSocket {
                stream: SocketStream::Accepted(ClientStream::Unix(accepted)),
                first_bytes: bytes::Bytes::new(),
                query: StreamQuery::default(),
                reader: StreamReader {
                    peer: ([127, 0, 0, 1], 1).into(),
                    scope: JobScope::default(),
                    watch: AccessWatch::default(),
                },
                slot_guard: Box::new(()),
            });
            let mut sent = Vec::new();
            while !String::from_utf8_lossy(&sent).contains("bye") {
                assert!(client.read_buf(&mut sent).await.unwrap() > 0, "it ended without a bye");
            }
            let sent = String::from_utf8_lossy(&sent);
            let places = ["\"hello\"", "\"draining\"", "\"bye\""].map(|name| sent.find(name));
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{sent}");
            assert_eq!(sent.matches("\"draining\"").count(), 1, "{sent}");
        }
    }
}
