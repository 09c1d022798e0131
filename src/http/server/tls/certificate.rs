//! The certificate of the server and its private key: read from two PEM files, and read again when they change.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The files of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by those of the authorities between it and a root.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be used. No message has a part of the key.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The setting with its path.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file is not PEM, or has not what it must have.
    #[error("{} has no {expected} in PEM format: {why}", .path.display())]
    Pem {
        /// The setting with its path.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What it must have.
        expected: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The key is not the key of the certificate, or cannot be used.
    #[error("the key in {} cannot be used with the certificate in {}: {source}", .files.key.display(), .files.cert.display())]
    Pair {
        /// The files.
        files: Box<CertificateFiles>,
        /// The error of the TLS library.
        source: rustls::Error,
    },
}

impl CertificateError {
    /// The setting that is wrong.
    pub fn setting(&self) -> &'static str {
        match self {
            CertificateError::Read { setting, .. } | CertificateError::Pem { setting, .. } => {
                setting
            }
            CertificateError::Pair { .. } => "tls.key",
        }
    }
}

impl CertificateFiles {
    /// Reads both files and checks that they belong together.
    ///
    /// # Errors
    /// Says which file cannot be used, and why.
    pub fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
        const CERT: &str = "tls.cert";
        const KEY: &str = "tls.key";
        let (cert, key) = (read(CERT, &self.cert)?, read(KEY, &self.key)?);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&cert).collect();
        let chain = match chain {
            Ok(chain) if chain.is_empty() => Err(pem::Error::NoItemsFound),
            chain => chain,
        };
        let unusable = |setting, path: &Path, expected, error: pem::Error| {
            let why = match error {
                pem::Error::NoItemsFound => "nothing was found".to_owned(),
                error => error.to_string(),
            };
            CertificateError::Pem { setting, path: path.to_owned(), expected, why }
        };
        let chain = chain.map_err(|error| unusable(CERT, &self.cert, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| unusable(KEY, &self.key, "private key", error))?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|source| CertificateError::Pair { files: Box::new(self.clone()), source })
    }

    /// What tells versions of the files apart. Links are followed, because tools that renew certificates often replace a
    /// link.
    fn version(&self) -> [Option<FileVersion>; 2] {
        [&self.cert, &self.key].map(|path| std::fs::metadata(path).ok().map(FileVersion::of))
    }
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Read {
        setting,
        path: path.to_owned(),
        source,
    })
}

/// A version of a file: which file it is, how long it is, and when it was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FileVersion {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileVersion {
    fn of(metadata: Metadata) -> FileVersion {
        FileVersion {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// The certificate in use. Handshakes read it, and a reload replaces it.
#[derive(Debug)]
pub struct CurrentCertificate {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    pub(super) in_use: RwLock<Arc<CertifiedKey>>,
    /// The version of the files that was read last, whether it could be used or not.
    read: Mutex<[Option<FileVersion>; 2]>,
}

/// Which files a reload reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadScope {
    /// Only files that have changed.
    Changed,
    /// The files as they are.
    Always,
}

impl CurrentCertificate {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn load(
        files: CertificateFiles,
        provider: Arc<CryptoProvider>,
    ) -> Result<CurrentCertificate, CertificateError> {
        let read = files.version();
        let key = Arc::new(files.load(&provider)?);
        let (in_use, read) = (RwLock::new(key), Mutex::new(read));
        Ok(CurrentCertificate { files, provider, in_use, read })
    }

    /// Reads the files again. If they cannot be used, the certificate in use stays, and the log says why.
    pub fn reload(&self, scope: ReloadScope) {
        // A change after this is noticed next time.
        let version = self.files.version();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if scope == ReloadScope::Changed && *read == version {
            return;
        }
        *read = version;
        let cert = self.files.cert.display();
        match self.files.load(&self.provider) {
            Ok(key) => {
                *self.in_use.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                tracing::info!(%cert, "reloaded the TLS certificate");
            }
            Err(error) => tracing::error!(
                %cert, %error,
                "cannot reload the TLS certificate, the previous one stays in use"
            ),
        }
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
