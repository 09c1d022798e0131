//! Checks who else may authenticate people: an OpenID Connect provider, or a reverse proxy.

use std::collections::BTreeMap;

use axum::http::{HeaderName, header};
use url::Url;

use super::InvalidSettings;
use crate::access::Role;
use crate::config::FileConfig;
use crate::config::external::ProxySection;
use crate::http::BasePath;
use crate::http::external::ExternalLogins;
use crate::http::external::group_roles::GroupRoles;
use crate::http::external::proxy_user::ProxyUsers;
use crate::http::server::client_address::TrustedProxy;

impl InvalidSettings {
    /// Checks the sections. `base_url` is that of the file, if it was accepted.
    pub(super) fn external(
        &mut self,
        file: &FileConfig,
        base_url: Option<&Url>,
        base_path: &BasePath,
    ) -> ExternalLogins {
        let oidc = file.oidc.issuer.as_ref();
        if oidc.is_none() && file.oidc.client_id.is_some() {
            self.add("oidc.issuer", "must be set, because oidc.client_id is set");
        }
        if oidc.is_some() && file.base_url.is_none() {
            self.add(
                "base_url",
                "must be set, because oidc.issuer is set: the provider sends browsers back to this URL",
            );
        }
        let oidc = oidc.and_then(|issuer| self.oidc(&file.oidc, issuer, base_url, base_path));
        let proxy_users = self.proxy_users(&file.auth.proxy, &file.http.trusted_proxies);
        ExternalLogins { oidc, proxy_users }
    }

    fn proxy_users(
        &mut self,
        section: &ProxySection,
        trusted_proxies: &[TrustedProxy],
    ) -> Option<ProxyUsers> {
        let user_header = section.user_header.as_ref()?;
        let user_header = self.take("auth.proxy.user_header", header_name(user_header));
        let groups_header = match section.groups_header.as_str() {
            "" => None,
            name => self.take("auth.proxy.groups_header", header_name(name)),
        };
        if section.groups_separator.is_empty() {
            self.add("auth.proxy.groups_separator", "must not be empty");
        }
        if trusted_proxies.is_empty() {
            self.add(
                "auth.proxy.user_header",
                "must not be set unless http.trusted_proxies lists the proxy: only those may name users",
            );
        }
        let roles = self.roles("auth.proxy", &section.roles, section.default_role.as_deref());
        Some(ProxyUsers {
            user_header: user_header?,
            groups_header,
            groups_separator: section.groups_separator.clone(),
            roles,
        })
    }

    /// The roles of one section. Without any, nobody could log in.
    pub(super) fn roles(
        &mut self,
        section: &str,
        roles: &BTreeMap<String, String>,
        default: Option<&str>,
    ) -> GroupRoles {
        let mut of_groups = BTreeMap::new();
        for (group, role) in roles {
            let role = self.take(format!("{section}.roles.{group}"), role_of_people(role));
            of_groups.extend(role.map(|role| (group.clone(), role)));
        }
        let key = format!("{section}.default_role");
        let accepted = default.and_then(|role| self.take(key, role_of_people(role)));
        if roles.is_empty() && default.is_none() {
            self.add(
                format!("{section}.roles"),
                "must give a role to at least one group, such as { ops = \"operator\" }, unless there is a default_role",
            );
        }
        GroupRoles::new(of_groups, accepted)
    }
}

/// A role that people can have. Programs that claim jobs have tokens.
fn role_of_people(text: &str) -> Result<Role, String> {
    let role = text.parse::<Role>().ok().filter(|role| *role != Role::Worker);
    role.ok_or_else(|| format!("must be viewer, submitter, operator or admin, but is {text:?}"))
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
    use super::*;
    use crate::config::{Config, ConfigError, ServeArgs};

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

    #[cfg(not(feature = "oidc"))]
    #[test]
    fn a_provider_is_refused_by_a_program_that_cannot_use_one() {
        let why = build(OIDC).unwrap_err();
        assert!(why.contains("oidc.issuer: ") && why.contains("without the feature oidc"), "{why}");
    }

    const OIDC: &str = "base_url = 'https://jobs.test'\n[oidc]\nissuer = 'https://id.test/realm'\n\
        client_id = 'cortado'\nclient_secret = 's3cret'\nroles = { ops = 'operator' }\n";

    #[cfg(feature = "oidc")]
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

    #[cfg(feature = "oidc")]
    #[test]
    fn the_secret_may_be_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "from a file\r\n").unwrap();
        let setting = format!("client_secret_file = '{}'", file.path().display());
        let oidc =
            build(&OIDC.replace("client_secret = 's3cret'", &setting)).unwrap().external.oidc;
        assert_eq!(oidc.unwrap().client_secret.expose(), "from a file");
    }

    #[cfg(feature = "oidc")]
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

    #[cfg(feature = "oidc")]
    #[test]
    fn each_wrong_setting_is_reported_once() {
        let wrong = OIDC.replace("https://jobs.test", "jobs.test").replace("operator", "king");
        let why = build(&wrong).unwrap_err();
        let keys: Vec<&str> =
            why.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
        assert_eq!(keys, ["base_url", "oidc.roles.ops"], "{why}");
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
