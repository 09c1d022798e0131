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
mod flag_variables;
pub mod health_args;
pub mod kinds;
pub mod layers;
pub mod link_args;
mod parts;
pub mod place_args;
mod ranges;
pub mod schedules;
mod secret_file;
mod setting_value;
pub mod settings;
pub mod store_args;
#[cfg(test)]
mod tests;
mod toml_file;
mod toml_json;
pub mod variables;

pub use crate::handlers::http::read_authorities;
pub use crate::http::server::listen_address::ListenAddresses;
pub(crate) use crate::units;
pub use access_args::{
    AccessTarget, PasswordSource, SessionArgs, SessionCommand, TokenArgs, TokenCommand, UserArgs,
    UserCommand,
};
pub use args::{
    AccessArgs, Cli, CliCommand, LogFormat, ResumeArgs, ServeArgs, StatsArgs, SubmitArgs, WatchArgs,
};
pub use client_args::ClientArgs;
pub use error::{ConfigError, InvalidSetting};
pub use file::FileConfig;
pub use health_args::HealthArgs;
pub use link_args::{LinkArgs, LinkCommand};
pub use parts::{AuthSettings, Config, DatabaseSettings, LogConfig, StopSettings};
pub use secret_file::read_secret;
pub use setting_value::{SettingValue, quoted};
pub use settings::Setting;
pub use store_args::{BackupArgs, ExportArgs, ImportArgs, MoveArgs, RestoreArgs, VerifyArgs};

impl InvalidSetting {
    /// Adds where the value comes from, if not from the file.
    fn name_source(&mut self, args: &ServeArgs) {
        let source = match self.key.as_str() {
            "listen" if !args.listen.is_empty() => "--listen or CORTADO_LISTEN",
            "data_dir" if args.data_dir.is_some() => "--data-dir or CORTADO_DATA_DIR",
            "store.url" if args.store.is_some() => "--store or CORTADO_STORE",
            "store.node" if args.node.is_some() => "--node or CORTADO_NODE",
            "base_path" if args.base_path.is_some() => "--base-path or CORTADO_BASE_PATH",
            "auth.token" if args.auth_token.is_some() => "--auth-token or CORTADO_AUTH_TOKEN",
            "log.filter" if args.log.is_some() => "--log or CORTADO_LOG",
            _ => return,
        };
        self.message.push_str(&format!(" (set by {source})"));
    }
}

impl Config {
    /// Reads the file named by the arguments, if any, and merges the two.
    ///
    /// # Errors
    /// The file cannot be read or parsed, or settings are invalid; the error lists all of them.
    pub fn load(args: &ServeArgs) -> Result<Config, ConfigError> {
        let Some(path) = &args.config else {
            return Config::build(FileConfig::default(), args);
        };
        let (file, wrong) = FileConfig::read(path)?;
        Config::merge(file, wrong, args).map_err(|settings| {
            let path = path.clone();
            ConfigError::InvalidFile { path, settings }
        })
    }

    /// Merges a file's settings with the arguments, which override the file.
    ///
    /// # Errors
    /// Settings are invalid; the error lists all of them, not only the first.
    pub fn build(file: FileConfig, args: &ServeArgs) -> Result<Config, ConfigError> {
        Config::merge(file, Vec::new(), args).map_err(ConfigError::Invalid)
    }

    /// Merges settings with the arguments. `wrong` are the settings of the file that were not accepted.
    fn merge(
        mut file: FileConfig,
        mut wrong: Vec<InvalidSetting>,
        args: &ServeArgs,
    ) -> Result<Config, Vec<InvalidSetting>> {
        if !args.listen.is_empty() {
            match ListenAddresses::new(args.listen.clone()) {
                Ok(listen) => file.listen = listen,
                Err(message) => wrong.push(InvalidSetting { key: "listen".to_owned(), message }),
            }
        }
        file.data_dir = args.data_dir.clone().unwrap_or(file.data_dir);
        file.store.url = args.store.clone().or(file.store.url);
        file.store.node = args.node.clone().or(file.store.node);
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
        check::split(file, wrong).map_err(|mut wrong| {
            for setting in &mut wrong {
                setting.name_source(args);
            }
            wrong
        })
    }
}
