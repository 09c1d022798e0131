//! The lock of a data directory: one process opens, creates or replaces its files at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long another holder of the directory is waited for: the process before may be about to end, and
/// a child that is just being started holds our files until it runs its program.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(2);
pub const LOCK_POLL: Duration = Duration::from_millis(20);

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct DirLock {
    /// The locked directory. The lock is `flock` on it, so nothing is written into the directory.
    _dir: Option<File>,
}

impl DirLock {
    /// Waits a moment for another holder.
    ///
    /// # Errors
    /// When another process keeps the lock, or the directory cannot be opened.
    pub fn take(dir: &Path) -> io::Result<DirLock> {
        let opened = File::open(dir)?;
        match lock(&opened) {
            Ok(()) => {}
            // Some network file systems lock no directories; sled's lock on its log remains.
            Err(error) if is_unsupported(&error) => return Ok(DirLock { _dir: None }),
            Err(error) => return Err(error),
        }
        // A process of an older version holds the lock on sled's log only.
        drop(LogLock::take(dir)?);
        Ok(DirLock { _dir: Some(opened) })
    }
}

/// sled's own lock, on its log file. It must be dropped before sled opens the directory.
#[derive(Debug)]
pub struct LogLock {
    _log: Option<File>,
}

impl LogLock {
    /// Waits a moment for another holder. Without a log there is nothing to lock.
    ///
    /// # Errors
    /// When another process keeps the lock, or the log cannot be opened.
    pub fn take(dir: &Path) -> io::Result<LogLock> {
        let log = match File::open(dir.join("db")) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LogLock { _log: None });
            }
            Err(error) => return Err(error),
        };
        lock(&log)?;
        Ok(LogLock { _log: Some(log) })
    }
}

fn lock(file: &File) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= LOCK_PATIENCE => {
                return Err(io::Error::other("it is in use by another process"));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
        }
    }
}

fn is_unsupported(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    const ENOLCK: i32 = 37;
    error.kind() == io::ErrorKind::Unsupported
        || matches!(error.raw_os_error(), Some(EBADF | ENOLCK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_a_later_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirLock::take(dir.path()).unwrap();
        let error = DirLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(first);
        DirLock::take(dir.path()).unwrap();
    }
}
