//! sled changes its files when it opens them: behind the first byte that it cannot read, it overwrites the
//! rest. So a directory is first opened as a copy. Only when that could be read is the original opened; a
//! damaged original stays as it is. A copy is never moved back, and nothing ever reads one that was left.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::dir_lock::LogLock;
use super::durable;
use super::outage::ROOM;
use super::staging;
use crate::store::StoreError;

/// The copy that a start makes in the data directory.
const AT_START: &str = "opening";
/// The copies of readers that are not the server, such as `verify`: this, and the process id.
const OF_READER: &str = "reading.";
/// What older versions called their copies. They are removed like any other, and never restored.
const OF_OLDER_VERSIONS: [&str; 3] = ["before", "before.new", "before.gone"];

/// A copy of sled's files, removed when it is dropped.
#[derive(Debug)]
pub(super) struct OpenCopy {
    path: PathBuf,
    /// Keeps a start from removing the copy while a reader uses it.
    _lock: Option<File>,
}

impl OpenCopy {
    /// Copies the files for a start, unless they are larger than `limit` bytes or there is no room. The
    /// caller holds the directory's lock.
    ///
    /// # Errors
    /// When the files cannot be looked at.
    pub fn for_start(dir: &Path, limit: u64) -> io::Result<Option<OpenCopy>> {
        if fs::metadata(dir.join("db"))?.len() > limit {
            return Ok(None);
        }
        match OpenCopy::at(dir, dir.join(AT_START)) {
            Ok(copy) => Ok(Some(copy)),
            Err(error) => {
                tracing::warn!(%error, "no room for a working copy: the store is opened without checking a copy first");
                Ok(None)
            }
        }
    }

    /// Copies the files for a reader, beside them or, where nothing can be written, in the directory for
    /// temporary files.
    ///
    /// # Errors
    /// When there is no store, another process has it, its files cannot be read, or there is no room for
    /// the copy.
    pub fn of_store(dir: &Path) -> Result<OpenCopy, StoreError> {
        if !dir.is_dir() {
            return Err(StoreError::Unavailable(format!(
                "there is no directory {}",
                dir.display()
            )));
        }
        staging::refuse_incomplete(dir)?;
        if !dir.join("conf").is_file() || !dir.join("db").is_file() {
            let dir = dir.display();
            return Err(StoreError::Unavailable(format!("there is no store in {dir}")));
        }
        let fail = |error: io::Error| {
            StoreError::Unavailable(format!("cannot read {}: {error}", dir.display()))
        };
        let _lock = LogLock::take(dir).map_err(fail)?;
        let name = format!("{OF_READER}{}", unique());
        OpenCopy::at(dir, dir.join(&name)).or_else(|beside| {
            let other = std::env::temp_dir().join(format!("cortado-{name}"));
            OpenCopy::at(dir, other.clone()).map_err(|error| {
                StoreError::Unavailable(format!(
                    "cannot make a working copy of {}: {beside}; nor in {}: {error}",
                    dir.display(),
                    other.display()
                ))
            })
        })
    }

    /// The directory with the copied files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing is synced: a copy is of no use after this process.
    fn at(dir: &Path, path: PathBuf) -> io::Result<OpenCopy> {
        let mut copy = OpenCopy { path, _lock: None }; // removed when something below fails
        remove_all(&copy.path)?;
        fs::create_dir(&copy.path)?;
        copy._lock = File::open(&copy.path).ok().filter(|lock| lock.try_lock().is_ok());
        for name in files(dir)? {
            fs::copy(dir.join(&name), copy.path.join(&name))?;
        }
        Ok(copy)
    }
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.path) {
            tracing::warn!(%error, copy = %self.path.display(), "a working copy could not be removed");
        }
    }
}

/// Removes what earlier processes left: working copies, the file that an outage asks for space with, and
/// snapshots that sled was still writing, which it would take for damaged ones. The caller holds the
/// directory's lock.
///
/// # Errors
/// When something cannot be removed.
pub(super) fn clear(dir: &Path) -> io::Result<()> {
    durable::remove(&dir.join(AT_START))?;
    durable::remove(&dir.join(ROOM))?;
    for name in OF_OLDER_VERSIONS {
        durable::remove(&dir.join(name))?;
    }
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let path = dir.join(&name);
        let unfinished = name.starts_with("snap.") && name.ends_with(".generating");
        if unfinished || (name.starts_with(OF_READER) && !is_in_use(&path)) {
            durable::remove(&path)?;
        }
    }
    Ok(())
}

fn is_in_use(copy: &Path) -> bool {
    File::open(copy).is_ok_and(|copy| copy.try_lock().is_err())
}

fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// A name that no other copy has.
fn unique() -> String {
    format!("{}.{:08x}", std::process::id(), fastrand::u32(..))
}

/// The names of sled's files, without snapshots that are being written.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let snapshot = name.starts_with("snap.") && !name.ends_with(".generating");
        if name == "db" || name == "conf" || snapshot {
            names.push(name);
        }
    }
    Ok(names)
}
