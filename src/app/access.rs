//! Who may use a server: the rule that other machines need a token, for the binary and for programs that embed the
//! server, and the host names and origins that requests may come with.

use std::env::{self, VarError};

use anyhow::{Context as _, bail};
use url::Url;

use crate::config::{AuthSettings, Config, ListenAddresses};
use crate::http::Access;
use crate::http::layers::auth::Hosts;

/// The variable that holds the token, for the binary and for programs.
const TOKEN_VARIABLE: &str = "CORTADO_AUTH_TOKEN";

/// What a program says about the token of its server.
#[derive(Default)]
pub struct TokenChoice {
    /// The token; it replaces that of the configuration and of the variable.
    pub token: Option<String>,
    /// Whether the server may be reachable from other machines without a token.
    pub missing: MissingToken,
}

/// Whether other machines may use a server that has no token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissingToken {
    /// The server does not start.
    #[default]
    Refused,
    /// Everybody who can reach the address may use the server.
    Allowed,
}

impl TokenChoice {
    /// The token of a server on this address: that of the program, of the configuration, or of the environment.
    ///
    /// # Errors
    /// The token is not acceptable, or there is none although other machines can reach the address.
    pub fn resolve(
        self,
        configured: Option<AuthSettings>,
        listen: &ListenAddresses,
    ) -> anyhow::Result<Option<AuthSettings>> {
        let variable = match env::var(TOKEN_VARIABLE) {
            Ok(token) => Some(token),
            Err(VarError::NotPresent) => None,
            Err(error @ VarError::NotUnicode(_)) => return Err(error).context(TOKEN_VARIABLE),
        };
        self.resolve_with(configured, variable, listen)
    }

    fn resolve_with(
        self,
        configured: Option<AuthSettings>,
        variable: Option<String>,
        listen: &ListenAddresses,
    ) -> anyhow::Result<Option<AuthSettings>> {
        let given = match (self.token, configured) {
            (Some(token), _) => Some(AuthSettings::parse(&token)),
            (None, Some(configured)) => Some(Ok(configured)),
            (None, None) => variable.map(|token| AuthSettings::parse(&token)),
        };
        let auth = given.transpose().map_err(|why| anyhow::anyhow!("the token: {why}"))?;
        if auth.is_none()
            && self.missing == MissingToken::Refused
            && let Some(address) = listen.reachable_by_others()
        {
            bail!(
                "other machines can reach {address}, which requires a token: set {TOKEN_VARIABLE} or call \
                 `Builder::auth_token`, listen on a loopback address such as 127.0.0.1:8080, or call \
                 `Builder::allow_without_token`"
            );
        }
        Ok(auth)
    }
}

/// The conditions that requests must meet.
pub fn conditions(config: &Config) -> Access {
    let base = config.base_url.as_ref();
    let host = base.and_then(Url::host_str).map(str::to_owned);
    let hosts = if config.listen.reachable_by_others().is_some() {
        Hosts::Any
    } else {
        Hosts::Loopback { also: host.into_iter().collect() }
    };
    let origin = base.map(|url| url.origin().ascii_serialization());
    let token = config.auth.as_ref().map(|auth| auth.token.clone());
    Access { token, hosts, trusted_origins: origin.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FileConfig, ServeArgs};

    const TOKEN: &str = "0123456789abcdef";
    const OTHER: &str = "fedcba9876543210";

    fn parsed(addresses: &str) -> ListenAddresses {
        let addresses = addresses.split(',').map(|address| address.parse().unwrap());
        ListenAddresses::new(addresses.collect()).unwrap()
    }

    #[test]
    fn a_program_needs_a_token_where_the_binary_needs_one() {
        for (listen, is_local) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:0", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
            ("[::ffff:0.0.0.0]:0", false),
            ("[::ffff:10.0.0.1]:0", false),
            ("[::127.0.0.1]:0", false),
            ("[fe80::1%1]:0", false),
            ("192.0.2.1:0", false),
            ("https://192.0.2.1:0", false),
            ("unix:/run/cortado.sock", true),
            ("unix:/run/cortado.sock,http://127.0.0.1:0", true),
            ("127.0.0.1:0,0.0.0.0:0", false),
        ] {
            let listen = parsed(listen);
            let token = |choice: TokenChoice, configured: Option<&str>, variable: Option<&str>| {
                let configured = configured.map(|token| AuthSettings::parse(token).unwrap());
                let auth = choice.resolve_with(configured, variable.map(Into::into), &listen);
                auth.map(|auth| auth.map(|auth| auth.token.expose().clone()))
                    .map_err(|error| error.to_string())
            };
            let given = || TokenChoice { token: Some(TOKEN.into()), ..TokenChoice::default() };
            let missing = token(TokenChoice::default(), None, None);
            if is_local {
                assert_eq!(missing, Ok(None), "{listen}");
            } else {
                let why = missing.unwrap_err();
                assert!(why.contains("CORTADO_AUTH_TOKEN") && why.contains("auth_token"), "{why}");
            }
            let allowed = TokenChoice { missing: MissingToken::Allowed, ..TokenChoice::default() };
            assert_eq!(token(allowed, None, None), Ok(None), "{listen}");
            assert_eq!(token(given(), None, None), Ok(Some(TOKEN.into())));
            assert_eq!(token(given(), Some(OTHER), Some(OTHER)), Ok(Some(TOKEN.into())));
            assert_eq!(
                token(TokenChoice::default(), Some(TOKEN), Some(OTHER)),
                Ok(Some(TOKEN.into()))
            );
            assert_eq!(token(TokenChoice::default(), None, Some(TOKEN)), Ok(Some(TOKEN.into())));
            for bad in ["", "short", "sixteen letters ", "with-ä-umlaut-0123"] {
                let why = token(TokenChoice::default(), None, Some(bad)).unwrap_err();
                assert!(why.contains("16 visible ASCII characters"), "{why}");
            }
            // The permission to have none does not turn off one that is set.
            let allowed = TokenChoice { missing: MissingToken::Allowed, ..TokenChoice::default() };
            assert_eq!(token(allowed, None, Some(TOKEN)), Ok(Some(TOKEN.into())));
        }
    }

    #[test]
    fn an_address_of_this_machine_accepts_only_its_own_names_however_it_is_written() {
        for (listen, is_local) in [
            ("127.0.0.1:0", true),
            ("127.9.9.9:0", true),
            ("[::1]:0", true),
            ("[::ffff:127.0.0.1]:0", true),
            ("[::]:0", false),
            ("[::ffff:192.0.2.1]:0", false),
            ("unix:/run/cortado.sock", true),
            ("127.0.0.1:0,192.0.2.1:0", false),
        ] {
            let mut config = Config::build(FileConfig::default(), &ServeArgs::default()).unwrap();
            config.listen = parsed(listen);
            let is_guarded = matches!(conditions(&config).hosts, Hosts::Loopback { .. });
            assert_eq!(is_guarded, is_local, "{listen}");
        }
    }

    #[tokio::test]
    async fn a_server_of_a_program_does_not_start_without_a_token_where_others_can_reach_it() {
        let builder = || crate::Cortado::builder().listen(([0, 0, 0, 0], 0).into()).in_memory();
        let why = format!("{:#}", builder().start().await.err().unwrap());
        assert!(why.contains("other machines can reach 0.0.0.0:0"), "{why}");
        let server = builder().auth_token(TOKEN).start().await.unwrap();
        let client = crate::cli::http_client().unwrap();
        let url = format!("http://127.0.0.1:{}/api/v1/stats", server.address().port());
        assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
        let answer = client.get(&url).bearer_auth(TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        server.stop().await;
        let server = builder().allow_without_token().start().await.unwrap();
        let url = format!("http://127.0.0.1:{}/api/v1/stats", server.address().port());
        assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
        server.stop().await;
    }
}
