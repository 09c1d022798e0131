//! The settings: the command line and one TOML file are merged (a flag or its environment variable overrides the file,
//! and the file overrides the default), validated, and split into one part for each layer.

use crate::demo;

pub mod access_args;
pub mod args;
mod check;
pub mod client_args;
mod environment;
mod error;
pub mod external;
pub mod file;
mod parts;
pub mod schedules;
pub mod settings;
#[cfg(test)]
mod tests;

pub use crate::handlers::http::read_authorities;
pub use crate::http::server::listen_address::ListenAddresses;
pub(crate) use crate::units;
pub use access_args::{
    AccessTarget, PasswordSource, SessionArgs, SessionCommand, TokenArgs, TokenCommand, UserArgs,
    UserCommand,
};
pub use args::{
    AccessArgs, BackupArgs, Cli, CliCommand, ExportArgs, ImportArgs, LogFormat, RestoreArgs,
    ResumeArgs, ServeArgs, StatsArgs, SubmitArgs, VerifyArgs, WatchArgs,
};
pub use client_args::ClientArgs;
pub use error::{ConfigError, InvalidSetting};
pub use file::FileConfig;
pub use parts::{AuthSettings, Config, LogConfig, StopSettings};
pub use settings::Setting;

impl Config {
    /// Reads the file named by the arguments, if any, and merges the two.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or settings are invalid; the error lists all of them.
    pub fn load(args: &ServeArgs) -> Result<Config, ConfigError> {
        let file = match &args.config {
            Some(path) => FileConfig::read(path)?,
            None => FileConfig::default(),
        };
        Config::build(file, args)
    }

    /// Merges a file's settings with the arguments, which override the file.
    ///
    /// # Errors
    /// Settings are invalid; the error lists all of them, not only the first.
    pub fn build(mut file: FileConfig, args: &ServeArgs) -> Result<Config, ConfigError> {
        if !args.listen.is_empty() {
            file.listen = ListenAddresses::new(args.listen.clone()).map_err(|message| {
                ConfigError::Invalid(vec![InvalidSetting { key: "listen".to_owned(), message }])
            })?;
        }
        file.data_dir = args.data_dir.clone().unwrap_or(file.data_dir);
        file.base_path = args.base_path.clone().unwrap_or(file.base_path);
        file.demo |= args.demo;
        file.paused |= args.paused;
        if file.demo {
            for (name, concurrency) in demo::QUEUES {
                let queue = file::QueueSection {
                    concurrency: Some(concurrency.get() as i64),
                    ..Default::default()
                };
                file.queues.entry(name.to_owned()).or_insert(queue);
            }
        }
        file.stop.grace = args.grace.unwrap_or(file.stop.grace);
        file.engine.concurrency =
            args.concurrency.map_or(file.engine.concurrency, |number| number.get() as i64);
        file.auth.token = args.auth_token.clone().or(file.auth.token);
        file.log.filter = args.log.clone().unwrap_or(file.log.filter);
        file.log.format = args.log_format.unwrap_or(file.log.format);
        check::split(file)
    }
}
