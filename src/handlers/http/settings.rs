//! The configuration of the `http` kind.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::signer::Signer;
use crate::handlers::guard::Rule;

/// The configuration of the `http` kind.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The timeout of a request when the payload sets none.
    pub timeout: Duration,
    /// Bytes of the answer's body that are kept; the rest is not read.
    pub max_body: usize,
    /// The longest delay that a `Retry-After` header can ask for.
    pub max_retry_after: Duration,
    /// The URL at which targets reach this server. If it is known, they are sent an address to which they can report, and
    /// may answer 202 before the work is done.
    pub base_url: Option<Url>,
    /// Signs every request, if there is one.
    pub signer: Option<Signer>,
    /// Addresses that may be reached although they are not public.
    pub allow: Vec<Rule>,
    /// PEM files with certificate authorities that sign the certificates of targets.
    pub ca_files: Vec<PathBuf>,
    /// Whether those of the system are trusted as well.
    pub system_authorities: SystemAuthorities,
}

/// Whether the certificate authorities of the system are trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemAuthorities {
    /// They are, in addition to those of `ca_files`.
    #[default]
    Trusted,
    /// Only those of `ca_files` are.
    Ignored,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            timeout: Duration::from_secs(30),
            max_body: 64 * 1_024,
            max_retry_after: Duration::from_secs(3_600),
            base_url: None,
            signer: None,
            allow: Vec::new(),
            ca_files: Vec::new(),
            system_authorities: SystemAuthorities::default(),
        }
    }
}
