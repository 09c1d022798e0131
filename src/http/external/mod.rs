//! People whom somebody else has authenticated: an OpenID Connect provider ([`oidc`]), or a reverse proxy that names them
//! in a header ([`proxy_user`]). Both report the groups of a person, and the settings give roles to groups.

pub mod group_roles;
#[cfg_attr(not(feature = "oidc"), path = "without_oidc.rs")]
pub mod oidc;
mod oidc_steps;
mod person;
pub mod proxy_user;

use oidc::settings::OidcSettings;
pub use person::ExternalPerson;
use proxy_user::ProxyUsers;

/// Who else may authenticate people. By default nobody.
#[derive(Debug, Clone, Default)]
pub struct ExternalLogins {
    /// An OpenID Connect provider.
    pub oidc: Option<OidcSettings>,
    /// A reverse proxy.
    pub proxy_users: Option<ProxyUsers>,
}

impl ExternalLogins {
    /// Whether anybody may, so that people can log in even if this server has no users.
    pub fn are_set(&self) -> bool {
        self.oidc.is_some() || self.proxy_users.is_some()
    }
}
