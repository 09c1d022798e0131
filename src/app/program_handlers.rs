//! The handlers of the program in which the server runs, with what they share.

use std::sync::Arc;

use anyhow::Context as _;

use super::kind_defaults;
use crate::client::{Client, JobOptions, Layers, PendingHandler, States, Surroundings};
use crate::config::Config;
use crate::engine::{KindInfo, Registry};
use crate::job::{Kind, Schema};

/// The handlers of the program, by kind, and what they share.
#[derive(Default)]
pub(super) struct ProgramHandlers {
    pub(super) kinds: Vec<(String, PendingHandler)>,
    /// The options of typed kinds.
    pub(super) options: Vec<(&'static str, JobOptions)>,
    pub(super) states: States,
    pub(super) layers: Layers,
}

impl ProgramHandlers {
    /// Declares the options of typed kinds as the defaults of these kinds, where the configuration does not say.
    ///
    /// # Errors
    /// The name of a kind or an option is not valid.
    pub(super) fn declare_defaults(&self, config: &mut Config) -> anyhow::Result<()> {
        // The last handler of a kind counts, and so do its options.
        self.options.iter().rev().try_for_each(|(kind, options)| {
            kind_defaults::declare(config, &Kind::parse(kind)?, options.clone())
        })
    }

    /// Adds the handlers to a registry that has all other kinds, and runs all of them within the middleware.
    ///
    /// # Errors
    /// The name or the schema of a kind is not valid, or a handler needs a state that was not given.
    pub(super) fn register(
        self,
        registry: &mut Registry,
        schemas: &[(String, String)],
        client: Client,
    ) -> anyhow::Result<()> {
        let ProgramHandlers { kinds, options: _, states, layers } = self;
        let mut handlers = Vec::with_capacity(kinds.len());
        for (kind, handler) in kinds {
            let handler = handler(&states);
            let handler = handler.map_err(|missing| anyhow::Error::msg(missing.of_kind(&kind)))?;
            handlers.push((kind, handler));
        }
        let surroundings = Arc::new(Surroundings { states, client });
        for (kind, handler) in handlers {
            let kind = Kind::parse(&kind)?;
            let declared = schemas.iter().rfind(|(name, _)| *name == kind.as_str());
            let schema = declared.map(|(_, text)| Schema::parse(text)).transpose();
            let schema = schema.with_context(|| format!("the schema of kind {kind}"))?;
            for at in schema.iter().flat_map(Schema::unknown_keywords) {
                tracing::warn!(job.kind = %kind, at, "unknown keyword in a schema, which has no effect");
            }
            let info = KindInfo { schema, ..KindInfo::plain(kind) };
            registry.add_of_program(info, handler, surroundings.clone());
        }
        registry.surround(&layers, &surroundings);
        Ok(())
    }
}
