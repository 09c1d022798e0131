//! `[oidc]` and `[auth.proxy]`: people whom an OpenID Connect provider or a reverse proxy has authenticated.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::{Secret, UrlText};
use crate::units::{duration, size};

/// `[oidc]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // each field is described beside its default in docs/cortado.example.toml
pub struct OidcSection {
    pub issuer: Option<UrlText>,
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    pub client_secret_file: Option<PathBuf>,
    pub label: String,
    pub scopes: Vec<String>,
    pub name_claim: String,
    pub groups_claim: String,
    pub roles: BTreeMap<String, String>,
    pub default_role: Option<String>,
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    #[serde(deserialize_with = "size")]
    pub max_response: usize,
    #[serde(deserialize_with = "duration")]
    pub refresh: Duration,
    #[serde(deserialize_with = "duration")]
    pub login_time: Duration,
    #[serde(deserialize_with = "duration")]
    pub leeway: Duration,
}

impl Default for OidcSection {
    fn default() -> Self {
        OidcSection {
            issuer: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            label: "OpenID Connect".into(),
            scopes: vec!["profile".into(), "email".into()],
            name_claim: "preferred_username".into(),
            groups_claim: "groups".into(),
            roles: BTreeMap::new(),
            default_role: None,
            timeout: Duration::from_secs(10),
            max_response: 1 << 20,
            refresh: Duration::from_secs(3_600),
            login_time: Duration::from_secs(600),
            leeway: Duration::from_secs(30),
        }
    }
}

/// `[auth.proxy]`
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // as above
pub struct ProxySection {
    pub user_header: Option<String>,
    pub groups_header: String,
    pub groups_separator: String,
    pub roles: BTreeMap<String, String>,
    pub default_role: Option<String>,
}

impl Default for ProxySection {
    fn default() -> Self {
        ProxySection {
            user_header: None,
            groups_header: "Remote-Groups".into(),
            groups_separator: ",".into(),
            roles: BTreeMap::new(),
            default_role: None,
        }
    }
}
