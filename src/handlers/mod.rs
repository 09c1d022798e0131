//! L3: the built-in kinds, one file or folder each. A new kind is one file and one line in
//! [`register`].

use crate::engine::{KindInfo, Registry, example};
use crate::job::schema::{Schema, SchemaError};
use crate::job::{Invalid, Kind};

pub mod command;
mod echo;
mod fail;
pub mod guard;
pub mod http;
mod outcome;
mod sleep;
#[cfg(test)]
mod testing;

pub(crate) use outcome::{discard, done, retry};

/// The configuration of the built-in kinds.
#[derive(Debug, Clone, Default)]
pub struct HandlerSettings {
    /// The configuration of the `http` kind.
    pub http: http::Settings,
    /// The configuration of the `command` kind.
    pub command: command::Settings,
}

/// Why the built-in kinds cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The HTTP client could not be built.
    #[error("cannot set up the http kind")]
    Http(#[from] reqwest::Error),
    /// The name of a built-in kind is invalid, which is a bug in this file.
    #[error(transparent)]
    Name(#[from] Invalid),
    /// The schema of a built-in kind is invalid, which is a bug in its file.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Registers all built-in kinds.
///
/// # Errors
/// The HTTP client cannot be built.
pub fn register(registry: &mut Registry, settings: &HandlerSettings) -> Result<(), RegisterError> {
    registry.add(info("echo", echo::ABOUT, echo::EXAMPLE, echo::SCHEMA)?, echo::echo);
    registry.add(info("sleep", sleep::ABOUT, sleep::EXAMPLE, sleep::SCHEMA)?, sleep::sleep);
    registry.add(info("fail", fail::ABOUT, fail::EXAMPLE, fail::SCHEMA)?, fail::fail);
    let client = http::Http::new(&settings.http)?;
    registry.add(info("http", http::ABOUT, http::EXAMPLE, http::SCHEMA)?, client);
    let command = command::Command::new(settings.command.clone());
    let (example, schema) = (command.example(), command.schema());
    registry.add(info("command", command::ABOUT, &example, &schema)?, command);
    Ok(())
}

fn info(name: &str, about: &str, payload: &str, schema: &str) -> Result<KindInfo, RegisterError> {
    let (about, example, schema) = (about.to_owned(), example(payload), Schema::parse(schema)?);
    Ok(KindInfo { kind: Kind::parse(name)?, about, example, schema: Some(schema) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Json;

    #[test]
    fn every_kind_is_registered_with_a_sentence_and_an_example() {
        let mut registry = Registry::default();
        register(&mut registry, &HandlerSettings::default()).unwrap();
        let kinds = registry.kinds();
        let names: Vec<&str> = kinds.iter().map(|info| info.kind.as_str()).collect();
        assert_eq!(names, ["command", "echo", "fail", "http", "sleep"]);
        for info in kinds {
            assert!(info.about.ends_with('.'), "{}: {:?}", info.kind, info.about);
            assert_ne!(info.example, Json::null(), "{}", info.kind);
            let wrong = info.schema.as_ref().map(|schema| schema.check(&info.example));
            assert_eq!(wrong.unwrap_or_default(), [], "{}", info.kind);
        }
    }
}
