//! The only file that talks to sled: one tree, atomic batches, and a sync that really reaches the disk.
//!
//! sled's `flush` hands the bytes to the kernel but never calls fsync (spacejam/sled#1452), so every
//! commit ends with `fdatasync` on the log file. A value above 8 kB could spill into `blobs/`, which is
//! never synced, so values are stored in pieces.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use super::dir::durable;
use super::dir::identity::Identity;
use super::dir::lock::DirLock;
use super::faults::{Faults, Point};
use super::files::{Open, cannot_open, config, guard, sled_error, write};
use super::open_copy::{NoCopy, OpenCopy};
use super::pieces::{PIECE, Pieces, piece_key};
use crate::store::log::WriteBatch;
use crate::store::{Storage, StoreError};

/// Bytes written again at once after a fault.
const BLOCK: usize = 1_024 * 1_024;

/// A data directory, open but between a fault and the next [`Disk::reopen`].
pub struct Disk {
    open: RwLock<Option<Arc<Open>>>,
    faults: Faults,
    dir: PathBuf,
    /// What the path must lead to for as long as this process has it; nothing is expected of a copy.
    identity: OnceLock<Identity>,
    written: Written,
    /// Held for as long as the original files may be opened; a reader of a copy needs none.
    lock: Mutex<Option<DirLock>>,
}

/// What was written since the opening.
#[derive(Default)]
struct Written {
    accepted: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
    syncs: AtomicU64,
}

impl Disk {
    /// Opens the copy of a directory's files; the directory itself stays as it is.
    ///
    /// # Errors
    /// Says which directory could not be opened and why.
    pub fn open_copy(dir: &Path, copy: &Path, faults: Faults) -> Result<Disk, StoreError> {
        faults.pass(Point::Open, dir)?;
        let open = Open::copy(dir, copy)?;
        Ok(Disk::of(dir, open, faults, None))
    }

    /// Opens a directory that holds a store.
    ///
    /// # Errors
    /// Says which directory could not be opened and why.
    pub fn open(dir: &Path, lock: DirLock, faults: Faults) -> Result<Disk, StoreError> {
        faults.pass(Point::Open, dir)?;
        let disk = Disk::of(dir, Open::existing(dir)?, faults, Some(lock));
        disk.remember_identity()?;
        Ok(disk)
    }

    /// Makes a database in a directory that has none.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(dir: &Path) -> Result<Disk, StoreError> {
        durable::create_dir_all(dir).map_err(|error| cannot_open(dir, error))?;
        let open = Open::at(dir, dir, &config(dir))?;
        Ok(Disk::of(dir, open, Faults::default(), None))
    }

    fn of(dir: &Path, open: Open, faults: Faults, lock: Option<DirLock>) -> Disk {
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

    /// Goes on with the original files after their copy was read.
    ///
    /// # Errors
    /// As [`Disk::open`], and when they do not hold what the copy held.
    pub fn change_to_original(&self, lock: DirLock, copy: &OpenCopy) -> Result<(), StoreError> {
        let expected = self.checksum()?;
        self.shut();
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
        self.open_original(copy, expected)?;
        self.remember_identity()
    }

    /// Opens the original files, which must hold what their copy held. sled takes a part that it cannot
    /// read for the end of the log and overwrites the rest; then the copy is written back, and the
    /// original is opened once more.
    fn open_original(&self, copy: &OpenCopy, expected: u32) -> Result<(), StoreError> {
        let mut opened = self.try_original(expected);
        for _ in 0..2 {
            let Err(error) = &opened else { return Ok(()) };
            self.shut();
            tracing::warn!(%error, data_dir = %self.dir.display(), "the log reads differently than a moment ago: it is written again");
            copy.put_back(&self.dir).map_err(|error| cannot_open(&self.dir, error))?;
            opened = self.try_original(expected);
        }
        if opened.is_err() {
            self.shut();
            copy.put_back(&self.dir).map_err(|error| cannot_open(&self.dir, error))?;
        }
        opened
    }

    fn try_original(&self, expected: u32) -> Result<(), StoreError> {
        self.set(Open::existing(&self.dir)?);
        if self.checksum()? == expected {
            return Ok(());
        }
        Err(cannot_open(&self.dir, "it reads differently a second time: the disk may be failing"))
    }

    /// A checksum over every key and value.
    fn checksum(&self) -> Result<u32, StoreError> {
        let mut sum = crc32fast::Hasher::new();
        for row in self.scan(b"") {
            let (key, value) = row?;
            sum.update(&(key.len() as u64).to_le_bytes());
            sum.update(&key);
            sum.update(&value);
        }
        Ok(sum.finalize())
    }

    /// Whether the directory and its log are still found under their paths.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they were removed, renamed or replaced.
    pub fn check_identity(&self) -> Result<(), StoreError> {
        self.identity.get().map_or(Ok(()), Identity::check)
    }

    /// Lets go of everything; until [`Disk::reopen`] every call is refused. Readers that are under way
    /// end with an answer or an error.
    pub fn shut(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        // sled syncs when it is dropped, and panics when it cannot.
        if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
            tracing::warn!(data_dir = %self.dir.display(), "sled could not end in order");
        }
    }

    /// Opens the directory again after a fault and makes what is read from it durable: after a failed
    /// sync the kernel may take pages for written that never were, so all are written again. Nothing is
    /// created: a directory that is gone stays away.
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
                self.set(Open::copy(&self.dir, copy.path())?);
                let expected = self.checksum()?;
                self.shut();
                self.open_original(&copy, expected)?;
            }
            Err(NoCopy::Unreadable(error)) => return Err(cannot_open(&self.dir, error)),
            Err(NoCopy::TooLarge | NoCopy::NoRoom(_)) => self.set(Open::existing(&self.dir)?),
        }
        self.check_identity()?;
        write_again(&self.dir.join("db")).map_err(|error| failed(&self.dir, &error))?;
        self.faults.pass(Point::Sync, &self.dir)?;
        let open = self.handle()?;
        open.log.sync_data().map_err(|error| failed(&self.dir, &error))
    }

    /// Makes these the files that every call uses.
    fn set(&self, open: Open) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(open));
    }

    fn handle(&self) -> Result<Arc<Open>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| StoreError::Unavailable("it is being opened again".into()))
    }

    /// Makes a group visible to readers and hands it to the kernel: survives the process, not the power.
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

    /// Waits until everything applied is on the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        let open = self.handle()?;
        self.faults.pass(Point::Sync, &self.dir)?;
        open.log.sync_data().map_err(|error| failed(&self.dir, &error))?;
        self.check_identity()?; // what nobody would find again is not durable
        self.written.syncs.fetch_add(1, Ordering::Relaxed);
        self.faults.pass(Point::AfterSync, &self.dir)
    }

    /// Adds what this side knows of the storage: the file, and what was written since the opening.
    pub fn measure(&self, storage: &mut Storage) -> Result<(), StoreError> {
        let open = self.handle()?;
        // sled looks into its directory of long values, too, and somebody may have removed that.
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
            if piece.len() < PIECE {
                break;
            }
        }
        Ok(value)
    }

    /// Every key (without its piece number) and value whose key begins with `prefix`, in order. Ends
    /// after the first error.
    pub fn scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + Send + use<> {
        let (mut rows, mut refused) = match self.handle() {
            Ok(open) => (Some(open.tree.scan_prefix(prefix)), None),
            Err(error) => (None, Some(Err(error))),
        };
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
        let mut rows = rows.peekable();
        std::iter::from_fn(move || {
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
        })
    }

    /// Refuses when a value has spilled into a file that sled never syncs.
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

/// Writes every byte of a file over itself. sled holds the file's lock and is at rest.
fn write_again(path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK];
    let mut place = 0;
    loop {
        match file.read_at(&mut block, place)? {
            0 => return Ok(()),
            read => {
                file.write_all_at(&block[..read], place)?;
                place += read as u64;
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
        let sizes = [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 1_500_000];
        let mut batch = WriteBatch::default();
        for size in sizes {
            batch.put(format!("v{size:08}"), vec![size as u8; size]);
        }
        disk.apply(batch).unwrap();
        for size in sizes {
            let value = disk.get(format!("v{size:08}").as_bytes()).unwrap().unwrap();
            assert_eq!(value, vec![size as u8; size]);
        }
        let scanned: Vec<usize> = disk.scan(b"v").map(|row| row.unwrap().1.len()).collect();
        assert_eq!(scanned, sizes);
        disk.check_blobs().unwrap();

        let mut batch = WriteBatch::default();
        sizes.iter().for_each(|size| batch.remove(format!("v{size:08}"), *size));
        disk.apply(batch).unwrap();
        assert_eq!(disk.scan(b"").count(), 0);
    }

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _open = Disk::create(dir.path()).unwrap();
        let error = DirLock::take(dir.path()).unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
    }
}
