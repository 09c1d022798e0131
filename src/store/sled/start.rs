//! How a data directory is opened for a server, and how a store is made in a directory that has none.

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
use super::log::SledLog;
use super::open_copy::{self, NoCopy, OpenCopy};
use crate::store::StoreError;
use crate::store::formats::Unreadable;
use crate::store::log::{Log, WriteBatch};

/// Opens a directory for a server, and creates a store that holds `new` when there is none in it. It is read from a
/// copy at first, where one can be made, so that a damaged directory stays as it is.
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
        Err(NoCopy::TooLarge) => SledLog::on_original(dir, Disk::open(dir, lock, faults)?),
        Err(NoCopy::NoRoom(error)) => Err(cannot_open(dir, format!("{NO_ROOM}: {error}"))),
        Err(NoCopy::Unreadable(error)) => Err(cannot_open(dir, error)),
    }
}

/// Locks a directory and leaves a store in it and nothing that broke off: a new store is made where
/// there is none.
fn prepare(dir: &Path, new: WriteBatch) -> Result<DirLock, StoreError> {
    let fail = |error: io::Error| cannot_open(dir, error);
    durable::create_dir_all(dir).map_err(fail)?;
    let lock = DirLock::take(dir).map_err(fail)?;
    staging::refuse_incomplete(dir)?;
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

/// Makes a new, empty store.
fn create(dir: &Path, new: WriteBatch) -> Result<(), StoreError> {
    let fail = |error: io::Error| StoreError::Unavailable(error.to_string());
    let staging = Staging::begin(dir, staging::CREATING).map_err(fail)?;
    let log = SledLog::create(staging.path())?;
    log.apply(new)?;
    log.sync()?;
    drop(log);
    staging.publish().map_err(fail)
}

/// A store in the making, in a directory of its own inside the data directory. Until [`NewStore::publish`] the data
/// directory holds no store, and a start says so instead of creating another one.
pub struct NewStore {
    staging: Staging,
    _lock: DirLock,
}

impl NewStore {
    /// Begins in a directory that is empty or not there.
    ///
    /// # Errors
    /// When there is something in it, or it cannot be written.
    pub fn begin(dir: &Path) -> Result<NewStore, StoreError> {
        let fail =
            |error: io::Error| StoreError::Unavailable(format!("{}: {error}", dir.display()));
        if dir.parent().is_some_and(|parent| parent.join("db").exists()) {
            return Err(fail(io::Error::other("it is inside of a data directory")));
        }
        // What is somebody else's is refused before anything is made.
        check_empty(dir).map_err(fail)?;
        let begin = || {
            durable::create_dir_all(dir)?;
            let lock = DirLock::take(dir)?;
            check_empty(dir)?; // another command may have filled it while its lock was waited for
            Ok(NewStore { staging: Staging::begin(dir, staging::INCOMPLETE)?, _lock: lock })
        };
        begin().map_err(fail)
    }

    /// Where the files are until they are published.
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Syncs what was made and makes the data directory a store. Nobody may have the files open.
    ///
    /// # Errors
    /// When a file cannot be synced or moved; the data directory then holds no store.
    pub fn publish(self) -> io::Result<()> {
        self.staging.publish()
    }
}

/// Refuses a directory with anything in it but a file that version control wants there, the directory that a
/// new file system comes with, and what an earlier try has left.
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
