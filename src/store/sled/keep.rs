//! sled changes its files when it opens them: behind the first byte that it cannot read it writes over
//! the rest. So they are copied before, and put back when the directory turns out to be unreadable.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::disk::{LOCK_PATIENCE, LOCK_POLL};
use crate::store::StoreError;

/// A log longer than this is opened without a copy: it would cost too much time and space.
const LONGEST: u64 = 2 * 1_024 * 1_024 * 1_024;

/// The files as they were before an opening.
pub(super) struct Kept {
    dir: PathBuf,
    /// There is a copy.
    whole: bool,
}

impl Kept {
    /// Copies the files of a directory that nobody has open. What a start that was broken off has left
    /// is put back first. Without a log there is nothing to keep.
    ///
    /// # Errors
    /// When another process has the directory, or its files cannot be read.
    pub fn take(dir: &Path) -> Result<Kept, StoreError> {
        let fail = |error: io::Error| {
            let dir = dir.display();
            StoreError::Unavailable(format!("cannot open the data directory {dir}: {error}"))
        };
        let mut kept = Kept { dir: dir.to_owned(), whole: false };
        if !dir.join("db").is_file() {
            return Ok(kept);
        }
        let lock = lock(dir).map_err(fail)?;
        if kept.copy().is_dir() {
            kept.restore().map_err(fail)?;
        }
        if lock.metadata().map_err(fail)?.len() > LONGEST {
            return Ok(kept);
        }
        match kept.fill() {
            Ok(()) => kept.whole = true,
            Err(error) => {
                tracing::warn!(%error, "the log is opened without a copy of it");
                kept.remove(&kept.unfinished());
            }
        }
        Ok(kept)
    }

    /// Puts everything back as it was, unless somebody else has the directory.
    pub fn put_back(self) {
        if !self.whole {
            return;
        }
        let restored = lock(&self.dir).and_then(|_lock| self.restore());
        if let Err(error) = restored {
            tracing::warn!(%error, copy = %self.copy().display(), "the files could not be put back");
        }
    }

    /// The directory was read: the copy goes.
    pub fn forget(self) {
        if !self.whole {
            return;
        }
        // Renamed first: a copy of which a part is gone must never be put back.
        let gone = self.dir.join("before.gone");
        self.remove(&gone);
        match fs::rename(self.copy(), &gone) {
            Ok(()) => self.remove(&gone),
            Err(error) => tracing::warn!(%error, "the copy of the log could not be removed"),
        }
    }

    fn copy(&self) -> PathBuf {
        self.dir.join("before")
    }

    fn unfinished(&self) -> PathBuf {
        self.dir.join("before.new")
    }

    fn fill(&self) -> io::Result<()> {
        let new = self.unfinished();
        self.remove(&new);
        fs::create_dir(&new)?;
        for name in files(&self.dir)? {
            fs::copy(self.dir.join(&name), new.join(&name))?;
        }
        fs::rename(&new, self.copy())
    }

    fn restore(&self) -> io::Result<()> {
        let copy = self.copy();
        let kept = files(&copy)?;
        for name in files(&self.dir)? {
            if !kept.contains(&name) {
                fs::remove_file(self.dir.join(name))?; // written by the opening
            }
        }
        // The log last: as long as it is in the copy, this can be done again.
        for name in kept.iter().filter(|name| *name != "db").chain([&"db".to_owned()]) {
            fs::copy(copy.join(name), self.dir.join(name))?;
            File::open(self.dir.join(name))?.sync_all()?;
        }
        fs::rename(&copy, self.dir.join("before.gone"))?;
        self.remove(&self.dir.join("before.gone"));
        Ok(())
    }

    fn remove(&self, dir: &Path) {
        // It may not be there; what cannot be removed now is tried again at the next start.
        let _ = fs::remove_dir_all(dir);
    }
}

/// sled's own lock. It must be given back before sled opens the directory.
fn lock(dir: &Path) -> io::Result<File> {
    let file = File::open(dir.join("db"))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= LOCK_PATIENCE => {
                return Err(io::Error::other("it is in use by another process"));
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
        }
    }
}

/// The names of sled's files.
fn files(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name == "db" || name == "conf" || name.starts_with("snap.") {
            names.push(name);
        }
    }
    Ok(names)
}
