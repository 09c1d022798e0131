//! The builder of a server. Its settings are in `settings`, what it declares in this file; `prepare` and `start`, beside this
//! folder, turn it into a server.

mod declared;
mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use super::access::MissingToken;
use super::built_in::BuiltInKinds;
use super::program_handlers::ProgramHandlers;
use super::schedule::DeclaredSchedule;
use crate::config::Config;
use crate::config::layers::SettingLayers;
use crate::http::OwnRoutes;
use crate::http::server::inherited::InheritedSockets;

/// Builds a server. It begins with the defaults of every setting and the built-in kinds; the first error of what was set is
/// the error of [`Builder::start`].
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    /// The finished configuration of the program `cortado`, which `settings` are not added to.
    pub(super) config: Option<Config>,
    pub(super) settings: SettingLayers,
    /// What is changed in a finished configuration.
    pub(super) changes: ConfigChanges,
    pub(super) environment: Environment,
    pub(super) store: StoreLocation,
    pub(super) built_in: BuiltInKinds,
    pub(super) handlers: ProgramHandlers,
    /// The JSON Schema of payloads, by kind.
    pub(super) schemas: Vec<(String, String)>,
    pub(super) schedules: Vec<(String, DeclaredSchedule)>,
    pub(super) routes: Vec<OwnRoutes>,
    pub(super) missing_token: MissingToken,
    pub(super) orphans: Orphans,
    pub(super) inherited: InheritedSockets,
}

/// What the methods of the builder change in a finished configuration, which has no layers.
#[derive(Default)]
pub(super) struct ConfigChanges {
    pub listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    pub token: Option<String>,
    pub paused: bool,
}

/// Whether the server reads the variables of the environment that begin with `CORTADO_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Environment {
    Ignored,
    Read,
}

/// Where the jobs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreLocation {
    /// In the data directory or the database of the configuration.
    Configured,
    Memory,
}

/// Whether the server reaps processes that commands leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orphans {
    Leave,
    Reap,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            config: None,
            settings: SettingLayers::default(),
            changes: ConfigChanges::default(),
            environment: Environment::Ignored,
            store: StoreLocation::Configured,
            built_in: BuiltInKinds::All,
            handlers: ProgramHandlers::default(),
            schemas: Vec::new(),
            schedules: Vec::new(),
            routes: Vec::new(),
            missing_token: MissingToken::Refused,
            orphans: Orphans::Leave,
            inherited: InheritedSockets::default(),
        }
    }

    /// Keeps the jobs in memory, for tests and experiments. They are lost when the process ends.
    pub fn in_memory(mut self) -> Self {
        self.store = StoreLocation::Memory;
        self
    }

    /// Adopts and reaps the processes that commands leave behind, as the first process of a container must. It
    /// reaps every child that the `command` kind did not start, so use it only in programs that start no children.
    pub fn reap_orphans(mut self) -> Self {
        self.orphans = Orphans::Reap;
        self
    }
}
