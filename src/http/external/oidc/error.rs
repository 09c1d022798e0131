//! Why a login through an OpenID Connect provider failed. The variants say what the person can do about it; the details
//! are for the log only.

use crate::job::UserName;

/// Why a login through the provider failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// The login is unknown: it took too long, was completed already, or began in another browser.
    #[error("the login has expired, was completed already, or began in another browser")]
    Expired,
    /// The response does not belong to the login that this browser began.
    #[error("the response does not belong to the login: {0}")]
    Mismatch(String),
    /// The provider has reported an error, for example because the person cancelled the login.
    #[error("the provider refused the login: {0}")]
    Refused(String),
    /// The provider cannot be reached, or its answers cannot be understood.
    #[error("the provider is not available: {0}")]
    Unavailable(String),
    /// The provider did not accept the code, or its ID token is not valid.
    #[error("the login could not be verified: {0}")]
    Unverified(String),
    /// The claims have no name that this server accepts.
    #[error("the claims have no usable name: {0}")]
    Name(String),
    /// No group of the person has a role.
    #[error("no group of user {0} has a role on this server")]
    NoRole(UserName),
}

impl OidcError {
    /// Whether the failure may be an attempt to log in as somebody else, so that the login limiter counts it.
    pub fn is_suspicious(&self) -> bool {
        match self {
            OidcError::Mismatch(_) | OidcError::Unverified(_) => true,
            OidcError::Expired
            | OidcError::Refused(_)
            | OidcError::Unavailable(_)
            | OidcError::Name(_)
            | OidcError::NoRole(_) => false,
        }
    }
}
