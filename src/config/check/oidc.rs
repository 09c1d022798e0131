//! Checks the login through an OpenID Connect provider.

use openidconnect::{ClientId, IssuerUrl, RedirectUrl};
use url::Url;

use super::InvalidSettings;
use crate::config::external::OidcSection;
use crate::config::read_secret;
use crate::http::BasePath;
use crate::http::external::oidc::settings::{CALLBACK, OidcSettings, is_confidential};
use crate::job::{Secret, UrlText};

impl InvalidSettings {
    /// The settings of the provider. `base_url` is that of the file, if it was accepted.
    pub(super) fn oidc(
        &mut self,
        section: &OidcSection,
        issuer: &UrlText,
        base_url: Option<&Url>,
        base_path: &BasePath,
    ) -> Option<OidcSettings> {
        let redirect = base_url.and_then(|url| self.redirect(url, base_path));
        let issuer = self.take("oidc.issuer", issuer_url(issuer));
        let client_id = section.client_id.as_deref().filter(|id| !id.is_empty());
        let missing = "must be set, because oidc.issuer is set";
        let client_id = self.take("oidc.client_id", client_id.ok_or(missing));
        let client_secret = self.take("oidc.client_secret", secret(section));
        let roles = self.roles("oidc", &section.roles, section.default_role.as_deref());
        for (key, text) in [
            ("oidc.label", &section.label),
            ("oidc.name_claim", &section.name_claim),
            ("oidc.groups_claim", &section.groups_claim),
        ] {
            if text.trim().is_empty() {
                self.add(key, "must not be empty");
            }
        }
        for scope in &section.scopes {
            if scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = format!("must be scopes such as \"profile\", but one is {scope:?}");
                self.add("oidc.scopes", message);
            }
        }
        self.lasts("oidc.timeout", section.timeout);
        self.lasts("oidc.login_time", section.login_time);
        self.bytes("oidc.max_response", section.max_response, 1_024);
        Some(OidcSettings {
            issuer: issuer?,
            client_id: ClientId::new(client_id?.to_owned()),
            client_secret: client_secret?,
            scopes: section.scopes.clone(),
            name_claim: section.name_claim.clone(),
            groups_claim: section.groups_claim.clone(),
            roles,
            label: section.label.trim().to_owned(),
            redirect: redirect?,
            timeout: section.timeout,
            max_response: section.max_response,
            refresh: section.refresh,
            login_time: section.login_time,
            leeway: section.leeway,
        })
    }

    /// The URL to which the provider sends browsers back.
    fn redirect(&mut self, base_url: &Url, base_path: &BasePath) -> Option<RedirectUrl> {
        let base = base_url.as_str().trim_end_matches('/');
        self.take("base_url", RedirectUrl::new(format!("{base}{base_path}/{CALLBACK}")))
    }
}

fn issuer_url(text: &UrlText) -> Result<IssuerUrl, String> {
    let url = IssuerUrl::new(text.expose().to_owned()).ok();
    let url = url.filter(|url| {
        let url = url.url();
        let is_plain = url.query().is_none() && url.fragment().is_none();
        is_plain && url.username().is_empty() && url.password().is_none() && is_confidential(url)
    });
    url.ok_or_else(|| {
        format!(
            "must be the provider's URL without query, with https (or with http on this machine), but is {text:?}"
        )
    })
}

/// The client secret, from the setting or from the file.
fn secret(section: &OidcSection) -> Result<Secret, String> {
    let secret = match (&section.client_secret, &section.client_secret_file) {
        (Some(secret), None) => secret.clone(),
        (None, Some(path)) => read_secret(path)?,
        (None, None) => {
            return Err("must be set, here or in oidc.client_secret_file".into());
        }
        (Some(_), Some(_)) => {
            return Err("must not be set together with oidc.client_secret_file".into());
        }
    };
    if secret.expose().is_empty() { Err("must not be empty".into()) } else { Ok(secret) }
}
