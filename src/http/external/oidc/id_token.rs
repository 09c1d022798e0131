//! The checks of an ID token that prove who has logged in (OpenID Connect Core 1.0, 3.1.3.7).

use std::time::Duration;

use chrono::{DateTime, Utc};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata,
};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, Nonce,
    SignatureVerificationError,
};

use crate::job::{Time, causes};

/// Why an ID token is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum IdTokenError {
    /// The known keys do not verify the signature. The provider may have a new one.
    Key(String),
    /// Fetching keys again would not help.
    Invalid(String),
}

/// What an ID token must match.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdTokenCheck<'a> {
    pub(super) client_id: &'a ClientId,
    pub(super) nonce: &'a Nonce,
    /// The token that came with the ID token, for `at_hash`.
    pub(super) access_token: &'a AccessToken,
    pub(super) now: Time,
    /// How far the clocks may be apart.
    pub(super) leeway: Duration,
}

/// The algorithms with public keys. One with a shared secret would let everybody who knows the client secret sign.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

impl IdTokenCheck<'_> {
    /// Checks signature, issuer, audience, times, nonce, `azp` and `at_hash`.
    ///
    /// # Errors
    /// One of them is wrong.
    pub(super) fn check(
        &self,
        token: &CoreIdToken,
        provider: &CoreProviderMetadata,
    ) -> Result<(), IdTokenError> {
        let now = utc(self.now.before(self.leeway))?;
        let latest = utc(self.now.after(self.leeway))?;
        let announced = provider.id_token_signing_alg_values_supported();
        let algorithms = ALGORITHMS.into_iter().filter(|one| announced.contains(one));
        let (issuer, keys) = (provider.issuer().clone(), provider.jwks().clone());
        let verifier = CoreIdTokenVerifier::new_public_client(self.client_id.clone(), issuer, keys)
            .set_allowed_algs(algorithms)
            .set_time_fn(move || now)
            .set_issue_time_verifier_fn(move |issued| {
                if issued <= latest { Ok(()) } else { Err("it was issued in the future".into()) }
            });
        let claims = token.claims(&verifier, self.nonce).map_err(IdTokenError::of)?;
        if let Some(party) = claims.authorized_party()
            && party != self.client_id
        {
            let why = format!("its authorized party (azp) is {:?}", party.as_str());
            return Err(IdTokenError::Invalid(why));
        }
        if let Some(expected) = claims.access_token_hash() {
            let of_signature =
                |error| IdTokenError::of(ClaimsVerificationError::SignatureVerification(error));
            let algorithm = token.signing_alg().map_err(of_signature)?;
            let key = token.signing_key(&verifier).map_err(of_signature)?;
            let hash = AccessTokenHash::from_token(self.access_token, algorithm, key);
            let hash = hash.map_err(|error| IdTokenError::Invalid(causes(&error)))?;
            if hash != *expected {
                let why = "its at_hash is not that of the access token";
                return Err(IdTokenError::Invalid(why.into()));
            }
        }
        Ok(())
    }
}

impl IdTokenError {
    fn of(error: ClaimsVerificationError) -> IdTokenError {
        let why = causes(&error);
        match error {
            ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey
                | SignatureVerificationError::CryptoError(_)
                | SignatureVerificationError::AmbiguousKeyId(_)
                | SignatureVerificationError::InvalidKey(_),
            ) => IdTokenError::Key(why),
            _ => IdTokenError::Invalid(why),
        }
    }

    /// The reason, for the log.
    pub(super) fn reason(self) -> String {
        match self {
            IdTokenError::Key(why) | IdTokenError::Invalid(why) => why,
        }
    }
}

fn utc(time: Time) -> Result<DateTime<Utc>, IdTokenError> {
    let time = DateTime::from_timestamp_millis(time.millis());
    time.ok_or_else(|| IdTokenError::Invalid("the clock of this server has no date".into()))
}
