//! How a client reaches the server: with TLS or without.

use axum::http::Extensions;

/// How the client of a request reaches the server. The accept loop adds it to the extensions of every request: it is the
/// scheme of the connection or, behind a trusted proxy, the one that the proxy reports. Nothing else may read it from
/// headers, which any client can send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionScheme {
    /// Without encryption.
    #[default]
    Http,
    /// With TLS, of this server or of a proxy in front of it.
    Https,
}

impl ConnectionScheme {
    /// The scheme of a request; `Http` if it came through no listener of this crate.
    pub fn of(extensions: &Extensions) -> ConnectionScheme {
        extensions.get().copied().unwrap_or_default()
    }

    /// Reads a scheme as proxies report it. A WebSocket has a scheme of its own.
    pub fn parse(text: &str) -> Option<ConnectionScheme> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        if is("https") || is("wss") {
            Some(ConnectionScheme::Https)
        } else if is("http") || is("ws") {
            Some(ConnectionScheme::Http)
        } else {
            None
        }
    }

    /// The scheme as URLs have it.
    pub fn as_str(self) -> &'static str {
        match self {
            ConnectionScheme::Http => "http",
            ConnectionScheme::Https => "https",
        }
    }
}
