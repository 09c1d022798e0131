//! Stands in for `oidc` in a build without the feature `oidc`. There are no settings of a provider, so there is no login
//! through one: nothing here can run.

use axum::http::HeaderMap;
use serde::Deserialize;

use error::OidcError;
use settings::OidcSettings;

pub use super::oidc_steps::{OidcEnd, OidcStart, ProviderLabel};
use crate::access::SecretHash;
use crate::job::Time;

#[path = "oidc/error.rs"]
pub mod error;

pub mod settings {
    //! There are none.

    /// The settings of the login through a provider.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum OidcSettings {}
}

/// The login through one provider.
#[derive(Debug)]
pub enum OidcLogin {}

/// The query with which a browser returns from the provider.
#[derive(Clone, Default, Deserialize)]
pub struct OidcReturn {}

impl OidcLogin {
    /// As with the feature.
    ///
    /// # Errors
    /// There are no settings, so this is never called.
    pub fn new(settings: OidcSettings, _secret: &[u8]) -> Result<OidcLogin, String> {
        match settings {}
    }

    /// The name of the provider.
    pub fn label(&self) -> ProviderLabel {
        match *self {}
    }

    /// Identifies the provider.
    pub fn fingerprint(&self) -> &SecretHash {
        match *self {}
    }

    /// Begins a login.
    ///
    /// # Errors
    /// As with the feature.
    pub async fn begin(&self, _next: &str, _now: Time) -> Result<OidcStart, OidcError> {
        match *self {}
    }

    /// The page that the person wanted to open.
    pub fn wanted_page(&self, _answer: &OidcReturn, _headers: &HeaderMap, _now: Time) -> String {
        match *self {}
    }

    /// The header that ends the login.
    pub fn end_cookie(&self, _answer: &OidcReturn) -> Option<String> {
        match *self {}
    }

    /// Finishes a login.
    ///
    /// # Errors
    /// As with the feature.
    pub async fn finish(
        &self,
        _answer: OidcReturn,
        _headers: &HeaderMap,
        _now: Time,
    ) -> Result<OidcEnd, OidcError> {
        match *self {}
    }
}
