//! The durable store in a data directory: combines `log_store` with the log on sled, for a server and for the
//! commands that work on directories which no server uses.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::log::Log;
use super::log_store::{self, LogStore, Opening, Report, Tuning};
use super::sled::{self, Faults, NewStore, SledLog};
use super::snapshot::Totals;
use super::{Piece, StoreError, StoreLimits, WideAccess};
use crate::clock::Clock;

/// Opens a data directory, and creates it if it does not exist. Blocks while it reads: call it before the runtime is
/// busy.
///
/// # Errors
/// Says what cannot be read, and where. An unreadable store is left as it is.
pub fn open(
    dir: &Path,
    limits: StoreLimits,
    clock: Arc<dyn Clock>,
) -> Result<Arc<LogStore>, StoreError> {
    let tuning = Tuning::of(&limits);
    open_tuned(dir, limits, clock, tuning, Faults::from_environment()?)
}

/// Opens a data directory that no server uses, for a command that changes nothing about jobs: those that a crashed server
/// was running stay running until a server opens the directory, and no start is recorded.
///
/// # Errors
/// When there is no store in the directory, a server uses it, or it cannot be read.
pub fn open_to_maintain(dir: &Path, clock: Arc<dyn Clock>) -> Result<Arc<LogStore>, StoreError> {
    check_store(dir)?;
    let limits = StoreLimits::default();
    let (tuning, faults) = (Tuning::of(&limits), Faults::from_environment()?);
    let log = || Ok(boxed(sled::open(dir, faults, log_store::empty_store()?)?));
    LogStore::open(log, limits, clock, tuning, Opening::ToMaintain)
}

/// Like [`open`], with the sizes and the faults that a test needs.
pub(super) fn open_tuned(
    dir: &Path,
    limits: StoreLimits,
    clock: Arc<dyn Clock>,
    tuning: Tuning,
    faults: Faults,
) -> Result<Arc<LogStore>, StoreError> {
    let group_access = limits.group_access;
    let log = || Ok(boxed(sled::open(dir, faults, log_store::empty_store()?)?));
    let store = LogStore::open(log, limits, clock, tuning, Opening::ToRunJobs)?;
    if let Some(access) = WideAccess::of(dir).filter(|access| access.is_reported(group_access)) {
        tracing::warn!(data_dir = %dir.display(), "{access}");
    }
    Ok(store)
}

/// Checks that a directory holds the files of a store, which may be damaged or in use.
///
/// # Errors
/// When there is no such directory, it cannot be read, or there is no store in it.
pub fn check_store(dir: &Path) -> Result<(), StoreError> {
    sled::check_store(dir)
}

/// Checks a directory that no server uses; see [`log_store::verify`]. Nothing in it is changed.
pub fn verify(dir: &Path) -> Report {
    log_store::verify(Report::of_dir(dir), || SledLog::read_only(dir).map(boxed))
}

/// Reads everything in a directory that no server uses, piece by piece, and changes nothing.
///
/// # Errors
/// When something cannot be read, or when `take` fails.
pub fn read_all_pieces<E: From<StoreError>>(
    dir: &Path,
    take: impl FnMut(Piece) -> Result<(), E>,
) -> Result<(), E> {
    log_store::read_all_pieces(boxed(SledLog::read_only(dir)?), take)
}

fn boxed(log: SledLog) -> Box<dyn Log> {
    Box::new(log)
}

/// Builds a store from the pieces of a snapshot. Until [`DataDirBuilder::finish`] the data directory holds no store, and a
/// server refuses to start in it instead of creating another one.
pub struct DataDirBuilder {
    dir: PathBuf,
    builder: log_store::LogBuilder,
    new: NewStore,
}

impl DataDirBuilder {
    /// Starts in a directory that is empty or does not exist.
    ///
    /// # Errors
    /// When the directory is not empty, or cannot be written.
    pub fn create(dir: &Path) -> Result<DataDirBuilder, StoreError> {
        let new = NewStore::begin(dir)?;
        let builder = log_store::LogBuilder::new(boxed(SledLog::create(new.path())?));
        Ok(DataDirBuilder { dir: dir.to_owned(), builder, new })
    }

    /// Adds the next piece, in the order of [`Snapshot::next`](super::Snapshot::next).
    ///
    /// # Errors
    /// When the piece cannot follow the ones before it, or the directory cannot be written.
    pub fn push(&mut self, piece: Piece) -> Result<(), StoreError> {
        self.builder.push(piece)
    }

    /// Verifies what was written, turns the directory into a store and returns what is in it.
    ///
    /// # Errors
    /// When the end was not among the pieces, the result is not sound, or the directory cannot be written.
    pub fn finish(self) -> Result<Totals, StoreError> {
        let DataDirBuilder { dir, builder, new } = self;
        let totals = builder.finish()?;
        let report = verify(new.path());
        if !report.is_sound() {
            let why = format!("what was written is not sound: {report}");
            return Err(StoreError::Corrupt(why));
        }
        new.publish().map_err(|error| {
            StoreError::Unavailable(format!("cannot finish {}: {error}", dir.display()))
        })?;
        tracing::debug!(data_dir = %dir.display(), jobs = totals.jobs, "store built");
        Ok(totals)
    }
}

#[cfg(test)]
mod tests;
