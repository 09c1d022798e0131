//! The connections of a server: how many each address has, how many were refused, and how many were closed because
//! their clients read too slowly.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::access_log::AccessLog;
use super::address_counts::{AddressCounts, AddressShare, Reached};
use super::problem_responses::RawResponse;
use super::throttled_warning::ThrottledWarning;
use super::write_rate::TooSlow;
use crate::http::{HttpLimits, Problem};

/// The counts of one server since its start. They are in the extensions of every request, for the metrics and the
/// system page.
#[derive(Debug)]
pub struct Connections {
    open: Arc<AddressCounts>,
    /// Active requests through a trusted proxy, by client.
    proxied: Arc<AddressCounts>,
    refused: AtomicU64,
    too_slow: AtomicU64,
    refused_warnings: ThrottledWarning,
    too_slow_warnings: ThrottledWarning,
    /// Limits how many refused clients get a response at the same time, so that refusals cost little.
    refusal_permits: Arc<Semaphore>,
}

/// How many refused connections get a response at the same time; others are closed without one.
const MAX_CONCURRENT_REFUSALS: usize = 16;
/// How long a refused client may take to read the response.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

impl Default for Connections {
    fn default() -> Self {
        Connections {
            open: Arc::default(),
            proxied: Arc::default(),
            refused: AtomicU64::new(0),
            too_slow: AtomicU64::new(0),
            refused_warnings: ThrottledWarning::default(),
            too_slow_warnings: ThrottledWarning::default(),
            refusal_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_REFUSALS)),
        }
    }
}

impl Connections {
    /// Counts a connection, if its address may have one more.
    ///
    /// # Errors
    /// The address has too many connections.
    pub fn admit(&self, address: IpAddr, limits: &HttpLimits) -> Result<AddressShare, Problem> {
        self.take(&self.open, address, limits)
    }

    /// Counts a request of a client behind a trusted proxy like a connection.
    ///
    /// # Errors
    /// The client has too many active requests.
    pub fn admit_proxied(
        &self,
        client: IpAddr,
        limits: &HttpLimits,
    ) -> Result<AddressShare, Problem> {
        self.take(&self.proxied, client, limits)
    }

    fn take(
        &self,
        counts: &Arc<AddressCounts>,
        address: IpAddr,
        limits: &HttpLimits,
    ) -> Result<AddressShare, Problem> {
        let most = limits.unless_exempt(address, limits.connections_from_one_address());
        match counts.take(address, 1, most, usize::MAX) {
            Ok(share) => Ok(share),
            Err(Reached::OfAddress(held) | Reached::Total(held)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                if let Some(more) = self.refused_warnings.due(Instant::now()) {
                    tracing::warn!(
                        client = %address.to_canonical(), held, not_logged = more,
                        "refused a client that has reached http.connections_per_address"
                    );
                }
                Err(Problem::too_many_connections(held))
            }
        }
    }

    /// Counts a connection that was closed because too many TLS handshakes were under way.
    pub fn count_handshake_refused(&self, client: IpAddr) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.refused_warnings.due(Instant::now()) {
            tracing::warn!(
                %client, not_logged = more,
                "closed a connection: tls.max_handshakes are under way, or a quarter of them from its address"
            );
        }
    }

    /// Returns a permit to send a response to a refused client, unless too many are being sent.
    pub fn refusal_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.refusal_permits.clone().try_acquire_owned().ok()
    }

    /// Counts a connection that was closed because its client read too slowly. `peer` is `None` if its address is no
    /// longer known.
    pub fn count_too_slow(&self, peer: Option<SocketAddr>, why: TooSlow) {
        self.too_slow.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.too_slow_warnings.due(Instant::now()) {
            let client = peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            let client = client.map(|client| client.to_string()).unwrap_or_default();
            let why = match why {
                TooSlow::NoProgress => "the client read nothing for http.write_timeout",
                TooSlow::BelowRate => "the client read less than the minimum rate",
            };
            tracing::warn!(
                client,
                why,
                not_logged = more,
                "closed a connection: the client read its response too slowly"
            );
        }
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.open.total()
    }

    /// The number of connections, and of requests through proxies, refused because their address, or for TLS handshakes
    /// the server, had too many.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The number of connections closed because their client read too slowly.
    pub fn too_slow(&self) -> u64 {
        self.too_slow.load(Ordering::Relaxed)
    }
}

/// Sends a client the reason why it is refused, and closes the connection. The client's request is not parsed.
pub async fn send_refusal(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    problem: Problem,
    client: IpAddr,
    access_log: AccessLog,
    _permit: OwnedSemaphorePermit,
) {
    let status = problem.status();
    let RawResponse { bytes, body_length } = RawResponse::new(problem);
    access_log.refused(client, Some((status, body_length)));
    let refusal = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        // The client's bytes must be read: closing a socket with unread bytes resets the connection, and the response
        // would be lost.
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The connection is closed whether or not the response has arrived.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, refusal).await;
}
