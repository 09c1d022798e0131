//! `[oidc]` and `[auth.proxy]`: people whom an OpenID Connect provider or a reverse proxy has authenticated.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::{HeaderName, header};
use openidconnect::{ClientId, IssuerUrl, RedirectUrl};
use serde::{Deserialize, Serialize};
use url::Url;

use super::schedules::Wrong;
use crate::access::Role;
use crate::http::BasePath;
use crate::http::external::ExternalLogins;
use crate::http::external::group_roles::GroupRoles;
use crate::http::external::oidc::settings::{CALLBACK, OidcSettings, is_confidential};
use crate::http::external::proxy_user::ProxyUsers;
use crate::http::server::client_address::TrustedProxy;
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

/// The settings that are wrong.
#[derive(Default)]
struct Problems(Vec<Wrong>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, why: impl Display) {
        self.0.push((key.into(), why.to_string()));
    }

    fn take<T>(&mut self, key: impl Into<String>, got: Result<T, impl Display>) -> Option<T> {
        got.map_err(|why| self.add(key, why)).ok()
    }

    fn required(&mut self, key: &str, text: Option<&str>) -> String {
        if text.is_none_or(str::is_empty) {
            self.add(key, "must be set, because oidc.issuer is set");
        }
        text.unwrap_or_default().to_owned()
    }

    /// The roles of one section. Without any, nobody could log in.
    fn roles(
        &mut self,
        section: &str,
        roles: &BTreeMap<String, String>,
        default: Option<&str>,
    ) -> GroupRoles {
        let mut of_groups = BTreeMap::new();
        for (group, role) in roles {
            if let Some(role) = self.take(format!("{section}.roles.{group}"), role_of_people(role))
            {
                of_groups.insert(group.clone(), role);
            }
        }
        let key = format!("{section}.default_role");
        let default = default.and_then(|role| self.take(key, role_of_people(role)));
        if roles.is_empty() && default.is_none() {
            self.add(
                format!("{section}.roles"),
                "must give a role to at least one group, such as { ops = \"operator\" }, unless there is a default_role",
            );
        }
        GroupRoles::new(of_groups, default)
    }
}

/// A role that people can have. Programs that claim jobs have tokens.
fn role_of_people(text: &str) -> Result<Role, String> {
    let role = text.parse::<Role>().ok().filter(|role| *role != Role::Worker);
    role.ok_or_else(|| format!("must be viewer, submitter, operator or admin, but is {text:?}"))
}

/// Who else may authenticate people, or what is wrong with each key.
pub(super) fn parse(
    oidc_section: &OidcSection,
    proxy_section: &ProxySection,
    trusted_proxies: &[TrustedProxy],
    base_url: Option<&Url>,
    base_path: &BasePath,
) -> Result<ExternalLogins, Vec<Wrong>> {
    let public = PublicAddress { url: base_url, path: base_path };
    let oidc = oidc(oidc_section, &public);
    let proxy_users = proxy(proxy_section, trusted_proxies);
    match (oidc, proxy_users) {
        (Ok(oidc), Ok(proxy_users)) => Ok(ExternalLogins { oidc, proxy_users }),
        (Err(wrong), Ok(_)) | (Ok(_), Err(wrong)) => Err(wrong),
        (Err(wrong), Err(more)) => Err([wrong, more].concat()),
    }
}

/// What other settings say about the login through a provider.
struct PublicAddress<'a> {
    /// The server's public URL, if one is set.
    url: Option<&'a Url>,
    /// The path below it.
    path: &'a BasePath,
}

/// The login through a provider, if one is set, or what is wrong with each key.
fn oidc(
    section: &OidcSection,
    public: &PublicAddress<'_>,
) -> Result<Option<OidcSettings>, Vec<Wrong>> {
    let mut problems = Problems::default();
    let Some(issuer) = &section.issuer else {
        if section.client_id.is_some() {
            problems.add("oidc.issuer", "must be set, because oidc.client_id is set");
            return Err(problems.0);
        }
        return Ok(None);
    };
    let refused = || {
        format!(
            "must be the provider's URL without query, with https (or with http on this machine), but is {issuer:?}"
        )
    };
    let url = IssuerUrl::new(issuer.expose().to_owned()).ok();
    let url = url.filter(|url| {
        let url = url.url();
        let is_plain = url.query().is_none() && url.fragment().is_none();
        is_plain && url.username().is_empty() && url.password().is_none() && is_confidential(url)
    });
    let issuer = problems.take("oidc.issuer", url.ok_or_else(refused));
    let client_id = problems.required("oidc.client_id", section.client_id.as_deref());
    let secret = problems.take("oidc.client_secret", secret(section));
    let roles = problems.roles("oidc", &section.roles, section.default_role.as_deref());
    let redirect = public.url.map(|url| {
        let base = url.as_str().trim_end_matches('/');
        RedirectUrl::new(format!("{base}{}/{CALLBACK}", public.path))
    });
    let missing =
        || "must be set, because oidc.issuer is set: the provider sends browsers back to this URL";
    let redirect = problems.take("base_url", redirect.ok_or_else(missing));
    let redirect = redirect.and_then(|redirect| problems.take("base_url", redirect));
    for (key, text) in [
        ("oidc.label", &section.label),
        ("oidc.name_claim", &section.name_claim),
        ("oidc.groups_claim", &section.groups_claim),
    ] {
        if text.trim().is_empty() {
            problems.add(key, "must not be empty");
        }
    }
    for scope in &section.scopes {
        if scope.is_empty() || !scope.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.add(
                "oidc.scopes",
                format!("must be scopes such as \"profile\", but one is {scope:?}"),
            );
        }
    }
    for (key, time) in [("oidc.timeout", section.timeout), ("oidc.login_time", section.login_time)]
    {
        if time.is_zero() {
            problems.add(key, "must be longer than 0s");
        }
    }
    if section.max_response < 1_024 {
        problems.add(
            "oidc.max_response",
            format!("must be at least 1024 bytes, but is {}", section.max_response),
        );
    }
    match (issuer, secret, redirect) {
        (Some(issuer), Some(client_secret), Some(redirect)) if problems.0.is_empty() => {
            Ok(Some(OidcSettings {
                issuer,
                client_id: ClientId::new(client_id),
                client_secret,
                scopes: section.scopes.clone(),
                name_claim: section.name_claim.clone(),
                groups_claim: section.groups_claim.clone(),
                roles,
                label: section.label.trim().to_owned(),
                redirect,
                timeout: section.timeout,
                max_response: section.max_response,
                refresh: section.refresh,
                login_time: section.login_time,
                leeway: section.leeway,
            }))
        }
        _ => Err(problems.0),
    }
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

/// Reads a secret, without the line break at its end.
fn read_secret(path: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).into())
}

/// The users whom a reverse proxy authenticates, if that is set, or what is wrong with each key.
fn proxy(
    section: &ProxySection,
    trusted_proxies: &[TrustedProxy],
) -> Result<Option<ProxyUsers>, Vec<Wrong>> {
    let Some(user_header) = &section.user_header else { return Ok(None) };
    let mut problems = Problems::default();
    let user_header = problems.take("auth.proxy.user_header", header_name(user_header));
    let groups_header = match section.groups_header.as_str() {
        "" => None,
        name => problems.take("auth.proxy.groups_header", header_name(name)),
    };
    if section.groups_separator.is_empty() {
        problems.add("auth.proxy.groups_separator", "must not be empty");
    }
    if trusted_proxies.is_empty() {
        problems.add(
            "auth.proxy.user_header",
            "must not be set unless http.trusted_proxies lists the proxy: only those may name users",
        );
    }
    let roles = problems.roles("auth.proxy", &section.roles, section.default_role.as_deref());
    match user_header {
        Some(user_header) if problems.0.is_empty() => Ok(Some(ProxyUsers {
            user_header,
            groups_header,
            groups_separator: section.groups_separator.clone(),
            roles,
        })),
        _ => Err(problems.0),
    }
}

/// The name of a header that only a proxy sends.
fn header_name(text: &str) -> Result<HeaderName, String> {
    let of_clients = [header::AUTHORIZATION, header::COOKIE, header::HOST, header::USER_AGENT];
    let name = text.parse::<HeaderName>().ok().filter(|name| !of_clients.contains(name));
    name.ok_or_else(|| {
        format!("must be a header that only the proxy sends, such as Remote-User, but is {text:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigError, FileConfig, ServeArgs};
    use super::*;

    fn build(toml: &str) -> Result<Config, String> {
        let file = FileConfig::parse(toml).map_err(|error| format!("parse: {error}"))?;
        Config::build(file, &ServeArgs::default()).map_err(|error| match error {
            ConfigError::Invalid(problems) => {
                let lines = problems.iter().map(|one| format!("{}: {}", one.key, one.message));
                lines.collect::<Vec<_>>().join("\n")
            }
            other => other.to_string(),
        })
    }

    const OIDC: &str = "base_url = 'https://jobs.test'\n[oidc]\nissuer = 'https://id.test/realm'\n\
        client_id = 'cortado'\nclient_secret = 's3cret'\nroles = { ops = 'operator' }\n";

    #[test]
    fn a_provider_needs_few_settings() {
        let oidc = build(OIDC).unwrap().external.oidc.unwrap();
        assert_eq!(oidc.redirect.as_str(), "https://jobs.test/login/oidc/callback");
        assert_eq!(oidc.roles.role_of(["ops"]), Some(Role::Operator));
        assert_eq!(
            (oidc.label.as_str(), oidc.name_claim.as_str()),
            ("OpenID Connect", "preferred_username")
        );
        let below =
            build(&format!("base_path = '/tools/jobs'\n{OIDC}")).unwrap().external.oidc.unwrap();
        assert_eq!(below.redirect.as_str(), "https://jobs.test/tools/jobs/login/oidc/callback");
        assert_eq!(build("").unwrap().external.oidc, None);
    }

    #[test]
    fn the_secret_may_be_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "from a file\r\n").unwrap();
        let setting = format!("client_secret_file = '{}'", file.path().display());
        let oidc =
            build(&OIDC.replace("client_secret = 's3cret'", &setting)).unwrap().external.oidc;
        assert_eq!(oidc.unwrap().client_secret.expose(), "from a file");
    }

    #[test]
    fn wrong_settings_of_a_provider_are_named() {
        for (from, to, expected) in [
            ("https://id", "http://id", "but is \"http://id.test/realm\""),
            ("https://id", "https://me:hunter2@id", "but is \"https://***@id.test/realm\""),
            ("/realm", "/realm?a=b", "oidc.issuer: "),
            ("'https://id.test/realm'", "'id.test'", "but is \"id.test\""),
            ("issuer = 'https://id.test/realm'\n", "", "oidc.issuer: must be set"),
            ("client_id = 'cortado'", "client_id = ''", "oidc.client_id: must be set"),
            ("client_id = 'cortado'\n", "", "oidc.client_id: must be set"),
            ("client_secret = 's3cret'\n", "", "oidc.client_secret: must be set"),
            ("= 's3cret'", "= ''", "oidc.client_secret: must not be empty"),
            (
                "= 's3cret'",
                "= 's3cret'\nclient_secret_file = 'x'",
                "oidc.client_secret: must not be set together",
            ),
            ("client_secret = 's3cret'", "client_secret_file = '/nowhere'", "cannot read /nowhere"),
            ("base_url = 'https://jobs.test'\n", "", "base_url: must be set"),
            ("{ ops = 'operator' }", "{ ops = 'worker' }", "oidc.roles.ops: must be viewer"),
            ("{ ops = 'operator' }", "{ ops = 'root' }", "operator or admin, but is \"root\""),
            ("{ ops = 'operator' }", "{}", "oidc.roles: must give a role"),
            ("roles =", "default_role = 'king'\nroles =", "oidc.default_role: must be viewer"),
            ("roles =", "scopes = ['a b']\nroles =", "oidc.scopes: must be scopes"),
            ("roles =", "label = ' '\nroles =", "oidc.label: must not be empty"),
            ("roles =", "timeout = '0s'\nroles =", "oidc.timeout: must be longer than 0s"),
            (
                "roles =",
                "max_response = 10\nroles =",
                "oidc.max_response: must be at least 1024 bytes",
            ),
        ] {
            assert!(OIDC.contains(from), "{from}");
            let why = build(&OIDC.replace(from, to)).unwrap_err();
            assert!(why.contains(expected), "{to}: {why}");
            assert!(!why.contains("s3cret") && !why.contains("hunter2"), "{why}");
        }
    }

    const PROXY: &str = "[http]\ntrusted_proxies = ['127.0.0.1']\n[auth.proxy]\n\
        user_header = 'Remote-User'\nroles = { ops = 'operator' }\n";

    #[test]
    fn users_of_a_proxy_are_off_unless_a_header_is_named() {
        let proxy = build(PROXY).unwrap().external.proxy_users.unwrap();
        assert_eq!(proxy.user_header, "remote-user");
        assert_eq!(proxy.groups_header.unwrap(), "remote-groups");
        assert_eq!(
            build("[auth.proxy]\nroles = { ops = 'operator' }").unwrap().external.proxy_users,
            None
        );
        for (from, to, expected) in [
            ("['127.0.0.1']", "[]", "unless http.trusted_proxies lists the proxy"),
            ("Remote-User", "Remote User", "auth.proxy.user_header: must be a header"),
            ("Remote-User", "authorization", "but is \"authorization\""),
            ("roles =", "groups_header = 'Cookie'\nroles =", "auth.proxy.groups_header: "),
            ("roles =", "groups_separator = ''\nroles =", "auth.proxy.groups_separator: "),
            ("{ ops = 'operator' }", "{ ops = 'worker' }", "auth.proxy.roles.ops: "),
            ("{ ops = 'operator' }", "{}", "auth.proxy.roles: must give a role"),
        ] {
            let why = build(&PROXY.replace(from, to)).unwrap_err();
            assert!(why.contains(expected), "{to}: {why}");
        }
    }
}
