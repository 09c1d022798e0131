//! The durable store in a PostgreSQL database that several servers may share: combines `log_store` with the log on
//! PostgreSQL.

use std::sync::Arc;

pub use super::postgres::PostgresSettings;

use super::log::Log;
use super::log_store::{self, LogStore, Opening, Tuning};
use super::postgres::PostgresLog;
use super::{StoreError, StoreLimits};
use crate::clock::Clock;

/// Opens the store in a database, and creates it if there is none. Blocks while it reads: call it before the runtime is
/// busy.
///
/// # Errors
/// When the server cannot be reached, a newer version has written to the database, or something cannot be read.
pub fn open(
    mut settings: PostgresSettings,
    limits: StoreLimits,
    clock: Arc<dyn Clock>,
) -> Result<Arc<LogStore>, StoreError> {
    let tuning = Tuning::of(&limits);
    settings.node_silence = limits.node_silence;
    let log = || -> Result<Box<dyn Log>, StoreError> {
        Ok(Box::new(PostgresLog::create_if_missing(settings, log_store::empty_store()?)?))
    };
    LogStore::open(log, limits, clock, tuning, Opening::ToRunJobs)
}
