//! Every bound of the HTTP side, each a setting with a default that suits one small machine.
//! Read by the endpoints, the layers, the accept loop and the sockets.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::client_address::{TrustedProxy, is_trusted};
use super::server::write_rate::WriteBounds;
use crate::job::JsonLimits;

/// The bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest request body, in bytes.
    pub body_bytes: usize,
    /// The most jobs in one submission.
    pub batch_len: usize,
    /// How deep payloads may be nested, and how many values they may have.
    pub json: JsonLimits,
    /// A body must have arrived by then; 408 otherwise.
    pub body_timeout: Duration,
    /// An answer must have begun by then, not counting a wait that was asked for; 503 otherwise. Also bounds what the stop waits for.
    pub request_timeout: Duration,
    /// A request head must have arrived by then; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Once the server stops, a connection without a request under way may live this long: enough for
    /// the last bytes of an answer, too short for a client that sends half a request head.
    pub last_bytes: Duration,
    /// Open connections; further ones wait in the listen queue.
    pub max_connections: usize,
    /// Open connections from one address, IPv6 by /64; further ones are refused. The same holds for the requests
    /// under way of one client behind a trusted proxy.
    pub connections_per_address: usize,
    /// Reverse proxies: they have no limit of an address, and what they say about their clients is believed.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Bytes a second that a peer must take of an answer that waits for it, over [`Limits::min_rate_window`];
    /// 0 asks for nothing.
    pub min_rate: u64,
    /// The same of an export, which holds the journal meanwhile.
    pub export_min_rate: u64,
    /// Bytes of large answers that may wait for their clients, a quarter of them for one address; further ones are
    /// refused.
    pub max_unread: usize,
    /// The longest answer that is compressed, in bytes.
    pub max_compressed: usize,
    /// How much time in which bytes wait for a peer is averaged over.
    pub min_rate_window: Duration,
    /// The longest that a request may wait for events, or for the end of a job.
    pub max_wait: Duration,
    /// Subscribers (WebSockets, server-sent events, followed logs, waiting polls) from one address.
    pub ws_per_address: usize,
    /// Whether that holds for this machine's own addresses.
    pub ws_loopback: Loopback,
    /// Subscribers in all; keep it below `max_connections`, so that pages are served too.
    pub ws_total: usize,
    /// The longest message a subscriber may send, in bytes.
    pub ws_message_bytes: usize,
    /// Messages a subscriber may send in one second.
    pub ws_messages_per_second: u32,
    /// Subscriptions on one socket.
    pub ws_subscriptions: usize,
    /// How often a socket is pinged.
    pub ws_ping_every: Duration,
    /// The answer to a ping must have come by then.
    pub ws_pong_within: Duration,
    /// The longest silence on a socket: a `mark` fills it.
    pub ws_mark_every: Duration,
    /// A peer that takes no byte of what waits for it for so long is disconnected.
    pub ws_unwritable: Duration,
    /// How long the closing handshake may take: our frame out, the peer's frame in.
    pub ws_close_within: Duration,
    /// A `bye` asks clients to come back within this time, each at a random moment of it.
    pub retry_ms: u64,
    /// What `draining` tells subscribers: how long running jobs get. Set from the stop's grace.
    pub grace_ms: u64,
}

impl Limits {
    /// A limit of one address, or none where it does not hold: for trusted proxies, and for loopback addresses
    /// when the settings say so.
    pub fn unless_exempt(&self, address: IpAddr, limit: usize) -> usize {
        let is_local = match self.ws_loopback {
            Loopback::Limited => false,
            Loopback::Unlimited => address.to_canonical().is_loopback(),
        };
        match is_local || is_trusted(&self.trusted_proxies, address) {
            true => usize::MAX,
            false => limit,
        }
    }

    /// Connections that one address may have: never all, so that somebody else can always come in.
    pub fn connections_from_one_address(&self) -> usize {
        let for_others = self.max_connections.div_ceil(24);
        self.connections_per_address.min(self.max_connections - for_others).max(1)
    }

    /// What is expected of a peer for which bytes wait.
    pub fn write_bounds(&self) -> WriteBounds {
        WriteBounds {
            unwritable: self.ws_unwritable,
            min_rate: self.min_rate,
            window: self.min_rate_window,
        }
    }
}

/// What the limit of one address means for loopback addresses, which all clients of a proxy on the same
/// machine share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Loopback {
    /// The same as for any other.
    Limited,
    /// Nothing: the proxy limits its clients.
    Unlimited,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 2 * 1_024 * 1_024,
            batch_len: 10_000,
            json: JsonLimits::default(),
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            last_bytes: Duration::from_secs(1),
            max_connections: 12_000,
            connections_per_address: 1_024,
            trusted_proxies: Vec::new(),
            max_unread: 256 * 1_024 * 1_024,
            max_compressed: 256 * 1_024,
            min_rate: 8_000,
            export_min_rate: 64_000,
            min_rate_window: Duration::from_secs(30),
            max_wait: Duration::from_secs(60),
            ws_per_address: 64,
            ws_loopback: Loopback::Limited,
            ws_total: 11_000,
            ws_message_bytes: 16 * 1_024,
            ws_messages_per_second: 20,
            ws_subscriptions: 32,
            ws_ping_every: Duration::from_secs(25),
            ws_pong_within: Duration::from_secs(10),
            ws_mark_every: Duration::from_secs(10),
            ws_unwritable: Duration::from_secs(10),
            ws_close_within: Duration::from_secs(2),
            retry_ms: 2_000,
            grace_ms: 25_000,
        }
    }
}
