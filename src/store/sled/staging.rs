//! A store comes into being whole: it is made in a directory of its own inside the data directory, synced,
//! and then moved into place, the log `db` last. A data directory without `db` holds no store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::durable;
use crate::store::StoreError;

/// Where a new, empty store is made. What is left of it is removed by the next start.
pub(super) const CREATING: &str = "creating";
/// Where a backup, an import or a restore is made. What is left of it is never taken for a store.
pub(super) const INCOMPLETE: &str = "incomplete";

/// A directory in which the files of a store are made.
#[derive(Debug)]
pub(super) struct Staging {
    /// The data directory.
    dir: PathBuf,
    staging: PathBuf,
}

impl Staging {
    /// Begins anew: what an earlier try left is removed. The caller holds the directory's lock.
    pub fn begin(dir: &Path, name: &str) -> io::Result<Staging> {
        let staging = dir.join(name);
        durable::remove(&staging)?;
        durable::create_dir_all(&staging)?;
        Ok(Staging { dir: dir.to_owned(), staging })
    }

    /// The directory to write into.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Syncs what was made and moves it into place. Nobody may have the files open.
    ///
    /// # Errors
    /// When a file cannot be synced or moved; the data directory then holds no store.
    pub fn publish(self) -> io::Result<()> {
        durable::sync_tree(&self.staging)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.staging)? {
            names.push(entry?.file_name());
        }
        for name in names.iter().filter(|name| *name != "db") {
            durable::remove(&self.dir.join(name))?; // left by a creation that broke off here
            durable::rename(&self.staging.join(name), &self.dir.join(name))?;
        }
        durable::rename(&self.staging.join("db"), &self.dir.join("db"))?;
        durable::remove(&self.staging)
    }
}

/// Removes what creations that broke off have left in a directory with a store.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    durable::remove(&dir.join(CREATING))?;
    durable::remove(&dir.join(INCOMPLETE))
}

/// Refuses a directory in which a backup, an import or a restore did not finish.
pub(super) fn refuse_incomplete(dir: &Path) -> Result<(), StoreError> {
    if !dir.join(INCOMPLETE).exists() || dir.join("db").exists() {
        return Ok(());
    }
    Err(StoreError::Unavailable(format!(
        "{} holds an unfinished backup, import or restore and no store: run that command again, or remove {}",
        dir.display(),
        dir.join(INCOMPLETE).display()
    )))
}
