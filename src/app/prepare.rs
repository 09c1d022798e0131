//! The first half of a start: everything that can be checked without opening the store or an address.

use std::sync::Arc;

use super::access::MissingToken;
use super::builder::{Builder, ConfigChanges, Environment, Orphans, StoreLocation};
use super::declared::{UnknownKind, check_kinds, check_schedules, specs_of};
use super::in_process::InProcessRoutes;
use super::server_error::{OfKind, ServerError, ServerErrorKind};
use crate::config::{AuthSettings, Config, ServeArgs};
use crate::demo;
use crate::engine::{Kinds, Registry};
use crate::handlers::command::register;
use crate::http::server::inherited::InheritedSockets;
use crate::http::{OwnRoutes, check_own_routes};
use crate::job::{ScheduleName, Secret};

/// A server that can be started.
pub(super) struct PreparedServer {
    pub config: Config,
    pub registry: Arc<Registry>,
    pub kinds: Kinds,
    pub store: StoreLocation,
    pub inherited: InheritedSockets,
    pub orphans: Orphans,
    pub missing: MissingToken,
    pub environment: Environment,
    pub routes: Vec<OwnRoutes>,
    /// The routes for clients in this process, which the handlers have before there are routes.
    pub in_process: InProcessRoutes,
}

impl Builder {
    /// Checks everything that can be checked without opening the store or an address, as `cortado serve --check` does.
    /// Returns what only a start can check.
    ///
    /// # Errors
    /// A setting, a kind or a schedule is not acceptable, or a program or a file that a setting names cannot be used.
    #[doc(hidden)]
    pub fn check(self) -> anyhow::Result<Vec<String>> {
        let PreparedServer { config, kinds, .. } = self.prepare()?;
        let schedules = config.engine.schedules.iter();
        let open = schedules.filter(|(_, schedule)| !kinds.knows(&schedule.labels.kind));
        let open = open.map(|(name, schedule)| {
            let kind = &schedule.labels.kind;
            format!("schedule {name}: kind {kind} must have been declared through the API or by a worker")
        });
        Ok(open.collect())
    }

    /// Merges the builder's settings with the configuration, and checks all of them. All errors are about the configuration.
    pub(super) fn prepare(self) -> anyhow::Result<PreparedServer> {
        let in_process = InProcessRoutes::new();
        let mut config = match self.config {
            Some(config) => changed(config, self.changes)?,
            None => {
                let args = match self.environment {
                    Environment::Read => ServeArgs::of_environment().map_err(anyhow::Error::msg)?,
                    Environment::Ignored => ServeArgs::default(),
                };
                self.settings.resolve(&args)?
            }
        };
        config.listen = self.inherited.addresses(config.listen).map_err(anyhow::Error::msg)?;
        self.built_in.limit(&mut config.handlers);
        config.check_environment()?;

        let commands = &config.handlers.command.programs;
        let is_on_disk = self.store == StoreLocation::Configured;
        if is_on_disk && !commands.is_empty() {
            config.handlers.command.register = Some(config.data_dir.join(register::DIR));
        }
        let mut registry = Registry::default();
        self.built_in.register(&mut registry, &config.handlers)?;
        if config.demo {
            demo::register(&mut registry)?;
        }
        self.handlers.declare_defaults(&mut config)?;
        self.handlers.register(&mut registry, &self.schemas, in_process.client())?;
        let registry = Arc::new(registry);
        check_kinds(&config.engine.kinds, &registry)?;
        let kinds = Kinds::of_program(registry.clone(), config.engine.kinds.clone());

        let mut declared = config.schedules.expose().clone();
        for (name, schedule) in self.schedules {
            let submission = schedule.into_submission();
            let submission = submission.map_err(|why| anyhow::anyhow!("schedule {name}: {why}"))?;
            declared.push((ScheduleName::parse(&name)?, submission));
        }
        config.schedules = Secret::new(declared);
        config.engine.schedules = specs_of(&config, &kinds)?;
        check_schedules(&config, &kinds, UnknownKind::Later)?;
        check_own_routes(&self.routes).map_err(anyhow::Error::msg)?;
        Ok(PreparedServer {
            config,
            registry,
            kinds,
            store: self.store,
            inherited: self.inherited,
            orphans: self.orphans,
            missing: self.missing_token,
            environment: self.environment,
            routes: self.routes,
            in_process,
        })
    }

    /// As [`Builder::prepare`], for a start.
    pub(super) fn prepare_start(self) -> Result<PreparedServer, ServerError> {
        self.prepare().of_kind(ServerErrorKind::Configuration)
    }
}

/// A finished configuration with what the methods of the builder have changed.
fn changed(mut config: Config, changes: ConfigChanges) -> anyhow::Result<Config> {
    config.listen = changes.listen.map_or(config.listen, Into::into);
    config.data_dir = changes.data_dir.unwrap_or(config.data_dir);
    config.engine.paused |= changes.paused;
    if let Some(token) = changes.token {
        let token = AuthSettings::parse(&token);
        config.auth = Some(token.map_err(|why| anyhow::anyhow!("invalid token: {why}"))?);
    }
    Ok(config)
}
