//! Moves a store from a directory to a database or back: everything is there as it was, with the same epoch and the same
//! numbers, so that cursors stay valid. At no time do two places hold the store: the old one says where it went before the
//! new one becomes a store.

use std::path::Path;

use super::StoreError;
use super::location::StorageLocation;
use super::log::Log;
use super::log_store::{self, Report, Tuning};
use super::postgres::{LeavingDatabaseStore, NewDatabaseStore, PostgresSettings};
use super::sled::{LeavingDirStore, NewStore, SledLog};
use crate::job::Cursor;

/// Moves a store that no server uses to a place that has none. Returns what is in it.
///
/// # Errors
/// When a server uses the store, it is not sound, the other place is not empty, or either cannot be read or written. The
/// store is where it was then, unless the message says that it may be moved.
pub fn move_store(from: &StorageLocation, to: &StorageLocation) -> Result<Report, StoreError> {
    let (source, target) = (name(from)?, name(to)?);
    if source == target {
        return Err(StoreError::Unavailable(format!("the store is in {source} already")));
    }
    let leaving = Leaving::begin(from, &target)?;
    let report = leaving.verify();
    if !report.is_sound() {
        return Err(unsound("the store", report));
    }
    let Some(epoch) = report.epoch else { return Err(unsound("the store", report)) };
    let arriving = Arriving::begin(to)?;
    log_store::copy(&*leaving.log()?, arriving.log()?, Cursor { epoch, seq: report.head })?;
    let copied = arriving.verify();
    if !copied.is_sound() {
        return Err(unsound("what was written", copied));
    }
    if !is_same(&report, &copied) {
        let why = format!("what was written differs from what was read: {copied}");
        return Err(StoreError::Corrupt(why));
    }
    leaving.leave(&target)?;
    arriving.publish().map_err(|why| {
        let why = why.to_string();
        StoreError::Unavailable(format!("{why}; run the same command again to finish the move"))
    })?;
    Ok(copied)
}

/// The name by which a place is remembered, whatever directory the command is started in.
fn name(place: &StorageLocation) -> Result<String, StoreError> {
    match place {
        StorageLocation::Directory(dir) => {
            let absolute = std::path::absolute(dir);
            let absolute = absolute
                .map_err(|error| StoreError::Unavailable(format!("{}: {error}", dir.display())))?;
            Ok(absolute.display().to_string())
        }
        StorageLocation::Database(settings) => Ok(settings.location().to_owned()),
    }
}

fn unsound(what: &str, report: Report) -> StoreError {
    match report.unchecked {
        Some(why) => StoreError::Unavailable(why),
        None => StoreError::Corrupt(format!("{what} is not sound: {report}")),
    }
}

/// Whether two reports are of the same content.
fn is_same(one: &Report, two: &Report) -> bool {
    let counts = |report: &Report| {
        let Report { archived, runs, chunks, events, oldest, head, .. } = report;
        let Report { keys, schedules, kinds, .. } = report;
        [*archived, *runs, *chunks, *events, *oldest, *head, *keys, *schedules, *kinds]
    };
    one.epoch == two.epoch && one.jobs == two.jobs && counts(one) == counts(two)
}

/// The place that the store leaves.
enum Leaving<'a> {
    Directory(&'a Path, LeavingDirStore),
    Database(LeavingDatabaseStore),
}

impl Leaving<'_> {
    fn begin<'a>(place: &'a StorageLocation, to: &str) -> Result<Leaving<'a>, StoreError> {
        match place {
            StorageLocation::Directory(dir) => {
                Ok(Leaving::Directory(dir, LeavingDirStore::begin(dir, to)?))
            }
            StorageLocation::Database(settings) => {
                let silence = Tuning::default().node_silence;
                LeavingDatabaseStore::begin(settings, to, silence).map(Leaving::Database)
            }
        }
    }

    fn log(&self) -> Result<Box<dyn Log>, StoreError> {
        match self {
            Leaving::Directory(dir, _) => Ok(Box::new(SledLog::read_only(dir)?)),
            Leaving::Database(leaving) => Ok(Box::new(leaving.log())),
        }
    }

    fn verify(&self) -> Report {
        let report = match self {
            Leaving::Directory(dir, _) => Report::of_dir(dir),
            Leaving::Database(leaving) => Report::of_place(leaving.log().location().to_owned()),
        };
        log_store::verify(report, || self.log())
    }

    fn leave(self, to: &str) -> Result<(), StoreError> {
        match self {
            Leaving::Directory(_, leaving) => leaving.leave(to),
            Leaving::Database(leaving) => leaving.leave(to),
        }
    }
}

/// The place that the store gets to.
enum Arriving<'a> {
    Directory(&'a Path, NewStore),
    Database(NewDatabaseStore),
}

impl Arriving<'_> {
    fn begin(place: &StorageLocation) -> Result<Arriving<'_>, StoreError> {
        match place {
            StorageLocation::Directory(dir) => Ok(Arriving::Directory(dir, NewStore::begin(dir)?)),
            StorageLocation::Database(settings) => {
                let settings: &PostgresSettings = settings;
                NewDatabaseStore::begin(settings).map(Arriving::Database)
            }
        }
    }

    /// The log to write into, which is empty.
    fn log(&self) -> Result<Box<dyn Log>, StoreError> {
        match self {
            Arriving::Directory(_, new) => Ok(Box::new(SledLog::create(new.path())?)),
            Arriving::Database(new) => Ok(Box::new(new.log())),
        }
    }

    fn verify(&self) -> Report {
        match self {
            Arriving::Directory(_, new) => log_store::verify(Report::of_dir(new.path()), || {
                Ok(Box::new(SledLog::read_only(new.path())?))
            }),
            Arriving::Database(new) => {
                let report = Report::of_place(new.log().location().to_owned());
                log_store::verify(report, || Ok(Box::new(new.log())))
            }
        }
    }

    fn publish(self) -> Result<(), StoreError> {
        match self {
            Arriving::Directory(dir, new) => new.publish().map_err(|error| {
                StoreError::Unavailable(format!("cannot finish {}: {error}", dir.display()))
            }),
            Arriving::Database(new) => new.publish(),
        }
    }
}

#[cfg(test)]
mod tests;
