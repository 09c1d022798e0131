//! Checks settings against the machine when the server starts: what they name must exist and be usable. The other checks
//! of the configuration depend only on the configuration itself.

use rustls::crypto::ring;

use super::{Config, ConfigError, InvalidSetting};
use crate::handlers::http::read_authorities;

impl Config {
    /// Checks that the declared programs can be started, and that the files of certificates can be used.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] lists all settings that cannot be used.
    pub fn check_environment(&self) -> Result<(), ConfigError> {
        let mut wrong = Vec::new();
        for (name, program) in &self.handlers.command.programs {
            wrong.extend(program.unusable().into_iter().map(|unusable| InvalidSetting {
                key: format!("commands.{name}.{}", unusable.setting),
                message: unusable.why,
            }));
        }
        if let Some(tls) = &self.tls
            && let Err(error) = tls.files.load(&ring::default_provider())
        {
            let message = error.to_string();
            wrong.push(InvalidSetting { key: error.setting().to_owned(), message });
        }
        for path in &self.handlers.http.ca_files {
            if let Err(message) = read_authorities(path) {
                wrong.push(InvalidSetting { key: "handlers.http.ca_files".to_owned(), message });
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(wrong)) }
    }
}
