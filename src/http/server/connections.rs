//! The connections of a server: how many each address has, how many were refused, and how many were closed because
//! their clients read too slowly.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::access_log::AccessLog;
use super::address_counts::{AddressCounts, AddressShare, Reached};
use super::write_rate::TooSlow;
use crate::http::layers::safe_headers::SAFE_HEADERS;
use crate::http::view::to_json;
use crate::http::{Limits, Problem};

/// The counts of one server since its start. They are in the extensions of every request, for the metrics and the
/// system page.
#[derive(Debug)]
pub struct Connections {
    open: Arc<AddressCounts>,
    /// Requests under way that came through a trusted proxy, by their clients.
    proxied: Arc<AddressCounts>,
    refused: AtomicU64,
    too_slow: AtomicU64,
    told_refused: RareLine,
    told_slow: RareLine,
    /// Refused clients that get a response: few at the same time, so that refusals cost little.
    farewells: Arc<Semaphore>,
}

/// Refused connections that get a response at the same time; others are closed without one.
const FAREWELLS: usize = 16;
/// How long a refused client may take to read the response.
const FAREWELL: Duration = Duration::from_secs(1);

impl Default for Connections {
    fn default() -> Self {
        Connections {
            open: Arc::default(),
            proxied: Arc::default(),
            refused: AtomicU64::new(0),
            too_slow: AtomicU64::new(0),
            told_refused: RareLine::default(),
            told_slow: RareLine::default(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        }
    }
}

impl Connections {
    /// Counts a connection, if its address may have one more.
    ///
    /// # Errors
    /// When it holds its share already.
    pub fn admit(&self, address: IpAddr, limits: &Limits) -> Result<AddressShare, Problem> {
        self.take(&self.open, address, limits)
    }

    /// Counts a request of a client behind a trusted proxy, as a connection of its own would be.
    ///
    /// # Errors
    /// When it has its share of requests under way already.
    pub fn admit_proxied(&self, client: IpAddr, limits: &Limits) -> Result<AddressShare, Problem> {
        self.take(&self.proxied, client, limits)
    }

    fn take(
        &self,
        counts: &Arc<AddressCounts>,
        address: IpAddr,
        limits: &Limits,
    ) -> Result<AddressShare, Problem> {
        let most = limits.unless_exempt(address, limits.connections_from_one_address());
        match counts.take(address, 1, most, usize::MAX) {
            Ok(share) => Ok(share),
            Err(Reached::OfAddress(held) | Reached::Total(held)) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                if let Some(more) = self.told_refused.due(Instant::now()) {
                    tracing::warn!(
                        client = %address, held, not_logged = more,
                        "refused a client that holds http.connections_per_address connections"
                    );
                }
                Err(Problem::too_many_connections(held))
            }
        }
    }

    /// A permit to send a response to a refused client, if not too many are being sent.
    pub fn farewell(&self) -> Option<OwnedSemaphorePermit> {
        self.farewells.clone().try_acquire_owned().ok()
    }

    /// Counts a connection that was closed because its client read too slowly. `peer` is `None` when its address is no
    /// longer known.
    pub fn count_too_slow(&self, peer: Option<SocketAddr>, why: TooSlow) {
        self.too_slow.fetch_add(1, Ordering::Relaxed);
        if let Some(more) = self.told_slow.due(Instant::now()) {
            let client = peer.map(|peer| peer.to_string()).unwrap_or_default();
            let why = match why {
                TooSlow::TakesNothing => "it read nothing for http.write_timeout",
                TooSlow::BelowRate => "it read less than the minimum rate",
            };
            tracing::warn!(
                client,
                why,
                not_logged = more,
                "closed a connection that took its answer too slowly"
            );
        }
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.open.total()
    }

    /// Connections, and requests through proxies, that were refused because their address had too many.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections that were closed because their client read too slowly.
    pub fn too_slow(&self) -> u64 {
        self.too_slow.load(Ordering::Relaxed)
    }
}

/// Sends a client the reason why it is refused, and closes the connection. Nothing that it sends is parsed.
pub async fn turn_away(
    mut stream: TcpStream,
    problem: Problem,
    client: IpAddr,
    access_log: AccessLog,
    _farewell: OwnedSemaphorePermit,
) {
    let body = to_json(&problem.document());
    access_log.refused(client, Some((problem.status(), body.len())));
    let mut answer = format!(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\nretry-after: 10\r\nconnection: close\r\n",
        body.len()
    )
    .into_bytes();
    for (name, value) in SAFE_HEADERS {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(body.as_bytes());
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        // What it sent has to be read: a close that leaves something unread resets the connection, and the
        // answer would be lost.
        let mut unread = [0; 1_024];
        while stream.read(&mut unread).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whether the response arrives or not, the connection is closed.
    let _ = tokio::time::timeout(FAREWELL, told).await;
}

/// Lets one line into the log in a minute, and counts the others.
#[derive(Debug, Default)]
struct RareLine(Mutex<Option<(Instant, u64)>>);

impl RareLine {
    const EVERY: Duration = Duration::from_secs(60);

    /// Whether a line is due, and how many were left out since the last one.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *last {
            Some((at, left_out)) if now - *at < Self::EVERY => {
                *left_out += 1;
                None
            }
            last => {
                let left_out = last.map_or(0, |(_, left_out)| left_out);
                *last = Some((now, 0));
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_one_line_a_minute() {
        let (line, now) = (RareLine::default(), Instant::now());
        assert_eq!(line.due(now), Some(0));
        assert!((0..1_000).all(|_| line.due(now).is_none()));
        let later = now + RareLine::EVERY;
        assert_eq!((line.due(later), line.due(later)), (Some(1_000), None));
    }
}
