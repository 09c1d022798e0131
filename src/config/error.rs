//! Errors of the configuration: the file cannot be read or parsed, or settings are invalid.

use std::path::PathBuf;

use crate::job::shorten::first_few;

/// Why the server cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", .path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is not TOML; the message names line and column.
    #[error("cannot parse the configuration file {}: {message}", .path.display())]
    Parse {
        /// The path of the file.
        path: PathBuf,
        /// The line, and what is wrong with it.
        message: String,
    },
    /// The text that a program gave is not TOML.
    #[error("invalid configuration text: {0}")]
    Text(String),
    /// Settings are invalid.
    #[error("invalid configuration:{}", list(.0))]
    Invalid(Vec<InvalidSetting>),
    /// Settings of a file, or of the command line and the environment, are invalid.
    #[error("invalid configuration (in {}):{}", .path.display(), list(.settings))]
    InvalidFile {
        /// The path of the file.
        path: PathBuf,
        /// The settings.
        settings: Vec<InvalidSetting>,
    },
}

/// An invalid setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSetting {
    /// Its key in the file.
    pub key: String,
    /// What is wrong, and what is accepted.
    pub message: String,
}

fn list(problems: &[InvalidSetting]) -> String {
    let lines = problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message));
    format!("\n  {}", first_few(lines, MAX_LISTED, "\n  "))
}

/// The most settings that one error lists; the others are only counted.
pub(super) const MAX_LISTED: usize = 100;
