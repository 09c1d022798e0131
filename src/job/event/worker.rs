//! Events about workers in other processes.

use serde::{Deserialize, Serialize};

use crate::job::EventType;

/// What happened to a worker in another process. Stores write the position of a variant, so new ones are added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WorkerChange {
    /// It has connected, for the first time or again.
    Connected,
    /// It has left.
    Left {
        /// The reason.
        why: WorkerLeft,
    },
    /// Somebody has told it to claim no more jobs.
    Quieted,
    /// Somebody has told it to finish what it runs and to exit.
    Stopping,
    /// Somebody has told it to claim jobs again.
    Resumed,
}

/// Why a worker has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerLeft {
    /// It has signed off.
    SignedOff,
    /// It was not heard from for as long as its leases last.
    Silent,
    /// Another connection has come with its name.
    Replaced,
}

impl WorkerChange {
    /// The type of the event that carries this change.
    pub fn event_type(self) -> EventType {
        match self {
            WorkerChange::Connected => EventType::WorkerConnected,
            WorkerChange::Left { .. } => EventType::WorkerLeft,
            WorkerChange::Quieted => EventType::WorkerQuieted,
            WorkerChange::Stopping => EventType::WorkerStopping,
            WorkerChange::Resumed => EventType::WorkerResumed,
        }
    }
}

impl WorkerLeft {
    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkerLeft::SignedOff => "signed_off",
            WorkerLeft::Silent => "silent",
            WorkerLeft::Replaced => "replaced",
        }
    }
}
