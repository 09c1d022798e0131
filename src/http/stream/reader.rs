//! Who reads the event stream, whatever the transport: from where, which events it may see, and for how long.

use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::access::access_watch::AccessWatch;
use crate::http::access::job_scope::JobScope;
use crate::http::server::client_address::client_of;

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
        let peer = client_of(&parts.extensions);
        let scope = JobScope::from_request_parts(parts, state).await?;
        let watch = AccessWatch::from_request_parts(parts, state).await?;
        Ok(StreamReader { peer, scope, watch })
    }
}
