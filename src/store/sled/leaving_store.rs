//! A store in a data directory that is moved elsewhere: no server opens it meanwhile, and afterwards none takes it for a
//! store, because the file `moved` says where it is.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::dir::durable;
use super::dir::lock::DirLock;
use super::open_copy;
use crate::store::{StoreError, permissions};

/// The file that says where the store of the directory was moved to.
const MOVED: &str = "moved";
/// Its name until it is written.
const MOVED_NEW: &str = "moved.new";

/// A store that is being moved elsewhere.
pub struct LeavingDirStore {
    dir: PathBuf,
    _lock: DirLock,
}

impl LeavingDirStore {
    /// Begins to move a store to the place `to`. A store that an interrupted move to the same place has left may be moved
    /// again.
    ///
    /// # Errors
    /// When there is no store, or another process uses it.
    pub fn begin(dir: &Path, to: &str) -> Result<LeavingDirStore, StoreError> {
        open_copy::check_store(dir)?;
        let lock = DirLock::take(dir).map_err(|error| failed(dir, error))?;
        if let Some(place) = moved_to(dir)?.filter(|place| place != to) {
            return Err(moved(dir, &place));
        }
        Ok(LeavingDirStore { dir: dir.to_owned(), _lock: lock })
    }

    /// Makes the store one that was moved to the place `to`.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn leave(self, to: &str) -> Result<(), StoreError> {
        let LeavingDirStore { dir, _lock } = self;
        let new = dir.join(MOVED_NEW);
        let write = || {
            durable::remove(&new)?;
            let mut file = permissions::private_file().write(true).create_new(true).open(&new)?;
            file.write_all(to.as_bytes())?;
            file.sync_all()?;
            durable::rename(&new, &dir.join(MOVED))
        };
        write().map_err(|error| failed(&dir, error))
    }
}

/// Refuses a directory whose store was moved elsewhere.
///
/// # Errors
/// When it was, or that cannot be read.
pub fn refuse_moved(dir: &Path) -> Result<(), StoreError> {
    moved_to(dir)?.map_or(Ok(()), |place| Err(moved(dir, &place)))
}

fn moved(dir: &Path, place: &str) -> StoreError {
    StoreError::Unavailable(format!(
        "the store in {} was moved to {place}; what is left here would be a second copy of it (the file {MOVED} says so)",
        dir.display()
    ))
}

fn moved_to(dir: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(dir.join(MOVED)) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(dir, error)),
    }
}

fn failed(dir: &Path, error: io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", dir.display()))
}
