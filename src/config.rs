//! The settings: one command line and one TOML file, merged (flag or environment, then file, then
//! default), validated, and split into the parts that each layer is given.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::demo;
use crate::engine::EngineConfig;
use crate::handlers::HandlerSettings;
use crate::http::server::access_log::AccessLog;
use crate::http::{BasePath, Limits};
use crate::job::shorten::{MAX_MESSAGE, first_few, shorten};
use crate::store;

pub mod args;
mod check;
pub mod file;
pub mod schedules;
pub mod settings;
#[cfg(test)]
mod tests;

pub(crate) use crate::units;
pub use args::{
    BackupArgs, Cli, ClientArgs, Command, ExportArgs, ImportArgs, LogFormat, RestoreArgs,
    ServeArgs, StatsArgs, SubmitArgs, VerifyArgs, WatchArgs,
};
pub use file::FileConfig;
pub use settings::Setting;

/// Everything the server is told, in the parts that its layers take.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to serve on.
    pub listen: SocketAddr,
    /// The directory that holds the jobs.
    pub data_dir: PathBuf,
    /// How people reach the server when that is not the address it listens on.
    pub base_url: Option<Url>,
    /// The path under which everything is served when the host is shared.
    pub base_path: BasePath,
    /// What is logged, and how.
    pub log: LogConfig,
    /// For the engine.
    pub engine: EngineConfig,
    /// For the store.
    pub limits: store::Limits,
    /// For the HTTP side.
    pub http: Limits,
    /// For the stop.
    pub stop: StopSettings,
    /// For the built-in kinds.
    pub handlers: HandlerSettings,
    /// Whether fake jobs are fed.
    pub demo: bool,
    /// Who may use the server; everybody who can reach it when there is none.
    pub auth: Option<AuthSettings>,
    /// All of it as people look at it.
    pub settings: Vec<Setting>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// In the words of tracing's `EnvFilter`; known to be valid.
    pub filter: String,
    /// Bytes of lines that may wait to be written.
    pub queue: usize,
    /// How long the exit waits for lines to be written.
    pub flush: Duration,
    /// How requests are logged.
    pub access: AccessLog,
}

/// How the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopSettings {
    /// How long running jobs may go on after the first signal.
    pub grace: Duration,
    /// How long each socket may take to accept its last bytes, and as long again to answer the close.
    pub close: Duration,
}

/// Who may use the server.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// What every request must carry.
    pub token: String,
}

impl fmt::Debug for AuthSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthSettings(…)")
    }
}

/// Why the server cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that is not known; the text names line and column.
    #[error("the configuration file {} is not accepted: {message}", .path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// Settings that are well-formed and cannot be used.
    #[error("the configuration is not accepted:{}", list(.0))]
    Invalid(Vec<Problem>),
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its key in the file.
    pub key: String,
    /// What is wrong, and what is accepted.
    pub message: String,
}

fn list(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message));
    format!("\n  {}", first_few(lines, MAX_LISTED, "\n  "))
}

/// A longer error in the file, in bytes, is told without the line that it quotes.
const MAX_TOML_ERROR: usize = 2_000;

/// The most settings that one error names; the rest is counted.
const MAX_LISTED: usize = 100;

impl Config {
    /// Reads the file that the arguments name, if any, and puts everything together.
    ///
    /// # Errors
    /// The file's fault, or every setting that cannot be used.
    pub fn load(args: &ServeArgs) -> Result<Config, ConfigError> {
        let file = match &args.config {
            Some(path) => FileConfig::read(path)?,
            None => FileConfig::default(),
        };
        Config::build(file, args)
    }

    /// Puts a file's settings and the arguments together; the arguments win.
    ///
    /// # Errors
    /// Every setting that cannot be used, not only the first.
    pub fn build(mut file: FileConfig, args: &ServeArgs) -> Result<Config, ConfigError> {
        file.listen = args.listen.unwrap_or(file.listen);
        file.data_dir = args.data_dir.clone().unwrap_or(file.data_dir);
        file.base_path = args.base_path.clone().unwrap_or(file.base_path);
        file.demo |= args.demo;
        if file.demo {
            for (name, concurrency) in demo::QUEUES {
                let queue =
                    file::QueueSection { concurrency: Some(concurrency), ..Default::default() };
                file.queues.entry(name.to_owned()).or_insert(queue);
            }
        }
        file.stop.grace = args.grace.unwrap_or(file.stop.grace);
        file.engine.concurrency = args.concurrency.unwrap_or(file.engine.concurrency);
        file.auth.token = args.auth_token.clone().or(file.auth.token);
        file.log.filter = args.log.clone().unwrap_or(file.log.filter);
        file.log.format = args.log_format.unwrap_or(file.log.format);
        check::split(file)
    }
}

impl FileConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// With the file's name, and the line where there is one.
    pub fn read(path: &Path) -> Result<FileConfig, ConfigError> {
        let path = path.to_owned();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                FileConfig::parse(&text).map_err(|message| ConfigError::Parse { path, message })
            }
            Err(source) => Err(ConfigError::Read { path, source }),
        }
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// The line and what is wrong with it.
    pub fn parse(text: &str) -> Result<FileConfig, String> {
        toml::from_str(text).map_err(|error| {
            let whole = error.to_string();
            // The place comes first, then the line of the file, then what is wrong.
            match whole.lines().next() {
                Some(place) if whole.len() > MAX_TOML_ERROR => {
                    format!("{place}: {}", shorten(error.message(), MAX_MESSAGE))
                }
                Some(_) | None => whole.trim_end().to_owned(),
            }
        })
    }
}
