//! What the configuration says of the `http` kind.

use std::time::Duration;

use super::signer::Signer;
use crate::handlers::guard::Rule;

/// What the `http` kind is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long one request may take in all, when the payload does not say.
    pub timeout: Duration,
    /// Bytes of the answer's body that are kept; the rest is not read.
    pub max_body: usize,
    /// The longest wait that a `Retry-After` may ask for.
    pub max_retry_after: Duration,
    /// Signs every request, when there is one.
    pub signer: Option<Signer>,
    /// Addresses that are not public and may be reached all the same.
    pub allow: Vec<Rule>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            timeout: Duration::from_secs(30),
            max_body: 64 * 1_024,
            max_retry_after: Duration::from_secs(3_600),
            signer: None,
            allow: Vec::new(),
        }
    }
}
