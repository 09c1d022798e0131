//! Login through an OpenID Connect provider: the authorization code flow with PKCE. [`OidcLogin::begin`] sends a browser
//! to the provider, and [`OidcLogin::finish`] verifies what it returns with. Opening the session is up to the caller.

mod attempt;
mod claims;
pub mod error;
mod id_token;
mod provider;
mod provider_client;
pub mod settings;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreProviderMetadata,
    CoreTokenResponse,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClientSecret, CsrfToken, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RequestTokenError, Scope, TokenResponse as _,
};
use serde::Deserialize;

use attempt::{AttemptKey, OidcAttempt, removal};
use claims::Claims;
use error::OidcError;
use id_token::{IdTokenCheck, IdTokenError};
use provider::Provider;
use provider_client::ProviderClient;
use settings::OidcSettings;

pub use super::oidc_steps::{OidcEnd, OidcStart, ProviderLabel};
use crate::access::SecretHash;
use crate::http::server::connection_scheme::ConnectionScheme;
use crate::job::{Time, causes};

/// The login through one provider.
pub struct OidcLogin {
    settings: OidcSettings,
    fingerprint: SecretHash,
    client: ProviderClient,
    provider: Provider,
    key: AttemptKey,
    scheme: ConnectionScheme,
}

/// The query with which a browser returns from the provider (RFC 6749, 4.1.2; RFC 9207).
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct OidcReturn {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
    iss: Option<String>,
}

impl OidcLogin {
    /// Prepares the login. `secret` is known only to this server and stays the same when it restarts.
    ///
    /// # Errors
    /// TLS or the encryption of cookies cannot be set up.
    pub fn new(settings: OidcSettings, secret: &[u8]) -> Result<OidcLogin, String> {
        let client = ProviderClient::new(settings.timeout, settings.max_response);
        let client = client.map_err(|error| causes(&error))?;
        let provider = Provider::new(settings.issuer.clone(), client.clone(), settings.refresh);
        let key = AttemptKey::new(secret).ok_or("cookies cannot be encrypted")?;
        let scheme = match settings.redirect.url().scheme() {
            "https" => ConnectionScheme::Https,
            _ => ConnectionScheme::Http,
        };
        let fingerprint = fingerprint(&settings);
        Ok(OidcLogin { settings, fingerprint, client, provider, key, scheme })
    }

    /// The name of the provider, for the button on the login page.
    pub fn label(&self) -> ProviderLabel {
        ProviderLabel(self.settings.label.as_str().into())
    }

    /// Identifies the provider and the roles that the settings give. A session that was opened under other settings
    /// must end, because its role could be another one today.
    pub fn fingerprint(&self) -> &SecretHash {
        &self.fingerprint
    }

    /// Begins a login. `next` is the page to open afterwards.
    ///
    /// # Errors
    /// The provider is not available.
    pub async fn begin(&self, next: &str, now: Time) -> Result<OidcStart, OidcError> {
        let provider = self.provider.metadata().await?;
        let client = self.client_of(&provider);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
        let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();
        let attempt = OidcAttempt {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            next: next.to_owned(),
            until: now.after(self.settings.login_time),
        };
        let cookie = self.key.cookie(&attempt, now, self.scheme);
        let cookie = cookie.ok_or_else(|| OidcError::Unavailable("no random bytes".into()))?;
        Ok(OidcStart { location: url.into(), cookie })
    }

    /// The page that the person wanted to open, for another try. It is empty if the login is unknown.
    pub fn wanted_page(&self, answer: &OidcReturn, headers: &HeaderMap, now: Time) -> String {
        let state = answer.state.as_deref().unwrap_or_default();
        let attempt = self.key.of(headers, state, now, self.scheme);
        attempt.map(|attempt| attempt.next).unwrap_or_default()
    }

    /// The `Set-Cookie` header that ends the login with which a browser returns, whether it succeeds or not.
    pub fn end_cookie(&self, answer: &OidcReturn) -> Option<String> {
        removal(answer.state.as_deref()?, self.scheme)
    }

    /// Finishes a login: verifies what the browser returns with, and asks the provider who has logged in.
    ///
    /// # Errors
    /// [`OidcError`] says why nobody has logged in.
    pub async fn finish(
        &self,
        answer: OidcReturn,
        headers: &HeaderMap,
        now: Time,
    ) -> Result<OidcEnd, OidcError> {
        let state = answer.state.as_deref().ok_or(OidcError::Expired)?;
        let attempt = self.key.of(headers, state, now, self.scheme)?;
        if let Some(issuer) = &answer.iss
            && issuer != self.settings.issuer.as_str()
        {
            return Err(OidcError::Mismatch(format!("it came from {issuer:?}")));
        }
        if let Some(error) = &answer.error {
            let description = answer.error_description.as_deref().unwrap_or_default();
            return Err(OidcError::Refused(format!("{error:?} {description:?}")));
        }
        let code = answer.code.ok_or_else(|| OidcError::Mismatch("there is no code".into()))?;
        let provider = self.provider.metadata().await?;
        let response = self.exchange(&provider, code, attempt.verifier).await?;
        let missing = || OidcError::Unverified("the provider sent no ID token".into());
        let id_token = response.id_token().ok_or_else(missing)?;
        let check = IdTokenCheck {
            client_id: &self.settings.client_id,
            nonce: &Nonce::new(attempt.nonce),
            access_token: response.access_token(),
            now,
            leeway: self.settings.leeway,
        };
        self.verify(check, id_token, &provider).await?;
        let OidcSettings { name_claim, groups_claim, roles, .. } = &self.settings;
        let mut claims = Claims::of_verified(id_token)?;
        if let Some(endpoint) = provider.userinfo_endpoint()
            && !(claims.has(name_claim) && claims.has(groups_claim))
        {
            let (endpoint, token) = (endpoint.as_str(), response.access_token());
            claims = claims.with_user_info(&self.client, endpoint, token).await?;
        }
        let person = claims.person(name_claim, groups_claim, roles)?;
        Ok(OidcEnd { person, next: attempt.next })
    }

    /// Exchanges the code for tokens. The provider accepts each code once.
    async fn exchange(
        &self,
        provider: &CoreProviderMetadata,
        code: String,
        verifier: String,
    ) -> Result<CoreTokenResponse, OidcError> {
        let client = self.client_of(provider);
        let request = client.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| OidcError::Unavailable(causes(&error)))?;
        let request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier));
        request.request_async(&self.client).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(refusal) => {
                OidcError::Unverified(format!("the provider refused the code: {refusal}"))
            }
            RequestTokenError::Request(error) => OidcError::Unavailable(causes(&error)),
            // The error itself could quote a token.
            RequestTokenError::Parse(error, _) => OidcError::Unavailable(format!(
                "the token response cannot be parsed, at {:?}",
                error.path().to_string()
            )),
            RequestTokenError::Other(why) => OidcError::Unavailable(why),
        })
    }

    /// Verifies an ID token, with the provider's newest keys if the known ones do not fit.
    async fn verify(
        &self,
        check: IdTokenCheck<'_>,
        id_token: &CoreIdToken,
        provider: &Arc<CoreProviderMetadata>,
    ) -> Result<(), OidcError> {
        let checked = match check.check(id_token, provider) {
            Err(IdTokenError::Key(_)) => {
                let newer = self.provider.newer_than(provider).await?;
                check.check(id_token, &newer)
            }
            checked => checked,
        };
        checked.map_err(|error| OidcError::Unverified(format!("ID token: {}", error.reason())))
    }

    fn client_of(&self, provider: &CoreProviderMetadata) -> ClientOfProvider {
        let OidcSettings { client_id, client_secret, redirect, .. } = &self.settings;
        let secret = ClientSecret::new(client_secret.expose().clone());
        let methods = provider.token_endpoint_auth_methods_supported();
        let has = |method| methods.is_some_and(|methods| methods.contains(&method));
        let in_body = has(CoreClientAuthMethod::ClientSecretPost)
            && !has(CoreClientAuthMethod::ClientSecretBasic);
        let auth_type = if in_body { AuthType::RequestBody } else { AuthType::BasicAuth };
        CoreClient::from_provider_metadata(provider.clone(), client_id.clone(), Some(secret))
            .set_redirect_uri(redirect.clone())
            .set_auth_type(auth_type)
    }
}

fn fingerprint(settings: &OidcSettings) -> SecretHash {
    let OidcSettings { issuer, client_id, name_claim, groups_claim, roles, .. } = settings;
    let parts = [issuer.as_str(), client_id.as_str(), name_claim, groups_claim];
    SecretHash::of(&format!("{parts:?}{}", roles.fingerprint_text()))
}

impl fmt::Debug for OidcLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OidcLogin").field(&self.settings.issuer.as_str()).finish()
    }
}

/// A client that knows the provider's endpoints.
type ClientOfProvider = CoreClient<
    openidconnect::EndpointSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointNotSet,
    openidconnect::EndpointMaybeSet,
    openidconnect::EndpointMaybeSet,
>;
