//! TLS of the server's own listeners (rustls): the settings, the handshake with its limits, and the certificate, which is
//! read again when its files change.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

mod certificate;
mod stream;
#[cfg(test)]
mod tests;

use super::address_counts::AddressCounts;
use crate::http::HttpLimits;
pub use certificate::{CertificateError, CertificateFiles};
use certificate::{CurrentCertificate, ReloadScope};
pub use stream::TlsStream;

/// The settings of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The files of the certificate.
    pub files: CertificateFiles,
    /// How often the files are checked for changes.
    pub reload: Duration,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// The most connections whose handshake is not finished; a quarter of them for one address.
    pub max_handshakes: usize,
}

/// The TLS side of all listeners.
pub struct TlsServer {
    acceptor: TlsAcceptor,
    certificate: Arc<CurrentCertificate>,
    settings: TlsSettings,
    handshakes: Arc<AddressCounts>,
    reload_requests: Notify,
}

/// Why a connection has no TLS.
#[derive(Debug)]
pub enum HandshakeError {
    /// The client speaks HTTP without TLS. It can be told so.
    PlainHttp(TcpStream),
    /// Too many handshakes are under way.
    TooMany,
    /// The client took too long.
    TimedOut,
    /// The client closed the connection, or the two sides could not agree.
    Failed(io::Error),
}

/// The first byte of a TLS connection: its first record is of the type handshake.
const HANDSHAKE_RECORD: u8 = 22;

impl TlsServer {
    /// Reads the certificate.
    ///
    /// # Errors
    /// The certificate cannot be used.
    pub fn new(settings: TlsSettings) -> Result<TlsServer, CertificateError> {
        let provider = Arc::new(ring::default_provider());
        let certificate = CurrentCertificate::load(settings.files.clone(), provider.clone())?;
        let certificate = Arc::new(certificate);
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|source| CertificateError::Pair {
                files: Box::new(settings.files.clone()),
                source,
            })?;
        let mut config = config.with_no_client_auth().with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (handshakes, reload_requests) = (Arc::default(), Notify::new());
        Ok(TlsServer { acceptor, certificate, settings, handshakes, reload_requests })
    }

    /// Performs the handshake.
    ///
    /// # Errors
    /// Says why the connection cannot be used.
    pub async fn accept(
        &self,
        stream: TcpStream,
        client: IpAddr,
        limits: &HttpLimits,
    ) -> Result<TlsStream, HandshakeError> {
        let total = self.settings.max_handshakes;
        let from_one = limits.unless_exempt(client, total.div_ceil(4));
        let _share = self
            .handshakes
            .take(client, 1, from_one, total)
            .map_err(|_| HandshakeError::TooMany)?;
        let handshake = async {
            let mut first = [0];
            let arrived = stream.peek(&mut first).await.map_err(HandshakeError::Failed)?;
            if arrived > 0 && first[0] != HANDSHAKE_RECORD && first[0].is_ascii_alphabetic() {
                return Err(HandshakeError::PlainHttp(stream));
            }
            let limit = Some(stream::MAX_WRITE);
            let stream =
                self.acceptor.accept_with(stream, |session| session.set_buffer_limit(limit));
            stream.await.map(TlsStream::new).map_err(HandshakeError::Failed)
        };
        let handshake = tokio::time::timeout(self.settings.handshake_timeout, handshake);
        handshake.await.unwrap_or(Err(HandshakeError::TimedOut))
    }

    /// Reads the files of the certificate again soon, whether they have changed or not.
    pub fn request_reload(&self) {
        self.reload_requests.notify_one();
    }

    /// Reads the files of the certificate again whenever they have changed. Never ends.
    pub async fn reload_when_changed(&self) {
        loop {
            let scope = tokio::select! {
                () = tokio::time::sleep(self.settings.reload) => ReloadScope::Changed,
                () = self.reload_requests.notified() => ReloadScope::Always,
            };
            let certificate = self.certificate.clone();
            // It fails only if reading panics, which leaves the certificate in use.
            let _ = tokio::task::spawn_blocking(move || certificate.reload(scope)).await;
        }
    }
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsServer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
