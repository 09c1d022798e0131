//! Checks settings against the machine when the server starts: what they name must exist and be usable. The other checks
//! of the configuration depend only on the configuration itself.

use super::{Config, ConfigError, InvalidSetting};

impl Config {
    /// Checks that the declared programs can be started.
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
        if wrong.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(wrong)) }
    }
}
