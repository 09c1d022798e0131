//! What the requests of a connection need to know about it, and what is added to each of them before any layer sees it:
//! who sent it, and how.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::Request;

use super::access_log::AccessLog;
use super::address_counts::AddressShare;
use super::client_address::{ThroughTrustedProxy, is_trusted};
use super::connection_scheme::ConnectionScheme;
use super::connections::Connections;
use super::forwarded::RequestOrigin;
use super::host_header;
use crate::http::{HttpLimits, Problem};

/// The address of a connection, and the settings and counts that its requests need.
#[derive(Clone)]
pub struct ConnectionContext {
    /// The address of the peer.
    pub address: SocketAddr,
    /// Whether it comes from a trusted proxy.
    pub is_trusted: bool,
    /// The scheme of the connection.
    pub scheme: ConnectionScheme,
    /// The limits of the server.
    pub limits: Arc<HttpLimits>,
    /// The access log.
    pub access_log: AccessLog,
    /// The counts of the server.
    pub connections: Arc<Connections>,
}

impl ConnectionContext {
    /// Returns the client of a request, and adds it and the scheme to the request's extensions. If a trusted proxy reports
    /// the host that the client asked for, it replaces that of the request.
    pub fn identify<B>(&self, request: &mut Request<B>) -> IpAddr {
        let client = self.address.ip().to_canonical();
        let mut origin = RequestOrigin { client, scheme: self.scheme, host: None };
        let mut host = None;
        if self.is_trusted {
            let proxies = &self.limits.trusted_proxies;
            let reported = RequestOrigin::reported(origin, request.headers(), proxies);
            host = reported.host.map(str::to_owned);
            origin = RequestOrigin { host: None, ..reported };
        }
        if let Some(host) = host
            && let Err(problem) = host_header::replace(request, &host)
        {
            request.extensions_mut().insert(RefusedRequest(problem));
        }
        let address = SocketAddr::new(origin.client, self.address.port());
        request.extensions_mut().insert(ConnectInfo(address));
        request.extensions_mut().insert(origin.scheme);
        if self.is_trusted {
            request.extensions_mut().insert(ThroughTrustedProxy);
        }
        origin.client
    }

    /// Counts an active request of a client behind a trusted proxy. If the client already has too many, the request is
    /// marked as [`RefusedRequest`].
    pub fn admit<B>(&self, request: &mut Request<B>, client: IpAddr) -> Option<Arc<AddressShare>> {
        let proxies = &self.limits.trusted_proxies;
        // Clients without a proxy are counted by their connections, and proxies are not counted.
        let is_proxied = self.is_trusted && !is_trusted(proxies, client);
        if !is_proxied {
            return None;
        }
        match self.connections.admit_proxied(client, &self.limits) {
            Ok(share) => Some(Arc::new(share)),
            Err(problem) => {
                request.extensions_mut().insert(RefusedRequest(problem));
                None
            }
        }
    }
}

/// In the extensions of a request that the layers around the endpoints must refuse. That way, the response has the same
/// headers as all other responses.
#[derive(Debug, Clone)]
pub struct RefusedRequest(pub Problem);
