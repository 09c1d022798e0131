//! The steps of a login through a provider as the pages see them, in builds with and without the feature `oidc`.

use std::sync::Arc;

use super::person::ExternalPerson;

/// The name of a provider. It is in the extensions of error responses, whose page may be the login page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderLabel(pub Arc<str>);

/// The response that sends a browser to the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcStart {
    /// The URL of the provider's login page.
    pub location: String,
    /// The `Set-Cookie` header that lets the browser return.
    pub cookie: String,
}

/// A person who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcEnd {
    /// Who it is.
    pub person: ExternalPerson,
    /// The page that the person wanted to open, as it was given to `OidcLogin::begin`.
    pub next: String,
}
