//! L4: the client commands. They speak to a server over HTTP and WebSocket like any other client,
//! and know nothing of its store or engine.

/// A client for the server's HTTP API.
///
/// # Errors
/// When the TLS library cannot be set up.
pub fn http_client() -> reqwest::Result<reqwest::Client> {
    // The first call of the process wins; a later one finds the provider installed, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().build()
}
