//! Copies of sled's files. sled changes its files when it opens them: it overwrites everything behind the first byte
//! that it cannot read. So a copy of them is opened first, and the original only when the copy could be read: a damaged
//! original stays as it is. A copy that another process has left is never read. The process that made a copy writes it
//! back only when the original cannot be read in the same start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::dir::durable;
use super::dir::lock::{DirLock, LogLock};
use super::dir::staging;
use crate::store::{StoreError, permissions};

/// The length in bytes above which a log is opened without a copy, which would take too much time and space.
const MAX_COPIED_BYTES: u64 = 2 * 1_024 * 1_024 * 1_024;
/// The name of the copy that a start makes in the data directory.
const START_COPY: &str = "opening";
/// The prefix of the copies of readers such as `verify`; the process id and a random number follow.
const READER_COPY_PREFIX: &str = "reading.";
/// The names of copies of older versions. They are removed like any other, and never restored.
const OLDER_COPIES: [&str; 3] = ["before", "before.new", "before.gone"];
/// The file that is written to check for free space.
const SPACE_CHECK_FILE: &str = "room";
/// The free space in bytes that is required to open a store again after a failure: two segments of sled's log.
const REQUIRED_FREE_BYTES: usize = 4 * 1_024 * 1_024;

/// A copy of sled's files, which is removed when it is dropped.
#[derive(Debug)]
pub struct OpenCopy {
    path: PathBuf,
    /// Keeps a start from removing the copy while a reader uses it.
    _lock: Option<File>,
}

/// Why a start could not make a copy.
#[derive(Debug)]
pub enum CopyFailure {
    /// The log is too large to be copied at each start.
    TooLarge,
    /// There is no room for it, neither in the data directory nor among temporary files.
    NoRoom(io::Error),
    /// The files cannot be read.
    Unreadable(io::Error),
}

impl OpenCopy {
    /// Copies the files for a start. The caller holds the directory's lock.
    ///
    /// # Errors
    /// Says why there is no copy. The log was not changed, but may be unreadable.
    pub fn for_start(dir: &Path) -> Result<OpenCopy, CopyFailure> {
        let log = fs::metadata(dir.join("db")).map_err(CopyFailure::Unreadable)?;
        if log.len() > MAX_COPIED_BYTES {
            return Err(CopyFailure::TooLarge);
        }
        let beside = match OpenCopy::at(dir, dir.join(START_COPY)) {
            Err(error) if is_no_room(&error) => error,
            copy => return copy.map_err(CopyFailure::Unreadable),
        };
        match OpenCopy::at(dir, temporary()) {
            Err(error) if is_no_room(&error) => Err(CopyFailure::NoRoom(beside)),
            copy => copy.map_err(CopyFailure::Unreadable),
        }
    }

    /// Copies the files of a store for a reader, beside them or, where nothing can be written, in the
    /// directory for temporary files.
    ///
    /// # Errors
    /// When there is no store, another process has it, its files cannot be read, or there is no room for
    /// the copy.
    pub fn of_store(dir: &Path) -> Result<OpenCopy, StoreError> {
        check_store(dir)?;
        let fail = |error: io::Error| cannot_read(dir, error);
        let _lock = LogLock::take(dir).map_err(fail)?;
        // Readers that were killed leave their copies. Where one cannot be removed, it stays.
        let _ = clear_readers(dir);
        let _ = clear_readers(&std::env::temp_dir());
        let beside = match OpenCopy::at(dir, dir.join(format!("{READER_COPY_PREFIX}{}", unique())))
        {
            Err(error) if is_no_room(&error) => error,
            copy => return copy.map_err(fail),
        };
        OpenCopy::at(dir, temporary()).map_err(|error| {
            StoreError::Unavailable(format!(
                "cannot make a working copy of {}: {beside}; nor in {}: {error}",
                dir.display(),
                std::env::temp_dir().display()
            ))
        })
    }

    /// The directory with the copied files.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the copied log over the original, which sled has overwritten because it could not read it. The original
    /// keeps its inode. Its snapshots are removed, because sled does not need them.
    ///
    /// # Errors
    /// When the original cannot be written.
    pub fn restore(&self, dir: &Path) -> io::Result<()> {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("snap.") {
                durable::remove(&entry.path())?;
            }
        }
        let mut copied = File::open(self.path.join("db"))?;
        let mut log = OpenOptions::new().write(true).open(dir.join("db"))?;
        let length = io::copy(&mut copied, &mut log)?;
        log.set_len(length)?;
        log.sync_all()
    }

    /// Makes a copy. Nothing is synced, because no later process uses it.
    fn at(dir: &Path, path: PathBuf) -> io::Result<OpenCopy> {
        // The copy gets its name once it is locked: another process may remove one that is not locked.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut copy = OpenCopy { path: path.with_file_name(format!(".{name}")), _lock: None };
        remove_all(&copy.path)?;
        remove_all(&path)?;
        permissions::create_dir(&copy.path)?;
        copy._lock = File::open(&copy.path).ok().filter(|lock| lock.try_lock().is_ok());
        fs::rename(&copy.path, &path)?;
        copy.path = path; // dropped, and so removed, when something below fails
        for name in files(dir)? {
            let mut original = File::open(dir.join(&name))?;
            // The copy is writable, even if the original is not, and readable for this user only.
            let mut options = permissions::private_file();
            let copied = options.write(true).create_new(true);
            io::copy(&mut original, &mut copied.open(copy.path.join(&name))?)?;
        }
        Ok(copy)
    }
}

/// Checks that a directory holds the files of a store, which may be damaged or in use.
///
/// # Errors
/// When there is no such directory, it cannot be read, or there is no store in it.
pub fn check_store(dir: &Path) -> Result<(), StoreError> {
    let shown = dir.display();
    let metadata = |path: &Path| match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_read(dir, error)),
    };
    match metadata(dir)? {
        None => return Err(StoreError::Unavailable(format!("there is no directory {shown}"))),
        Some(found) if !found.is_dir() => {
            return Err(StoreError::Unavailable(format!("{shown} is not a directory")));
        }
        Some(_) => {}
    }
    if staging::refuse_incomplete(dir).is_err() {
        // A command that still runs has locked the directory.
        drop(DirLock::take(dir).map_err(|error| cannot_read(dir, error))?);
        staging::refuse_incomplete(dir)?;
    }
    match metadata(&dir.join("db"))? {
        Some(log) if log.is_file() => Ok(()),
        Some(_) | None => Err(StoreError::Unavailable(format!("there is no store in {shown}"))),
    }
}

fn cannot_read(dir: &Path, error: io::Error) -> StoreError {
    StoreError::Unavailable(format!("cannot read {}: {error}", dir.display()))
}

/// Checks for the space that the next groups will need, so that reopening fails at once and not after everything was
/// read.
///
/// # Errors
/// When the space is not there.
pub fn check_free_space(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(SPACE_CHECK_FILE);
    let mut options = permissions::private_file();
    let opened = options.write(true).create(true).truncate(true).open(&path);
    let found = opened.and_then(|mut file| file.write_all(&vec![1; REQUIRED_FREE_BYTES]));
    // The file may not exist. If it cannot be removed, the next try overwrites it.
    let _ = fs::remove_file(&path);
    found.map_err(|error| StoreError::Unavailable(format!("{}: {error}", path.display())))
}

/// Reads a log from its beginning to its end.
///
/// # Errors
/// When a part of it cannot be read, which sled would take for the end of the log.
pub fn read_whole(dir: &Path) -> io::Result<()> {
    io::copy(&mut File::open(dir.join("db"))?, &mut io::sink()).map(drop)
}

/// Whether an error says that the copy cannot be written, and not that the original cannot be read.
fn is_no_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
    )
}

fn temporary() -> PathBuf {
    std::env::temp_dir().join(format!("{READER_COPY_PREFIX}cortado.{}", unique()))
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        if let Err(error) = remove_all(&self.path) {
            tracing::warn!(%error, copy = %self.path.display(), "cannot remove a working copy");
        }
    }
}

/// Removes what earlier processes have left: working copies, the file that checks for space, and unfinished snapshots,
/// which sled would take for damaged ones. The caller holds the lock of the directory.
///
/// # Errors
/// When something cannot be removed.
pub fn clear(dir: &Path) -> io::Result<()> {
    durable::remove(&dir.join(START_COPY))?;
    durable::remove(&dir.join(SPACE_CHECK_FILE))?;
    for name in OLDER_COPIES {
        durable::remove(&dir.join(name))?;
    }
    clear_snapshots(dir)?;
    clear_readers(dir)
}

/// Gives the files that sled has created since the log was, such as snapshots, the permissions of the log. sled creates
/// them with those that the umask leaves.
///
/// # Errors
/// When a file cannot be examined or changed.
pub fn fix_permissions(dir: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if staging::is_of_store(&entry.file_name()) {
            paths.push(entry.path());
        }
    }
    for entry in fs::read_dir(dir.join("blobs")).into_iter().flatten() {
        paths.push(entry?.path());
    }
    permissions::make_alike(paths, &dir.join("db"))
}

/// Removes snapshots that sled has not finished.
///
/// # Errors
/// When one cannot be removed.
pub fn clear_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            durable::remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes the copies of readers that ended without removing them.
fn clear_readers(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let is_copy = entry.file_name().to_string_lossy().starts_with(READER_COPY_PREFIX);
        if is_copy && !is_in_use(&entry.path()) {
            durable::remove(&entry.path())?;
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

/// A suffix that no other copy has.
fn unique() -> String {
    format!("{}.{:08x}", std::process::id(), fastrand::u32(..))
}

/// The names of sled's files, without unfinished snapshots.
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
