//! Signs requests as Standard Webhooks (standardwebhooks.com): an id, a timestamp and an HMAC over both and the
//! exact bytes of the body.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

use crate::job::{JobId, Time};

/// Holds the secret and never prints it. Cheap to clone.
#[derive(Clone)]
pub struct Signer(Arc<Webhook>);

impl Signer {
    /// Adds the three headers. The id of the message is the job's id, which is the same in every attempt.
    pub(super) fn sign(
        &self,
        headers: &mut HeaderMap,
        id: JobId,
        at: Time,
        body: &str,
    ) -> Result<(), String> {
        let (id, seconds) = (id.to_string(), at.millis().div_euclid(1_000));
        let signature = self.0.sign(&id, seconds, body.as_bytes()).map_err(|e| e.to_string())?;
        for (name, value) in [
            (HEADER_WEBHOOK_ID, id),
            (HEADER_WEBHOOK_TIMESTAMP, seconds.to_string()),
            (HEADER_WEBHOOK_SIGNATURE, signature),
        ] {
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(())
    }
}

impl FromStr for Signer {
    type Err = String;

    /// Parses a secret: base64 of 24 to 64 bytes, with or without the prefix `whsec_`.
    fn from_str(secret: &str) -> Result<Self, Self::Err> {
        let refused = "a signing secret is base64 of 24 to 64 bytes, such as the output of \
             `openssl rand -base64 32`, with or without whsec_ before it";
        let text = secret.trim();
        let encoded = text.strip_prefix("whsec_").unwrap_or(text);
        // Four characters encode three bytes.
        let bytes = encoded.trim_end_matches('=').len() * 3 / 4;
        match Webhook::new(text) {
            Ok(webhook) if (24..=64).contains(&bytes) => Ok(Signer(Arc::new(webhook))),
            Ok(_) | Err(_) => Err(refused.to_owned()),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_may_carry_its_prefix_and_nonsense_is_refused() {
        let plain = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        assert!(plain.parse::<Signer>().is_ok());
        assert!(format!("whsec_{plain}").parse::<Signer>().is_ok());
        for bad in ["", "whsec_", "short", "not base64 at all, though long enough", "AAAA"] {
            assert!(bad.parse::<Signer>().unwrap_err().contains("openssl"), "{bad:?}");
        }
    }
}
