//! Opens a data directory for a server, and creates stores in directories that have none.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::dir::durable;
use super::dir::lock::DirLock;
use super::dir::staging::{self, Staging};
use super::disk::Disk;
use super::faults::Faults;
use super::files::cannot_open;
use super::head_file::HeadFile;
use super::leaving_store;
use super::log::SledLog;
use super::open_copy::{self, CopyFailure, OpenCopy};
use crate::store::StoreError;
use crate::store::formats::Unreadable;
use crate::store::log::{Log, WriteBatch};

/// Opens a directory for a server. If there is no store in it, one with the rows `new` is created. Where a copy can be
/// made, the copy is read first, so that a damaged directory stays as it is.
///
/// # Errors
/// Says which directory could not be opened and why.
pub fn open(dir: &Path, faults: Faults, new: WriteBatch) -> Result<SledLog, StoreError> {
    const NO_ROOM: &str =
        "there is no room for the copy that is checked before the store is opened";
    let lock = prepare(dir, new)?;
    match OpenCopy::for_start(dir) {
        Ok(copy) => {
            let disk = Disk::open_copy(dir, copy.path(), faults)?;
            SledLog::on_copy(dir, disk, copy, lock)
        }
        Err(CopyFailure::TooLarge) => SledLog::on_original(dir, Disk::open(dir, lock, faults)?),
        Err(CopyFailure::NoRoom(error)) => Err(cannot_open(dir, format!("{NO_ROOM}: {error}"))),
        Err(CopyFailure::Unreadable(error)) => Err(cannot_open(dir, error)),
    }
}

/// Locks a directory, creates a store if there is none, and removes what interrupted operations have left.
fn prepare(dir: &Path, new: WriteBatch) -> Result<DirLock, StoreError> {
    let fail = |error: io::Error| cannot_open(dir, error);
    durable::create_dir_all(dir).map_err(fail)?;
    let lock = DirLock::take(dir).map_err(fail)?;
    staging::refuse_incomplete(dir)?;
    leaving_store::refuse_moved(dir)?;
    if !dir.join("db").exists() {
        if HeadFile::open(dir)?.newest().is_some() {
            return Err(Unreadable::from("missing").at(format!("db in {}", dir.display())));
        }
        create(dir, new).map_err(|error| match error {
            StoreError::Unavailable(why) => cannot_open(dir, why),
            other => other,
        })?;
    }
    open_copy::clear(dir).and_then(|()| staging::clear(dir)).map_err(fail)?;
    Ok(lock)
}

/// Creates an empty store.
fn create(dir: &Path, new: WriteBatch) -> Result<(), StoreError> {
    let fail = |error: io::Error| StoreError::Unavailable(error.to_string());
    let staging = Staging::begin(dir, staging::CREATING).map_err(fail)?;
    let log = SledLog::create(staging.path())?;
    log.apply_alone(new)?;
    log.sync()?;
    drop(log);
    staging.publish().map_err(fail)
}

/// A directory inside the data directory, in which a store is built. Until [`NewStore::publish`] the data directory
/// holds no store, and a server refuses to start in it.
pub struct NewStore {
    staging: Staging,
    _lock: DirLock,
}

impl NewStore {
    /// Starts in a directory that is empty or does not exist.
    ///
    /// # Errors
    /// When the directory is not empty, or cannot be written.
    pub fn begin(dir: &Path) -> Result<NewStore, StoreError> {
        let fail =
            |error: io::Error| StoreError::Unavailable(format!("{}: {error}", dir.display()));
        if dir.parent().is_some_and(|parent| parent.join("db").exists()) {
            return Err(fail(io::Error::other("it is inside of a data directory")));
        }
        // A directory with other files is refused before anything is created.
        check_empty(dir).map_err(fail)?;
        let begin = || {
            durable::create_dir_all(dir)?;
            let lock = DirLock::take(dir)?;
            check_empty(dir)?; // another command may have built a store while this one waited for the lock
            Ok(NewStore { staging: Staging::begin(dir, staging::INCOMPLETE)?, _lock: lock })
        };
        begin().map_err(fail)
    }

    /// The directory to write into.
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Syncs the files and moves them into the data directory. They must be closed.
    ///
    /// # Errors
    /// When a file cannot be synced or moved; the data directory then holds no store.
    pub fn publish(self) -> io::Result<()> {
        self.staging.publish()
    }
}

/// Refuses a directory that is not empty. `.gitkeep`, `lost+found`, and what an earlier try has left are ignored.
fn check_empty(dir: &Path) -> io::Result<()> {
    let names = match std::fs::read_dir(dir) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let is_retry = names.iter().any(|name| name == staging::INCOMPLETE);
    let is_expected = |name: &OsString| {
        name == ".gitkeep"
            || name == "lost+found"
            || name == staging::INCOMPLETE
            || (is_retry && staging::is_of_store(name))
    };
    if names.iter().all(is_expected) {
        return Ok(());
    }
    Err(io::Error::other("the directory is not empty; nothing was changed"))
}
