//! The durable store in a PostgreSQL database that several servers may share: combines `log_store` with the log on
//! PostgreSQL, for servers and for the commands that read or build a whole store.

use std::sync::Arc;

pub use super::postgres::{PostgresSettings, SettingsError};

use super::log::Log;
use super::log_store::{self, LogStore, Opening, Report, Tuning};
use super::postgres::{NewDatabaseStore, PostgresLog, TransactionLog};
use super::snapshot::Totals;
use super::{Piece, StoreError, StoreLimits};
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

/// Opens the store in a database for a command that changes nothing about jobs. Nodes may go on meanwhile: the command writes
/// to their log as they do, but is none of them.
///
/// # Errors
/// When the server cannot be reached, the database has no store of this version, or something cannot be read.
pub fn open_to_maintain(
    settings: &PostgresSettings,
    clock: Arc<dyn Clock>,
) -> Result<Arc<LogStore>, StoreError> {
    drop(TransactionLog::read_only(settings)?); // it says what is there when that is no store
    let limits = StoreLimits::default();
    let tuning = Tuning::of(&limits);
    let log = || Ok(Box::new(PostgresLog::open(settings.clone())?) as Box<dyn Log>);
    LogStore::open(log, limits, clock, tuning, Opening::ToMaintain)
}

/// Checks the store in a database; see [`log_store::verify`]. Nodes may go on meanwhile: it is checked as it was at one
/// moment.
pub fn verify(settings: &PostgresSettings) -> Report {
    let report = Report::of_place(settings.location().to_owned());
    log_store::verify(report, || TransactionLog::read_only(settings).map(boxed))
}

/// Reads everything in a database, piece by piece, as it is at one moment. Nodes may go on meanwhile.
///
/// # Errors
/// When something cannot be read, or when `take` fails.
pub fn read_all_pieces<E: From<StoreError>>(
    settings: &PostgresSettings,
    take: impl FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    log_store::read_all_pieces(boxed(TransactionLog::read_only(settings)?), take)
}

fn boxed(log: TransactionLog) -> Box<dyn Log> {
    Box::new(log)
}

/// Builds a store from the pieces of a snapshot. Until [`DatabaseBuilder::finish`] the database holds no store, and a
/// server refuses to start on it instead of creating another one.
pub struct DatabaseBuilder {
    builder: log_store::LogBuilder,
    new: NewDatabaseStore,
}

impl DatabaseBuilder {
    /// Starts in a database without a store.
    ///
    /// # Errors
    /// When there is a store in it, or it cannot be written.
    pub fn create(settings: &PostgresSettings) -> Result<DatabaseBuilder, StoreError> {
        let new = NewDatabaseStore::begin(settings)?;
        let builder = log_store::LogBuilder::new(boxed(new.log()));
        Ok(DatabaseBuilder { builder, new })
    }

    /// Adds the next piece, in the order of [`Snapshot::next`](super::Snapshot::next).
    ///
    /// # Errors
    /// When the piece cannot follow the ones before it, or the database cannot be written.
    pub fn push(&mut self, piece: Piece) -> Result<(), StoreError> {
        self.builder.push(piece)
    }

    /// Verifies what was written, makes it a store and returns what is in it.
    ///
    /// # Errors
    /// When the end was not among the pieces, the result is not sound, or the database cannot be written.
    pub fn finish(self) -> Result<Totals, StoreError> {
        let DatabaseBuilder { builder, new } = self;
        let totals = builder.finish()?;
        let report = Report::of_place(new.log().location().to_owned());
        let report = log_store::verify(report, || Ok(boxed(new.log())));
        if !report.is_sound() {
            let why = format!("what was written is not sound: {report}");
            return Err(StoreError::Corrupt(why));
        }
        new.publish()?;
        Ok(totals)
    }
}
