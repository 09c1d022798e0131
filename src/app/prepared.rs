//! The first part of a start: everything that can be decided and checked before anything is opened.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};

use super::access::MissingToken;
use super::{Builder, InheritedSockets, Orphans, StoreLocation};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, FileConfig, ServeArgs};
use crate::engine::{KindInfo, Registry};
use crate::handlers::command::register;
use crate::job::{Kind, Origin, ScheduleName, Schema};
use crate::{demo, handlers};

/// A server that can be started.
pub(super) struct PreparedServer {
    pub config: Config,
    pub registry: Registry,
    pub store: StoreLocation,
    pub inherited: InheritedSockets,
    pub orphans: Orphans,
    pub missing: MissingToken,
}

impl Builder {
    /// Merges the builder's settings with the configuration, and checks all of them.
    pub(super) fn prepare(self) -> anyhow::Result<PreparedServer> {
        let mut config = match self.config {
            Some(config) => config,
            None => Config::build(FileConfig::default(), &ServeArgs::default())?,
        };
        config.listen = self.listen.map_or(config.listen, Into::into);
        config.listen = self.inherited.addresses(config.listen).map_err(anyhow::Error::msg)?;
        config.data_dir = self.data_dir.unwrap_or(config.data_dir);
        let missing = self.token.missing;
        config.auth = self.token.resolve(config.auth.take())?;

        config.engine.paused |= self.paused;
        config.check_environment()?;

        let commands = &config.handlers.command.programs;
        if matches!(self.store, StoreLocation::Disk) && !commands.is_empty() {
            config.handlers.command.register = Some(config.data_dir.join(register::DIR));
        }
        let mut registry = Registry::default();
        handlers::register(&mut registry, &config.handlers)?;
        for (kind, add) in self.kinds {
            let kind = Kind::parse(&kind)?;
            let declared = self.schemas.iter().rfind(|(name, _)| *name == kind.as_str());
            let schema = declared.map(|(_, text)| Schema::parse(text)).transpose();
            let schema = schema.with_context(|| format!("the schema of kind {kind}"))?;
            for at in schema.iter().flat_map(Schema::unknown_keywords) {
                tracing::warn!(job.kind = %kind, at, "unknown keyword in a schema, which has no effect");
            }
            add(&mut registry, KindInfo { schema, ..KindInfo::plain(kind) });
        }

        for (name, schedule) in self.schedules {
            let spec = schedule.into_spec(Origin::Config, SystemClock.now());
            let spec = spec.map_err(|wrong| {
                let wrong = wrong.iter().map(|one| format!("{}: {}", one.field, one.message));
                anyhow::anyhow!("schedule {name}: {}", wrong.collect::<Vec<_>>().join("; "))
            });
            config.engine.schedules.push((ScheduleName::parse(&name)?, spec?));
        }
        if config.demo {
            config.engine.schedules.extend(demo::schedules(SystemClock.now()));
        }
        check_schedules(&config, &registry)?;
        let (store, inherited, orphans) = (self.store, self.inherited, self.orphans);
        Ok(PreparedServer { config, registry, store, inherited, orphans, missing })
    }
}

/// Checks the declared schedules, because the engine does not check them again.
fn check_schedules(config: &Config, registry: &Registry) -> anyhow::Result<()> {
    let (declared, most) = (&config.engine.schedules, config.limits.max_schedules);
    if declared.len() > most {
        bail!("{} schedules are declared, but store.max_schedules is {most}", declared.len());
    }
    let mut names = BTreeSet::new();
    for (name, schedule) in declared {
        if !names.insert(name) {
            bail!("schedule {name} is declared twice");
        }
        let payload = &schedule.spec.payload;
        let checked = config.engine.check_payload(payload);
        checked
            .and_then(|()| registry.check(&schedule.labels.kind, payload))
            .with_context(|| format!("schedule {name} cannot be declared"))?;
    }
    Ok(())
}
