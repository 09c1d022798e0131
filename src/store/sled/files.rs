//! Opens sled's files, and tells errors of sled that may pass from damage.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use super::dir::durable;
use super::dir::lock::{LOCK_POLL, LOCK_TIMEOUT};
use super::open_copy;
use crate::clock;
use crate::store::StoreError;

const CACHE_BYTES: u64 = 64 * 1_024 * 1_024;
const SEGMENT_BYTES: usize = 2 * 1_024 * 1_024;

/// The open files. After an error a handle of sled is of no further use, so all of them are dropped together.
pub struct OpenFiles {
    pub tree: sled::Tree,
    pub db: sled::Db,
    /// A descriptor of the log file for `fdatasync`, which works on the inode.
    pub log: File,
}

impl OpenFiles {
    /// Opens the original files of a store. The caller holds the lock of the directory. Nothing is created.
    pub fn existing(dir: &Path) -> Result<OpenFiles, StoreError> {
        if !dir.join("db").is_file() {
            return Err(cannot_open(dir, "there is no store in it"));
        }
        open_copy::read_whole(dir).map_err(|error| cannot_open(dir, error))?;
        // A start that ran out of space leaves an unfinished snapshot, which sled would take for a damaged one.
        open_copy::clear_snapshots(dir).map_err(|error| cannot_open(dir, error))?;
        let opened = OpenFiles::at(dir, dir, &config(dir))?;
        // sled syncs neither the names of its files nor its configuration.
        let sync = || {
            durable::sync_tree(&dir.join("blobs"))?;
            File::open(dir.join("conf"))?.sync_all()?;
            opened.log.sync_data()?;
            open_copy::fix_permissions(dir)?;
            durable::sync_dir(dir)?;
            durable::sync_parent(dir)
        };
        sync().map_err(|error| cannot_open(dir, error))?;
        Ok(opened)
    }

    /// Opens the copy of a directory's files.
    pub fn copy(dir: &Path, copy: &Path) -> Result<OpenFiles, StoreError> {
        OpenFiles::at(dir, copy, &config(copy))
    }

    /// Opens the files at `path`. Errors name `dir`, the directory that they belong to.
    pub fn at(dir: &Path, path: &Path, config: &sled::Config) -> Result<OpenFiles, StoreError> {
        let damaged = |why: String| {
            StoreError::Corrupt(format!("the files in {} are damaged: {why}", dir.display()))
        };
        // sled panics before 1970.
        clock::check_system().map_err(|error| cannot_open(dir, error))?;
        let begun = Instant::now();
        let opened = loop {
            // sled panics on some damaged files (spacejam/sled#1387).
            let opened = guard(|| config.open()).map_err(|error| damaged(error.to_string()))?;
            match opened {
                Err(error) if is_locked(&error) && begun.elapsed() < LOCK_TIMEOUT => {
                    std::thread::sleep(LOCK_POLL);
                }
                opened => break opened,
            }
        };
        let db = opened.map_err(|error| match error {
            error if is_locked(&error) => cannot_open(dir, "it is in use by another process"),
            error => match sled_error(error) {
                StoreError::Corrupt(why) => damaged(why),
                other => cannot_open(dir, other),
            },
        })?;
        let tree = guard(|| db.open_tree("cortado"))
            .and_then(|opened| opened.map_err(sled_error))
            .map_err(|error| damaged(error.to_string()))?;
        let log = File::open(path.join("db")).map_err(|error| cannot_open(dir, error))?;
        Ok(OpenFiles { tree, db, log })
    }
}

/// The settings with which sled opens its files.
pub fn config(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput)
}

/// The error of a directory that could not be opened.
pub fn cannot_open(dir: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("cannot open the data directory {}: {why}", dir.display()))
}

/// Calls sled and turns a panic into an error: its assertions fail on damaged files.
pub fn guard<T>(call: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        StoreError::Corrupt(format!("sled panicked: {text}"))
    })
}

/// Calls sled for a write. A panic does not mean that anything is damaged; that shows when the files are opened again.
pub fn write<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match guard(call) {
        Ok(answer) => answer.map_err(sled_error),
        Err(panic) => Err(StoreError::Unavailable(panic.to_string())),
    }
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("acquire lock"))
}

/// Damage is final, while an error of the disk may pass.
pub fn sled_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => {
            StoreError::Unavailable(io.to_string())
        }
        damaged @ (sled::Error::Io(_)
        | sled::Error::Corruption { .. }
        | sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)) => StoreError::Corrupt(damaged.to_string()),
    }
}
