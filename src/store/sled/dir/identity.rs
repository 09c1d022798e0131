//! Checks that the path of the data directory still leads to the directory and the log file that were opened.
//!
//! A process can continue to write to files that were removed, renamed or replaced, but no later process would find what it
//! writes. So the check follows every sync, before any caller is answered, and a thread repeats it for a store in which
//! nothing happens.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::store::StoreError;

/// The directory and the log file that were opened.
#[derive(Debug)]
pub struct Identity {
    dir: PathBuf,
    log: PathBuf,
    dir_is: FileId,
    log_is: FileId,
}

/// Identifies a file. A new file may get the inode number of a removed one, but not its time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    created: Option<SystemTime>,
}

impl FileId {
    fn of(metadata: &Metadata) -> FileId {
        let (device, inode) = (metadata.dev(), metadata.ino());
        FileId { device, inode, created: metadata.created().ok() }
    }
}

impl Identity {
    /// Identifies a directory that was just opened, and its log.
    ///
    /// # Errors
    /// When their metadata cannot be read.
    pub fn of(dir: &Path, log: &File) -> io::Result<Identity> {
        Ok(Identity {
            dir: dir.to_owned(),
            log: dir.join("db"),
            dir_is: FileId::of(&std::fs::metadata(dir)?),
            log_is: FileId::of(&log.metadata()?),
        })
    }

    /// Checks that both are still found under their paths.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when there is nothing under a path, or another file.
    pub fn check(&self) -> Result<(), StoreError> {
        self.check_path(&self.dir, self.dir_is, "data directory")?;
        self.check_path(&self.log, self.log_is, "log file")
    }

    fn check_path(&self, path: &Path, expected: FileId, what: &str) -> Result<(), StoreError> {
        const ADVICE: &str = "put back what was there, or restart the server";
        let shown = path.display();
        let why = match std::fs::metadata(path) {
            Ok(metadata) if FileId::of(&metadata) == expected => return Ok(()),
            Ok(_) => format!(
                "the {what} {shown} was replaced by another one, or its file system was unmounted, while the \
                 server was running; {ADVICE}"
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => format!(
                "the {what} {shown} was removed, renamed or unmounted while the server was running; {ADVICE}"
            ),
            Err(error) => format!("the {what} {shown} cannot be checked: {error}"),
        };
        Err(StoreError::Unavailable(why))
    }
}
