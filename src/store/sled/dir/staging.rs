//! Creates stores as a whole: the files are written in a directory of their own inside the data directory, synced, and
//! then moved into place, the log `db` last. A data directory without `db` holds no store.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::durable;
use crate::store::{StoreError, permissions};

/// The directory in which an empty store is created. The next start removes an incomplete one.
pub const CREATING: &str = "creating";
/// The directory in which a backup, an import, a restore or a move builds a store. An incomplete one is never taken for a store.
pub const INCOMPLETE: &str = "incomplete";

/// A directory in which the files of a store are written.
#[derive(Debug)]
pub struct Staging {
    /// The data directory.
    dir: PathBuf,
    staging: PathBuf,
}

impl Staging {
    /// Starts from scratch: what an earlier try has left is removed, whether it was moved into place or not. The caller
    /// holds the lock of the directory, which has no store in it.
    ///
    /// # Errors
    /// When there is a store, or the directory cannot be written.
    pub fn begin(dir: &Path, name: &str) -> io::Result<Staging> {
        if dir.join("db").exists() {
            return Err(io::Error::other("there is a store in it"));
        }
        // The directory of an earlier try is emptied, and never removed: without it, what a process that is killed here
        // leaves behind could look like a directory in which nothing was begun.
        let staging = dir.join(name);
        durable::create_dir_all(&staging)?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if is_of_store(&entry.file_name()) {
                durable::remove(&entry.path())?;
            }
        }
        for entry in fs::read_dir(&staging)? {
            durable::remove(&entry?.path())?;
        }
        Ok(Staging { dir: dir.to_owned(), staging })
    }

    /// The directory to write into.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Syncs the files and moves them into place. They must be closed.
    ///
    /// # Errors
    /// When a file cannot be synced or moved; the data directory then holds no store.
    pub fn publish(self) -> io::Result<()> {
        permissions::make_private(&self.staging)?;
        durable::sync_tree(&self.staging)?;
        if self.dir.join("db").exists() {
            return Err(io::Error::other("another process has created a store in it"));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.staging)? {
            names.push(entry?.file_name());
        }
        for name in names.iter().filter(|name| *name != "db") {
            durable::rename(&self.staging.join(name), &self.dir.join(name))?;
        }
        durable::rename(&self.staging.join("db"), &self.dir.join("db"))?;
        durable::remove(&self.staging)
    }
}

/// Whether a store has a file of this name, other than its log.
pub fn is_of_store(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    matches!(&*name, "conf" | "blobs" | "head" | "head.new") || name.starts_with("snap.")
}

/// Removes what interrupted creations have left in a directory with a store.
///
/// # Errors
/// When it cannot be removed.
pub fn clear(dir: &Path) -> io::Result<()> {
    durable::remove(&dir.join(CREATING))?;
    durable::remove(&dir.join(INCOMPLETE))
}

/// Refuses a directory in which a backup, an import, a restore or a move did not finish.
pub fn refuse_incomplete(dir: &Path) -> Result<(), StoreError> {
    if !dir.join(INCOMPLETE).exists() || dir.join("db").exists() {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "{} holds an unfinished backup, import, restore or move and no store: run that command again, or empty the directory (there is {INCOMPLETE}/ in it)",
        dir.display()
    )))
}
