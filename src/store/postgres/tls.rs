//! TLS connections to the server: what is checked of its certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::settings_error::SettingsError;

/// What is checked of the certificate of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsCheck {
    /// Nothing, as with `sslmode=require`: nobody who only listens can read the traffic.
    Nothing,
    /// That it was signed with the certificate in this file.
    Signer(PathBuf),
    /// The same, and that it is for the host.
    SignerAndName(PathBuf),
}

/// Makes what opens TLS connections.
///
/// # Errors
/// When the file of the certificate cannot be used.
pub fn connector(check: &TlsCheck) -> Result<MakeRustlsConnect, SettingsError> {
    let provider = Arc::new(ring::default_provider());
    let lenient = |signer| Arc::new(LenientVerifier { signer, provider: provider.clone() });
    let verifier: Arc<dyn ServerCertVerifier> = match check {
        TlsCheck::Nothing => lenient(None),
        TlsCheck::Signer(root) => lenient(Some(verifier(root, provider.clone())?)),
        TlsCheck::SignerAndName(root) => verifier(root, provider.clone())?,
    };
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| SettingsError::Invalid(error.to_string()))?;
    let config = config.dangerous().with_custom_certificate_verifier(verifier);
    Ok(MakeRustlsConnect::new(config.with_no_client_auth()))
}

fn verifier(
    root: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, SettingsError> {
    let fail = |why: String| SettingsError::RootCertificate(root.to_owned(), why);
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(root).map_err(|error| fail(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| fail(error.to_string()))?;
        roots.add(certificate).map_err(|error| fail(error.to_string()))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| fail(error.to_string()))
}

/// Accepts certificates with a valid signature, whatever host they are for, or every certificate when there is no signer;
/// in both cases only from a server that has its key.
#[derive(Debug)]
struct LenientVerifier {
    signer: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LenientVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(signer) = &self.signer else { return Ok(ServerCertVerified::assertion()) };
        let verified =
            signer.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is checked last.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
