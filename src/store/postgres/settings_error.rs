//! Why the URL of a database is not accepted.

use std::path::PathBuf;

/// Why a URL is not accepted. The text never contains the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It is not the URL of a database.
    #[error("a database URL begins with postgresql://")]
    NotPostgres,
    /// The driver does not understand it.
    #[error("invalid database URL: {0}")]
    Invalid(String),
    /// A value of `sslmode` that does not exist.
    #[error("sslmode={0} does not exist: use disable, prefer, require, verify-ca or verify-full")]
    UnknownSslMode(String),
    /// There is nothing to check the certificate of the server with.
    #[error("sslmode={0} needs sslrootcert, the path of the certificate that signed the server's")]
    NoRootCertificate(&'static str),
    /// A certificate that would not be used.
    #[error("sslrootcert has no effect with sslmode={0}: use sslmode=verify-full")]
    UnusedRootCertificate(&'static str),
    /// The file of the certificate cannot be used.
    #[error("cannot use the certificate {path}: {why}", path = .0.display(), why = .1)]
    RootCertificate(PathBuf, String),
}
