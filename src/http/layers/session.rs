//! How a browser reaches the server: whether something encrypts the connection.

use axum::http::HeaderMap;

/// How the browser reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrowserScheme {
    /// Through a proxy that encrypts.
    Https,
    /// Without encryption.
    Http,
}

impl BrowserScheme {
    /// Reads the scheme that a proxy reports. A client that lies about it affects only its own cookie.
    pub fn of(headers: &HeaderMap) -> BrowserScheme {
        let scheme = headers.get("x-forwarded-proto").and_then(|scheme| scheme.to_str().ok());
        if scheme == Some("https") { BrowserScheme::Https } else { BrowserScheme::Http }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_proxy_says_whether_it_encrypts() {
        let proxied = HeaderMap::from_iter([(
            "x-forwarded-proto".parse().unwrap(),
            HeaderValue::from_static("https"),
        )]);
        assert_eq!(BrowserScheme::of(&proxied), BrowserScheme::Https);
        assert_eq!(BrowserScheme::of(&HeaderMap::new()), BrowserScheme::Http);
    }
}
