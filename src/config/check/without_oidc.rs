//! Stands in for `oidc` in a build without the feature `oidc`: a provider is refused.

use url::Url;

use super::InvalidSettings;
use crate::config::external::OidcSection;
use crate::http::BasePath;
use crate::http::external::oidc::settings::OidcSettings;
use crate::job::UrlText;

impl InvalidSettings {
    pub(super) fn oidc(
        &mut self,
        _section: &OidcSection,
        _issuer: &UrlText,
        _base_url: Option<&Url>,
        _base_path: &BasePath,
    ) -> Option<OidcSettings> {
        self.add("oidc.issuer", "cannot be set: this program was built without the feature oidc");
        None
    }
}
