//! The arguments that all client commands have in common: the server, and how to reach it.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use url::Url;

use crate::job::Secret;
use crate::job::secret::without_credentials;

/// The server that a client command talks to.
#[derive(Clone, Args)]
pub struct ClientArgs {
    /// The server's address; unix:/PATH is its Unix socket
    #[arg(
        long,
        value_name = "URL",
        env = "CORTADO_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080",
        value_parser = parse_server
    )]
    pub server: Url,
    /// The server's token, if it requires one; prefer CORTADO_AUTH_TOKEN
    #[arg(long, value_name = "TOKEN", env = "CORTADO_AUTH_TOKEN", hide_env_values = true)]
    pub auth_token: Option<Secret>,
    /// PEM file with certificate authorities to trust in addition to the system's, for a server with a private certificate
    #[arg(long, value_name = "FILE", env = "CORTADO_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for ClientArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = without_credentials(self.server.as_str());
        f.debug_struct("ClientArgs").field("server", &server).finish_non_exhaustive()
    }
}

impl ClientArgs {
    /// The arguments for a server that needs no token.
    pub fn of(server: Url) -> ClientArgs {
        ClientArgs { server, auth_token: None, ca_file: None }
    }
}

pub(super) fn parse_server(text: &str) -> Result<Url, String> {
    let shown = without_credentials(text);
    let refused = || {
        format!(
            "{shown:?} is not a server address such as http://127.0.0.1:8080 or unix:/run/cortado.sock"
        )
    };
    let url = Url::parse(text).map_err(|_| refused())?;
    let is_socket = url.scheme() == "unix" && !url.has_host() && url.path().len() > 1;
    if matches!(url.scheme(), "http" | "https") && url.has_host() || is_socket {
        Ok(url)
    } else {
        Err(refused())
    }
}
