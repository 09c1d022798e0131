//! Who reads the event stream, whatever the transport: from where, which events it may see, and for how long.

use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;

use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;

/// A reader of the event stream.
pub struct StreamReader {
    /// The address that its limits count. In a server that does not provide it, it is unspecified (`0.0.0.0`), and no
    /// limit of an address applies.
    pub peer: SocketAddr,
    /// The events that it may see.
    pub scope: JobScope,
    /// Its credentials.
    pub watch: AccessWatch,
}

impl<S: Sync> FromRequestParts<S> for StreamReader {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0);
        let peer = peer.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
        let scope = JobScope::from_request_parts(parts, state).await?;
        let watch = AccessWatch::from_request_parts(parts, state).await?;
        Ok(StreamReader { peer, scope, watch })
    }
}
