//! Checks the database that several servers may share.

use super::InvalidSettings;
use crate::config::file::StoreSection;
use crate::config::parts::DatabaseSettings;
use crate::engine::EngineConfig;
use crate::job::WorkerName;
use crate::store::database::PostgresSettings;

impl InvalidSettings {
    /// The database, if there is one. Its node has the name of the machine unless something else is set, and its worker has
    /// the name of the node, so that each attempt tells where it runs.
    pub fn database(
        &mut self,
        section: &StoreSection,
        engine: &mut EngineConfig,
    ) -> Option<DatabaseSettings> {
        let node = section.node.clone().unwrap_or_else(machine_name);
        let node = self.take("store.node", WorkerName::parse(&node));
        let url = section.url.clone()?;
        self.take("store.url", url.expose().parse::<PostgresSettings>())?;
        let node = node?;
        if engine.worker == EngineConfig::default().worker {
            engine.worker = node.clone();
        }
        Some(DatabaseSettings { url, node })
    }
}

/// The name of the machine, as far as it is a name for a node.
fn machine_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default().to_string_lossy().into_owned();
    if WorkerName::parse(&name).is_ok() { name } else { "local".to_owned() }
}
