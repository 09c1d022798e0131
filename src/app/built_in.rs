//! Which of the built-in kinds a server has.

use crate::engine::Registry;
use crate::handlers::{self, HandlerSettings, RegisterError};
use crate::job::shorten::{MAX_NAME, shorten};

/// The built-in kinds of a server.
#[derive(Debug)]
pub enum BuiltInKinds {
    /// All of them.
    All,
    /// Those with these names.
    Only(Vec<String>),
}

/// Why the built-in kinds cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BuiltInError {
    /// There is no such kind.
    #[error("there is no built-in kind {name:?}; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of all, separated by commas.
        known: String,
    },
    /// A kind cannot be set up.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

impl BuiltInKinds {
    /// Whether a kind is among them.
    pub fn has(&self, kind: &str) -> bool {
        match self {
            BuiltInKinds::All => true,
            BuiltInKinds::Only(kinds) => kinds.iter().any(|name| name == kind),
        }
    }

    /// Takes out the settings of kinds that are left out, so that what they name need not exist.
    pub fn limit(&self, settings: &mut HandlerSettings) {
        if !self.has("http") {
            settings.http = HandlerSettings::default().http;
        }
        if !self.has("command") {
            settings.command.programs.clear();
        }
    }

    /// Adds their handlers.
    ///
    /// # Errors
    /// There is no kind of a name, or a kind cannot be set up.
    pub fn register(
        &self,
        registry: &mut Registry,
        settings: &HandlerSettings,
    ) -> Result<(), BuiltInError> {
        let mut all = Registry::default();
        handlers::register(&mut all, settings)?;
        if let BuiltInKinds::Only(kinds) = self {
            let known: Vec<&str> = all.kinds().iter().map(|info| info.kind.as_str()).collect();
            if let Some(name) = kinds.iter().find(|name| !known.contains(&name.as_str())) {
                let (name, known) = (shorten(name, MAX_NAME), known.join(", "));
                return Err(BuiltInError::Unknown { name, known });
            }
        }
        all.retain(|kind| self.has(kind.as_str()));
        *registry = all;
        Ok(())
    }
}
