//! The implementation of the log on sled: the files of a data directory, or a copy of them, and the head file.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::dir::lock::DirLock;
use super::disk::Disk;
use super::faults::Faults;
use super::head_file::HeadFile;
use super::open_copy::{self, OpenCopy};
use crate::job::{Cursor, Epoch};
use crate::store::log::{Applied, Log, Rows, WriteBatch};
use crate::store::{Storage, StoreError};

/// The log in a data directory.
pub struct SledLog {
    disk: Disk,
    dir: PathBuf,
    location: String,
    /// Opened at the first use.
    head_file: OnceLock<HeadFile>,
    /// The copy that is read. The field is behind `disk`, which must be dropped first.
    copy: Mutex<Option<Copied>>,
}

/// A copy that is read instead of the original files.
enum Copied {
    /// The original files are opened once the copy has been read and understood.
    AtStart(OpenCopy, DirLock),
    /// The original files are never opened.
    ForReader { _copy: OpenCopy },
}

impl SledLog {
    /// Opens a copy of the store in a directory that no server uses. Nothing in the directory is changed.
    ///
    /// # Errors
    /// When there is no store in it, another process has it, or it cannot be read.
    pub fn read_only(dir: &Path) -> Result<SledLog, StoreError> {
        let copy = OpenCopy::of_store(dir)?;
        let disk = Disk::open_copy(dir, copy.path(), Faults::default())?;
        Ok(SledLog::new(dir, disk, Some(Copied::ForReader { _copy: copy })))
    }

    /// Creates an empty log in a directory that has none.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(dir: &Path) -> Result<SledLog, StoreError> {
        Ok(SledLog::new(dir, Disk::create(dir)?, None))
    }

    /// The log of a server that reads the original files from the beginning.
    pub(super) fn on_original(dir: &Path, disk: Disk) -> Result<SledLog, StoreError> {
        let log = SledLog::new(dir, disk, None);
        log.head_file()?;
        Ok(log)
    }

    /// The log of a server that reads a copy until [`Log::begin_writing`].
    pub(super) fn on_copy(
        dir: &Path,
        disk: Disk,
        copy: OpenCopy,
        lock: DirLock,
    ) -> Result<SledLog, StoreError> {
        let log = SledLog::new(dir, disk, Some(Copied::AtStart(copy, lock)));
        log.head_file()?;
        Ok(log)
    }

    fn new(dir: &Path, disk: Disk, copy: Option<Copied>) -> SledLog {
        SledLog {
            disk,
            dir: dir.to_owned(),
            location: dir.display().to_string(),
            head_file: OnceLock::new(),
            copy: Mutex::new(copy),
        }
    }

    fn head_file(&self) -> Result<&HeadFile, StoreError> {
        if let Some(open) = self.head_file.get() {
            return Ok(open);
        }
        let opened = HeadFile::open(&self.dir)?;
        Ok(self.head_file.get_or_init(|| opened))
    }
}

impl Log for SledLog {
    fn location(&self) -> &str {
        &self.location
    }

    fn name(&self) -> String {
        format!("db in {}", self.location)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.get(key)
    }

    fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Rows {
        Box::new(self.disk.scan(prefix, from))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn apply(&self, batch: WriteBatch) -> Result<Applied, StoreError> {
        self.disk.apply(batch).map(|()| Applied::Done)
    }

    fn has_chunk(&self, _number: u64) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn wait_for_chunk(&self, _number: u64, _at_most: Duration) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.disk.sync()
    }

    fn begin_writing(&self) -> Result<(), StoreError> {
        let copied = self.copy.lock().unwrap_or_else(PoisonError::into_inner).take();
        match copied {
            Some(Copied::AtStart(copy, lock)) => self.disk.change_to_original(lock, &copy),
            Some(Copied::ForReader { .. }) => {
                let why = format!("{} was opened for reading only", self.location);
                Err(StoreError::Unavailable(why))
            }
            None => Ok(()),
        }
    }

    fn recorded_head(&self, epoch: Epoch) -> Result<Option<u64>, StoreError> {
        self.head_file()?.seq_of(epoch)
    }

    fn record_head(&self, head: Cursor) -> Result<(), StoreError> {
        self.head_file()?.write(head)
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        self.disk.check_identity()
    }

    fn check_values(&self) -> Result<(), StoreError> {
        self.disk.check_blobs()
    }

    fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        self.disk.measure(storage)
    }

    fn shut(&self) {
        self.disk.shut();
    }

    fn reopen(&self) -> Result<(), StoreError> {
        self.check_identity()?; // before the next step writes to the directory
        open_copy::check_free_space(&self.dir)?;
        self.disk.reopen()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl SledLog {
        /// The original files of a store, to be changed by a test.
        pub fn for_test(dir: &Path) -> SledLog {
            let disk = Disk::open(dir, DirLock::take(dir).unwrap(), Faults::default()).unwrap();
            SledLog::new(dir, disk, None)
        }
    }
}
