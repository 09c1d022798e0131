//! The validated settings of the login through an OpenID Connect provider.

use std::time::Duration;

use openidconnect::{ClientId, IssuerUrl, RedirectUrl};
use url::Url;

use crate::http::external::group_roles::GroupRoles;
use crate::job::Secret;

/// The settings of the login through a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// The provider. Its discovery document is at `/.well-known/openid-configuration` below this URL.
    pub issuer: IssuerUrl,
    /// The name under which this server is registered with the provider.
    pub client_id: ClientId,
    /// The secret that belongs to it.
    pub client_secret: Secret,
    /// What the provider is asked for, in addition to `openid`.
    pub scopes: Vec<String>,
    /// The claim with the name of the person.
    pub name_claim: String,
    /// The claim with the groups of the person.
    pub groups_claim: String,
    /// The roles of the groups.
    pub roles: GroupRoles,
    /// The name of the provider on the login page.
    pub label: String,
    /// Where the provider sends browsers back to.
    pub redirect: RedirectUrl,
    /// How long the provider may take to answer one request.
    pub timeout: Duration,
    /// The largest answer of the provider, in bytes.
    pub max_response: usize,
    /// How long the provider's configuration and keys are used before they are fetched again.
    pub refresh: Duration,
    /// How long a person may take to log in at the provider.
    pub login_time: Duration,
    /// How far the clocks of the provider and of this server may be apart.
    pub leeway: Duration,
}

/// The path of the endpoint to which the provider sends browsers back, below the base path.
pub const CALLBACK: &str = "login/oidc/callback";

/// Whether requests to a URL are encrypted, or do not leave this machine.
pub fn is_confidential(url: &Url) -> bool {
    let is_local = || match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_sent_only_with_encryption_or_within_this_machine() {
        for (url, expected) in [
            ("https://id.example.com/realms/a", true),
            ("http://localhost:8081", true),
            ("http://127.0.0.1:8081/x", true),
            ("http://[::1]:8081", true),
            ("http://id.example.com", false),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
            ("ftp://127.0.0.1", false),
        ] {
            assert_eq!(is_confidential(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
