//! The configuration of the `http` kind.

use std::time::Duration;

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
    /// Signs every request, if there is one.
    pub signer: Option<Signer>,
    /// Addresses that may be reached although they are not public.
    pub allow: Vec<Rule>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        HttpSettings {
            timeout: Duration::from_secs(30),
            max_body: 64 * 1_024,
            max_retry_after: Duration::from_secs(3_600),
            signer: None,
            allow: Vec::new(),
        }
    }
}
