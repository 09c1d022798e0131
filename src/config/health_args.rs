//! The arguments of `cortado health`: the server to ask, by its address or by its configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use url::Url;

use super::client_args::parse_server;
use crate::http::server::listen_address::ListenAddress;
use crate::job::secret::without_credentials;
use crate::units::parse_duration;

/// The server whose health to check. Without `--server`, its address is that of its configuration.
#[derive(Clone, Args)]
pub struct HealthArgs {
    /// Address of the server, instead of the one in its configuration; unix:/PATH is its Unix socket
    #[arg(
        long,
        visible_alias = "url",
        value_name = "URL",
        env = "CORTADO_SERVER",
        hide_env_values = true,
        value_parser = parse_server
    )]
    pub server: Option<Url>,
    /// Configuration file of the server (TOML)
    #[arg(long, value_name = "FILE", env = "CORTADO_CONFIG")]
    pub config: Option<PathBuf>,
    /// Address on which the server listens, as `cortado serve` has it [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "CORTADO_LISTEN", value_delimiter = ',')]
    pub listen: Vec<ListenAddress>,
    /// How long the server may take to answer
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// With --server: PEM file with certificate authorities to trust in addition to the system's
    #[arg(long, value_name = "FILE", env = "CORTADO_CA_FILE")]
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for HealthArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = self.server.as_ref().map(|server| without_credentials(server.as_str()));
        f.debug_struct("HealthArgs").field("server", &server).finish_non_exhaustive()
    }
}
