//! The validated settings, in the parts that the layers take.

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use super::args::LogFormat;
use super::settings::Setting;
use crate::engine::{EngineConfig, ScheduleSubmission};
use crate::handlers::HandlerSettings;
use crate::http::external::ExternalLogins;
use crate::http::server::access_log::AccessLog;
use crate::http::server::listen_address::ListenAddresses;
use crate::http::server::tls::TlsSettings;
use crate::http::server::unix_socket::SocketMode;
use crate::http::{BasePath, HttpLimits};
use crate::job::{ScheduleName, Secret, WorkerName};
use crate::store;
use crate::store::database::{PostgresSettings, SettingsError};

/// A PostgreSQL database that several servers may share.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// Its URL, which may hold a password. It was parsed once, so it is valid.
    pub url: Secret,
    /// The name of this server among those that share it.
    pub node: WorkerName,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a connection may take to be opened, unless the URL says so.
    pub connect_timeout: Duration,
    /// How many connections read at the same time.
    pub read_connections: usize,
}

impl DatabaseSettings {
    /// What the store is told about the database.
    ///
    /// # Errors
    /// When the certificate that the URL names can no longer be read.
    pub fn connections(&self) -> Result<PostgresSettings, SettingsError> {
        let mut settings: PostgresSettings = self.url.expose().parse()?;
        settings.node = self.node.to_string();
        settings.timeout = self.statement_timeout;
        settings.connect_timeout = self.connect_timeout;
        settings.readers = self.read_connections;
        Ok(settings)
    }
}

/// All settings, in the parts that the layers take.
#[derive(Debug, Clone)]
pub struct Config {
    /// The addresses to serve on.
    pub listen: ListenAddresses,
    /// The permissions of Unix sockets.
    pub socket_mode: SocketMode,
    /// The certificate of the server and how it is used, if it has one.
    pub tls: Option<TlsSettings>,
    /// The directory that holds the jobs, unless a database does.
    pub data_dir: PathBuf,
    /// The database that holds the jobs instead.
    pub database: Option<DatabaseSettings>,
    /// The server's public URL, if it is behind a proxy.
    pub base_url: Option<Url>,
    /// The path to serve under when other services share the host.
    pub base_path: BasePath,
    /// The log of the process.
    pub log: LogConfig,
    /// The settings of the engine.
    pub engine: EngineConfig,
    /// The schedules that the file declares, as they are submitted: the store may know defaults of their kinds. Payloads may
    /// hold secrets.
    pub schedules: Secret<Vec<(ScheduleName, ScheduleSubmission)>>,
    /// The limits of the store.
    pub limits: store::StoreLimits,
    /// The limits of the HTTP side.
    pub http: HttpLimits,
    /// How long a stop may take.
    pub stop: StopSettings,
    /// The settings of the built-in kinds.
    pub handlers: HandlerSettings,
    /// Whether the server submits fake jobs to itself.
    pub demo: bool,
    /// The credentials that requests need. Without them, everyone who can reach the server may use it.
    pub auth: Option<AuthSettings>,
    /// Who else may authenticate people.
    pub external: ExternalLogins,
    /// All settings in force, for the system page.
    pub settings: Vec<Setting>,
}

/// The settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// The format of lines.
    pub format: LogFormat,
    /// A filter of tracing's `EnvFilter`, known to be valid.
    pub filter: String,
    /// Bytes of lines that may wait to be written.
    pub queue: usize,
    /// How long the exit waits for lines to be written.
    pub flush: Duration,
    /// How requests are logged.
    pub access: AccessLog,
}

/// How long a stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSettings {
    /// How long running jobs may continue after the first signal.
    pub grace: Duration,
    /// How long each WebSocket may take to accept its last bytes, and again to answer the close frame.
    pub close: Duration,
}

/// The credentials that the configuration has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// A token that may do everything.
    pub token: Secret,
}

/// The shortest token, in characters; a shorter one could be guessed.
const MIN_TOKEN: usize = 16;

impl AuthSettings {
    /// Validates a token.
    ///
    /// # Errors
    /// Says what is accepted.
    pub fn parse(token: &str) -> Result<Self, String> {
        if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "at least {MIN_TOKEN} visible ASCII characters are expected, such as the output of \
                 `openssl rand -hex 24`"
            ));
        }
        Ok(AuthSettings { token: token.into() })
    }
}
