//! The bounds of the HTTP side, each a setting with a default that suits one small machine. The endpoints, the layers,
//! the accept loop and the sockets are given this struct, and `[http]` of the configuration file is read into it.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::server::client_address::{TrustedProxy, is_trusted};
use super::server::write_rate::WriteBounds;
use crate::job::JsonLimits;
use crate::units::{duration, size};

/// The settings of `[http]`, and the few bounds of other sections that the HTTP side needs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// The longest request body, in bytes.
    #[serde(deserialize_with = "size")]
    pub max_body: usize,
    /// The most jobs in one submission.
    pub max_batch: usize,
    /// How long a request body may take to arrive; 408 otherwise. A message of a client on a WebSocket may take as long.
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    /// How long a response may take to begin, not counting a wait that the client requested; 503 otherwise. The stop
    /// waits no longer for a request.
    #[serde(deserialize_with = "duration")]
    pub request_timeout: Duration,
    /// Queues that have metrics of their own; the jobs of all others are added up, so that the number of series is
    /// bounded.
    pub metrics_queues: usize,
    /// Wrong tokens and passwords of one client within [`HttpLimits::login_window`]; after that, its logins are refused.
    pub login_failures: u32,
    /// Wrong passwords of one user within that time, from all clients; after that, logins of the user are refused.
    pub login_failures_per_user: u32,
    /// Wrong tokens and passwords of all clients within that time; after that, clients with a wrong one are refused.
    pub login_failures_total: u32,
    /// The time after which a client may use all of its logins again.
    #[serde(deserialize_with = "duration")]
    pub login_window: Duration,
    /// How long a request head may take to arrive, and how long an idle connection is kept.
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    /// Open connections; further ones wait in the listen queue.
    pub max_connections: usize,
    /// Open connections from one address, IPv6 by /64; further ones are refused. The same holds for the requests
    /// under way of one client behind a trusted proxy. Read it with [`HttpLimits::connections_from_one_address`].
    pub connections_per_address: Option<usize>,
    /// Reverse proxies: no limit of an address applies to them, and the client addresses that they report are
    /// believed.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Bytes of large responses that may wait for their clients, a quarter of them for one address; further ones are
    /// refused.
    #[serde(deserialize_with = "size")]
    pub max_unread: usize,
    /// The longest response that is compressed, in bytes.
    #[serde(deserialize_with = "size")]
    pub max_compressed: usize,
    /// Bytes a second that a client must read of a response while bytes of it wait, averaged over
    /// [`HttpLimits::min_rate_window`]; 0 turns the check off.
    #[serde(deserialize_with = "size")]
    pub min_rate: u64,
    /// The same for an export, because the journal is kept until the client has read it.
    #[serde(deserialize_with = "size")]
    pub export_min_rate: u64,
    /// The time over which both rates are averaged. Only time in which bytes wait counts.
    #[serde(deserialize_with = "duration")]
    pub min_rate_window: Duration,
    /// How long a client may read no byte at all while bytes wait for it, before its connection is closed.
    #[serde(deserialize_with = "duration")]
    pub write_timeout: Duration,
    /// How long the server waits for a client to close its side after it was sent a response before it had sent its
    /// whole request. What it still sends is discarded.
    #[serde(deserialize_with = "duration")]
    pub linger: Duration,
    /// The longest that a request may wait for events, or for the end of a job.
    #[serde(deserialize_with = "duration")]
    pub max_wait: Duration,
    /// Subscribers (WebSockets, event streams, followed logs, waiting polls) from one address.
    pub subscribers_per_address: usize,
    /// Whether the limits of an address apply to this machine's own addresses.
    pub subscribers_from_loopback: Loopback,
    /// Subscribers in all; keep it below `max_connections`, so that pages are served too.
    pub max_subscribers: usize,
    /// The longest time without a message to a subscriber; a `mark` is sent then.
    #[serde(deserialize_with = "duration")]
    pub subscriber_mark: Duration,
    /// The longest message that a WebSocket client may send, in bytes.
    #[serde(deserialize_with = "size")]
    pub socket_message: usize,
    /// Frames that a WebSocket client may send in one second: messages, their fragments, pings and pongs.
    pub socket_rate: u32,
    /// Subscriptions on one WebSocket.
    pub socket_subscriptions: usize,
    /// How often a WebSocket client is pinged.
    #[serde(deserialize_with = "duration")]
    pub socket_ping: Duration,
    /// How long a ping may stay unanswered.
    #[serde(deserialize_with = "duration")]
    pub socket_pong: Duration,
    /// Within which time a `bye` asks clients to reconnect, each after a random delay.
    #[serde(deserialize_with = "duration")]
    pub retry: Duration,
    /// Once the server stops, a connection without a request under way may live this long after its last one: enough for
    /// the last bytes of a response, too short for a client that sends half a request head.
    #[serde(deserialize_with = "duration")]
    pub last_bytes: Duration,
    /// The URL at which people reach the server, if it is configured; from the top of the configuration.
    #[serde(skip)]
    pub base_url: Option<String>,
    /// How deep payloads may be nested, and how many values they may have; from `[engine]`.
    #[serde(skip)]
    pub json: JsonLimits,
    /// How long running jobs get once the server stops, for `draining` to say so; from `[stop]`.
    #[serde(skip)]
    pub grace: Duration,
    /// How long the closing handshake of a WebSocket may take, from our close frame to the peer's; from `[stop]`.
    #[serde(skip)]
    pub close: Duration,
}

impl HttpLimits {
    /// A limit of one address, or none where it does not apply: to trusted proxies, to loopback addresses when the
    /// settings say so, and to the unspecified address, which stands for unknown clients.
    pub fn unless_exempt(&self, address: IpAddr, limit: usize) -> usize {
        let address = address.to_canonical();
        let is_local = match self.subscribers_from_loopback {
            Loopback::Limited => false,
            Loopback::Unlimited => address.is_loopback(),
        };
        if is_local || address.is_unspecified() || is_trusted(&self.trusted_proxies, address) {
            usize::MAX
        } else {
            limit
        }
    }

    /// Connections that one address may have: never all, so that others can always connect. If the setting is
    /// missing, there are enough for all subscribers that the address may have.
    pub fn connections_from_one_address(&self) -> usize {
        /// The usual limit.
        const DEFAULT_LIMIT: usize = 1_024;
        /// Connections for requests beside those of subscribers.
        const EXTRA_CONNECTIONS: usize = 64;
        let enough =
            DEFAULT_LIMIT.max(self.subscribers_per_address.saturating_add(EXTRA_CONNECTIONS));
        let for_others = self.max_connections.div_ceil(24);
        let most = self.max_connections - for_others;
        self.connections_per_address.unwrap_or(enough).min(most).max(1)
    }

    /// What is expected of a client while bytes wait for it.
    pub fn write_bounds(&self) -> WriteBounds {
        WriteBounds {
            unwritable: self.write_timeout,
            min_rate: self.min_rate,
            window: self.min_rate_window,
        }
    }

    /// [`HttpLimits::retry`] as messages to clients have it.
    pub fn retry_ms(&self) -> u64 {
        millis(self.retry)
    }

    /// [`HttpLimits::grace`] as messages to clients have it.
    pub fn grace_ms(&self) -> u64 {
        millis(self.grace)
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Whether the limits of one address apply to loopback addresses, which all clients of a proxy on the same machine
/// share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Loopback {
    /// The limits apply.
    Limited,
    /// The limits do not apply; the proxy limits its clients.
    Unlimited,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            max_body: 2 << 20,
            max_batch: 10_000,
            body_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(30),
            metrics_queues: 100,
            login_failures: 10,
            login_failures_per_user: 30,
            login_failures_total: 100,
            login_window: Duration::from_secs(60),
            header_timeout: Duration::from_secs(10),
            max_connections: 12_000,
            connections_per_address: None,
            trusted_proxies: Vec::new(),
            max_unread: 256 << 20,
            max_compressed: 256 << 10,
            min_rate: 8_000,
            export_min_rate: 64_000,
            min_rate_window: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(2),
            max_wait: Duration::from_secs(60),
            subscribers_per_address: 64,
            subscribers_from_loopback: Loopback::Limited,
            max_subscribers: 11_000,
            subscriber_mark: Duration::from_secs(10),
            socket_message: 16 << 10,
            socket_rate: 20,
            socket_subscriptions: 32,
            socket_ping: Duration::from_secs(25),
            socket_pong: Duration::from_secs(10),
            retry: Duration::from_secs(2),
            last_bytes: Duration::from_secs(1),
            base_url: None,
            json: JsonLimits::default(),
            grace: Duration::from_secs(25),
            close: Duration::from_secs(2),
        }
    }
}
