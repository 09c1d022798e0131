//! The files of a data directory while they are open: all reads and writes go through one tree of sled, in atomic
//! batches, and a sync really reaches the disk.
//!
//! sled's `flush` hands the bytes to the kernel but never calls fsync (spacejam/sled#1452), so every commit ends with
//! `fdatasync` on the log file. A value above 8 kB could spill into `blobs/`, which is never synced, so values are
//! stored in pieces.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::dir::durable;
use super::dir::identity::Identity;
use super::dir::lock::DirLock;
use super::faults::{Faults, Point};
use super::files::{OpenFiles, cannot_open, config, guard, sled_error, write};
use super::open_copy::{self, CopyFailure, OpenCopy};
use super::pieces::{PIECE_BYTES, Pieces, piece_key};
use crate::store::log::WriteBatch;
use crate::store::{Storage, StoreError, permissions};

/// The size of the blocks in which the log is rewritten after a failure.
const REWRITE_BLOCK_BYTES: usize = 1_024 * 1_024;

/// The files of a data directory. They are open except between a failure and the next [`Disk::reopen`].
pub struct Disk {
    open: RwLock<Option<Arc<OpenFiles>>>,
    faults: Faults,
    dir: PathBuf,
    /// The directory and the log that the path must lead to. A copy has none.
    identity: OnceLock<Identity>,
    written: Written,
    /// Held for as long as the original files may be opened. A reader of a copy needs no lock.
    lock: Mutex<Option<DirLock>>,
}

/// What was written since the files were first opened.
#[derive(Default)]
struct Written {
    accepted: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
    syncs: AtomicU64,
}

impl Disk {
    /// Opens the copy of a directory's files. The directory itself is not changed.
    ///
    /// # Errors
    /// Says which directory could not be opened and why.
    pub fn open_copy(dir: &Path, copy: &Path, faults: Faults) -> Result<Disk, StoreError> {
        faults.pass(Point::Open, dir)?;
        let open = OpenFiles::copy(dir, copy)?;
        Ok(Disk::of(dir, open, faults, None))
    }

    /// Opens a directory that holds a store.
    ///
    /// # Errors
    /// Says which directory could not be opened and why.
    pub fn open(dir: &Path, lock: DirLock, faults: Faults) -> Result<Disk, StoreError> {
        faults.pass(Point::Open, dir)?;
        let disk = Disk::of(dir, OpenFiles::existing(dir)?, faults, Some(lock));
        disk.remember_identity()?;
        Ok(disk)
    }

    /// Creates the files in a directory that has none.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(dir: &Path) -> Result<Disk, StoreError> {
        durable::create_dir_all(dir).map_err(|error| cannot_open(dir, error))?;
        let open = OpenFiles::at(dir, dir, &config(dir))?;
        permissions::make_private(dir).map_err(|error| cannot_open(dir, error))?;
        Ok(Disk::of(dir, open, Faults::default(), None))
    }

    fn of(dir: &Path, open: OpenFiles, faults: Faults, lock: Option<DirLock>) -> Disk {
        Disk {
            open: RwLock::new(Some(Arc::new(open))),
            faults,
            dir: dir.to_owned(),
            identity: OnceLock::new(),
            written: Written::default(),
            lock: Mutex::new(lock),
        }
    }

    fn remember_identity(&self) -> Result<(), StoreError> {
        let open = self.handle()?;
        let identity = Identity::of(&self.dir, &open.log);
        let identity = identity.map_err(|error| cannot_open(&self.dir, error))?;
        self.identity.get_or_init(|| identity);
        Ok(())
    }

    /// Opens the original files instead of their copy, which has been read.
    ///
    /// # Errors
    /// As [`Disk::open`], and when the original does not hold the same as the copy.
    pub fn change_to_original(&self, lock: DirLock, copy: &OpenCopy) -> Result<(), StoreError> {
        let expected = self.checksum()?;
        self.shut();
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        self.open_original(copy, expected)?;
        self.remember_identity()
    }

    /// Opens the original files, which must hold the same as their copy. sled takes a part that it cannot read for the
    /// end of the log and overwrites the rest. Then the copy is written back, and the original is opened once more.
    fn open_original(&self, copy: &OpenCopy, expected: u32) -> Result<(), StoreError> {
        // Without permission to write, nothing was changed, so nothing has to be restored.
        if let Err(error) = OpenOptions::new().write(true).open(self.dir.join("db"))
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Err(cannot_open(&self.dir, error));
        }
        let mut opened = self.try_original(expected);
        for _ in 0..2 {
            let Err(error) = &opened else { return Ok(()) };
            self.shut();
            tracing::warn!(
                %error,
                data_dir = %self.dir.display(),
                "the log could not be read like its copy; restoring it from the copy"
            );
            copy.restore(&self.dir).map_err(|error| cannot_open(&self.dir, error))?;
            opened = self.try_original(expected);
        }
        if opened.is_err() {
            self.shut();
            copy.restore(&self.dir).map_err(|error| cannot_open(&self.dir, error))?;
        }
        opened
    }

    fn try_original(&self, expected: u32) -> Result<(), StoreError> {
        self.set(OpenFiles::existing(&self.dir)?);
        if self.checksum()? == expected {
            return Ok(());
        }
        Err(cannot_open(
            &self.dir,
            "its content differs from what was just read: the disk may be failing",
        ))
    }

    /// A checksum over every key and value.
    fn checksum(&self) -> Result<u32, StoreError> {
        let mut sum = crc32fast::Hasher::new();
        for row in self.scan(b"", b"") {
            let (key, value) = row?;
            sum.update(&(key.len() as u64).to_le_bytes());
            sum.update(&key);
            sum.update(&value);
        }
        Ok(sum.finalize())
    }

    /// Checks that the paths still lead to the directory and the log that were opened.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they were removed, renamed or replaced.
    pub fn check_identity(&self) -> Result<(), StoreError> {
        self.identity.get().map_or(Ok(()), Identity::check)
    }

    /// Closes the files. Every call is refused until [`Disk::reopen`]. Reads that are running end with an answer or an
    /// error.
    pub fn shut(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        // sled syncs when it is dropped, and panics when it cannot.
        if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
            tracing::warn!(data_dir = %self.dir.display(), "sled panicked while it was closed");
        }
        if self.identity.get().is_some() {
            // It may have written a snapshot. The directory may be gone, and the next start tries again.
            let _ = open_copy::fix_permissions(&self.dir);
        }
    }

    /// Opens the files again after a failure and makes their content durable. After a failed sync the kernel may regard
    /// pages as written that never were, so all of them are written again. Nothing is created when the directory is
    /// gone.
    pub fn reopen(&self) -> Result<(), StoreError> {
        self.shut();
        let reopened = self.try_reopen();
        if reopened.is_err() {
            self.shut();
        }
        reopened
    }

    fn try_reopen(&self) -> Result<(), StoreError> {
        self.check_identity()?;
        self.faults.pass(Point::Open, &self.dir)?;
        match OpenCopy::for_start(&self.dir) {
            Ok(copy) => {
                self.set(OpenFiles::copy(&self.dir, copy.path())?);
                let expected = self.checksum()?;
                self.shut();
                self.open_original(&copy, expected)?;
            }
            Err(CopyFailure::Unreadable(error)) => return Err(cannot_open(&self.dir, error)),
            Err(CopyFailure::TooLarge | CopyFailure::NoRoom(_)) => {
                self.set(OpenFiles::existing(&self.dir)?)
            }
        }
        self.check_identity()?;
        rewrite(&self.dir.join("db")).map_err(|error| failed(&self.dir, &error))?;
        self.faults.pass(Point::Sync, &self.dir)?;
        let open = self.handle()?;
        open.log.sync_data().map_err(|error| failed(&self.dir, &error))
    }

    /// Sets the files that every call uses.
    fn set(&self, open: OpenFiles) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(open));
    }

    fn handle(&self) -> Result<Arc<OpenFiles>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| StoreError::Unavailable("it is being opened again".into()))
    }

    /// Makes a batch visible to readers and hands it to the kernel: it survives the end of the process, but not yet a
    /// power cut.
    pub fn apply(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let open = self.handle()?;
        self.faults.pass(Point::Apply, &self.dir)?;
        let accepted = batch.event_bytes;
        let marks: Vec<Point> = batch.marks().iter().map(|mark| Point::from(*mark)).collect();
        let Pieces { batch, bytes, .. } = Pieces::of(batch);
        write(|| open.tree.apply_batch(batch))?;
        self.pass(Point::AfterApply, &marks)?;
        write(|| open.db.flush())?;
        self.written.accepted.fetch_add(accepted, Ordering::Relaxed);
        self.written.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.written.groups.fetch_add(1, Ordering::Relaxed);
        self.pass(Point::AfterFlush, &marks)
    }

    fn pass(&self, point: Point, marks: &[Point]) -> Result<(), StoreError> {
        self.faults.pass(point, &self.dir)?;
        marks.iter().try_for_each(|mark| self.faults.pass(*mark, &self.dir))
    }

    /// Waits until everything that was applied is durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        let open = self.handle()?;
        self.faults.pass(Point::Sync, &self.dir)?;
        open.log.sync_data().map_err(|error| failed(&self.dir, &error))?;
        self.check_identity()?; // files that no later process would find are not durable
        self.written.syncs.fetch_add(1, Ordering::Relaxed);
        self.faults.pass(Point::AfterSync, &self.dir)
    }

    /// Adds the size of the files, and what was written since they were first opened.
    pub fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        let open = self.handle()?;
        // sled also reads the directory `blobs`, which may have been removed.
        let log = || open.log.metadata().map(|log| log.len()).unwrap_or_default();
        storage.disk_bytes = open.db.size_on_disk().unwrap_or_else(|_| log());
        storage.accepted_bytes = self.written.accepted.load(Ordering::Relaxed);
        storage.written_bytes = self.written.bytes.load(Ordering::Relaxed);
        storage.groups = self.written.groups.load(Ordering::Relaxed);
        storage.syncs = self.written.syncs.load(Ordering::Relaxed);
        Ok(())
    }

    /// The value under a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let open = self.handle()?;
        let mut value: Option<Vec<u8>> = None;
        for n in 0..=u16::MAX {
            let piece = guard(|| open.tree.get(piece_key(key, n)))?.map_err(sled_error)?;
            let Some(piece) = piece else { break };
            let whole = value.get_or_insert_with(Vec::new);
            whole.extend_from_slice(&piece);
            if piece.len() < PIECE_BYTES {
                break;
            }
        }
        Ok(value)
    }

    /// All keys (without the numbers of pieces) and values whose key begins with `prefix` and is not less than `from`, in
    /// order. It ends after the first error.
    pub fn scan(
        &self,
        prefix: &[u8],
        from: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + Send + use<> {
        let (mut rows, mut refused) = match self.handle() {
            Ok(open) => (Some(open.tree.range(from.max(prefix)..)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let (prefix, from) = (prefix.to_vec(), from.to_vec());
        let rows = std::iter::from_fn(move || {
            let row = match guard(|| rows.as_mut()?.next()) {
                Ok(row) => row?.map_err(sled_error),
                Err(error) => Err(error),
            };
            if row.is_err() {
                rows = None;
            }
            Some(row)
        });
        let rows = rows
            .take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)));
        let mut rows = rows.peekable();
        let values = std::iter::from_fn(move || {
            if let Some(refused) = refused.take() {
                return Some(refused);
            }
            let (mut key, mut value) = match rows.next()? {
                Ok((key, value)) => (key.to_vec(), value.to_vec()),
                Err(error) => return Some(Err(error)),
            };
            key.truncate(key.len().saturating_sub(2));
            while let Some(Ok((next, piece))) = rows.peek() {
                if next.len() != key.len() + 2 || !next.starts_with(&key) {
                    break;
                }
                value.extend_from_slice(piece);
                rows.next();
            }
            Some(Ok((key, value)))
        });
        // The pieces of a shorter key may be behind `from`.
        values.skip_while(move |row| row.as_ref().is_ok_and(|(key, _)| *key < from))
    }

    /// Checks that no value has spilled into a file that sled never syncs.
    pub fn check_blobs(&self) -> Result<(), StoreError> {
        let blobs = std::fs::read_dir(self.dir.join("blobs")).map_or(0, |entries| entries.count());
        if blobs == 0 {
            return Ok(());
        }
        Err(StoreError::Unavailable(format!("{blobs} values are in unsynced files under blobs/")))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shut();
    }
}

/// Rewrites every byte of a file in place. sled holds the lock of the file and does nothing meanwhile.
fn rewrite(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = vec![0; REWRITE_BLOCK_BYTES];
    let mut offset = 0;
    loop {
        match file.read_at(&mut block, offset)? {
            0 => return Ok(()),
            read => {
                file.write_all_at(&block[..read], offset)?;
                offset += read as u64;
            }
        }
    }
}

fn failed(dir: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", dir.join("db").display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_come_back_whole_and_leave_no_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::create(dir.path()).unwrap();
        let sizes =
            [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES, 1_500_000];
        let mut batch = WriteBatch::default();
        for size in sizes {
            batch.put(format!("v{size:08}"), vec![size as u8; size]);
        }
        disk.apply(batch).unwrap();
        for size in sizes {
            let value = disk.get(format!("v{size:08}").as_bytes()).unwrap().unwrap();
            assert_eq!(value, vec![size as u8; size]);
        }
        let scanned: Vec<usize> = disk.scan(b"v", b"v").map(|row| row.unwrap().1.len()).collect();
        assert_eq!(scanned, sizes);
        let later = disk.scan(b"v", b"v00007168").map(|row| row.unwrap().0);
        assert_eq!(later.count(), sizes.iter().filter(|size| **size >= PIECE_BYTES).count());
        disk.check_blobs().unwrap();

        let mut batch = WriteBatch::default();
        sizes.iter().for_each(|size| batch.remove(format!("v{size:08}"), *size));
        disk.apply(batch).unwrap();
        assert_eq!(disk.scan(b"", b"").count(), 0);
    }

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _open = Disk::create(dir.path()).unwrap();
        let error = DirLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
    }
}
