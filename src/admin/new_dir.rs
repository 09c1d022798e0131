//! A directory that a command fills. It is emptied again when the command fails, so that nothing in it can
//! be taken for a store.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::StoreError;
use crate::store::sled::Builder;

/// The directory, from when it was found empty until it is known to be whole.
pub(super) struct NewDir {
    dir: PathBuf,
    existed: bool,
    /// Whether what is in it goes when this is dropped.
    unfinished: bool,
}

impl NewDir {
    /// Begins a store in a directory that is empty or not there.
    ///
    /// # Errors
    /// When there is something in it, or it cannot be written.
    pub fn begin(dir: &Path) -> Result<(Builder, NewDir), StoreError> {
        let mut new = NewDir { dir: dir.to_owned(), existed: dir.exists(), unfinished: false };
        // An error leaves the directory alone: what is in it is somebody's.
        let builder = Builder::create(dir)?;
        new.unfinished = true;
        Ok((builder, new)) // dropped in this order: nothing writes any more when the files go
    }

    /// What is in it stays.
    pub fn keep(mut self) {
        self.unfinished = false;
    }

    fn empty(&self) -> io::Result<()> {
        if !self.existed {
            return fs::remove_dir_all(&self.dir);
        }
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name() == ".gitkeep" {
                continue; // it was there before
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        if self.unfinished
            && let Err(error) = self.empty()
        {
            tracing::warn!(dir = %self.dir.display(), %error, "what is not whole cannot be removed");
        }
    }
}
