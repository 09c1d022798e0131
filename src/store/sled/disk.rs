//! The only file that talks to sled: one tree, atomic batches, and a sync that really reaches the disk.
//!
//! sled's `flush` hands the bytes to the kernel but never calls fsync (spacejam/sled#1452), so every
//! commit ends with `fdatasync` on the log file. A value above 8 kB could spill into `blobs/`, which is
//! never synced, so values are stored in pieces.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sled::IVec;

use super::faults::{Faults, Point};
use super::identity::Identity;
use crate::store::{Storage, StoreError, clock};

/// The longest value sled is given, in bytes.
const PIECE: usize = 7_168;
const CACHE_BYTES: u64 = 64 * 1_024 * 1_024;
const SEGMENT_BYTES: usize = 2 * 1_024 * 1_024;

/// How long another holder of the directory is waited for: the process before may be about to end, and
/// a child that is just being started holds our files until it runs its program.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(2);
pub(super) const LOCK_POLL: Duration = Duration::from_millis(20);

/// Bytes written again at once after a fault.
const BLOCK: usize = 1_024 * 1_024;

/// A data directory, open but between a fault and the next [`Disk::reopen`].
pub(super) struct Disk {
    open: RwLock<Option<Arc<Open>>>,
    faults: Faults,
    dir: PathBuf,
    /// What the path must lead to for as long as this process has it.
    identity: Identity,
    written: Written,
}

/// What sled holds. A sled handle that saw an error stays useless, so all of it is dropped together.
struct Open {
    tree: sled::Tree,
    db: sled::Db,
    /// Any descriptor of the log file will do: `fdatasync` works on the inode.
    log: File,
}

/// What was written since the opening.
#[derive(Default)]
struct Written {
    accepted: AtomicU64,
    bytes: AtomicU64,
    groups: AtomicU64,
    syncs: AtomicU64,
}

/// What a group changes; applied in one atomic step.
#[derive(Default)]
pub(super) struct Ops {
    changes: Vec<(IVec, Option<IVec>)>,
    /// Bytes handed to sled, keys and values.
    pub bytes: u64,
    /// What is special about the group, for tests that strike there.
    marks: Vec<Point>,
    /// Bytes of the events in it, before compression: what callers gave.
    pub accepted: u64,
}

impl Ops {
    /// Stores a value under a key, in as many pieces as it needs.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        let mut pieces = value.chunks(PIECE).enumerate();
        if value.is_empty() {
            self.insert(piece_key(key, 0), &[]);
        }
        for (n, piece) in &mut pieces {
            self.insert(piece_key(key, n as u16), piece);
        }
    }

    /// Stores a value where one of `before` bytes was; 0 when there was none.
    pub fn replace(&mut self, key: &[u8], before: usize, value: &[u8]) {
        if before.div_ceil(PIECE) > value.len().div_ceil(PIECE) {
            self.remove(key, before);
        }
        self.put(key, value);
    }

    /// Removes a value that was `len` bytes long when it was put.
    pub fn remove(&mut self, key: &[u8], len: usize) {
        for n in 0..len.div_ceil(PIECE).max(1) {
            let key = piece_key(key, n as u16);
            self.bytes += key.len() as u64;
            self.changes.push((key.into(), None));
        }
    }

    /// Names a point that is passed while these changes are written.
    pub fn mark(&mut self, point: Point) {
        if !self.marks.contains(&point) {
            self.marks.push(point);
        }
    }

    fn insert(&mut self, key: Vec<u8>, value: &[u8]) {
        self.bytes += (key.len() + value.len()) as u64;
        self.changes.push((key.into(), Some(value.into())));
    }

    /// Adds changes that were put together elsewhere.
    pub fn append(&mut self, mut other: Ops) {
        self.changes.append(&mut other.changes);
        self.bytes += other.bytes;
    }

    fn into_batch(self) -> sled::Batch {
        let mut batch = sled::Batch::default();
        for (key, value) in self.changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        batch
    }
}

impl Disk {
    /// Opens a directory that holds a store already; nothing is created.
    ///
    /// # Errors
    /// When there is no store, and as [`Disk::open`].
    pub fn open_existing(dir: &Path) -> Result<Disk, StoreError> {
        if !dir.is_dir() {
            return Err(StoreError::Unavailable(format!(
                "there is no directory {}",
                dir.display()
            )));
        }
        if !dir.join("conf").is_file() || !dir.join("db").is_file() {
            return Err(StoreError::Unavailable(format!("there is no store in {}", dir.display())));
        }
        Disk::open(dir)
    }

    /// Opens a directory, creating it when it is not there.
    ///
    /// # Errors
    /// Says which directory could not be opened and why; an unreadable store is never touched.
    pub fn open(dir: &Path) -> Result<Disk, StoreError> {
        Disk::open_with(dir, Faults::default())
    }

    /// The same, with faults to come.
    pub fn open_with(dir: &Path, faults: Faults) -> Result<Disk, StoreError> {
        faults.pass(Point::Open, dir)?;
        std::fs::create_dir_all(dir).map_err(|error| cannot_open(dir, &error))?;
        let open = Open::at(dir)?;
        let identity = Identity::of(dir, &open.log).map_err(|error| cannot_open(dir, &error))?;
        let written = Written::default();
        let open = RwLock::new(Some(Arc::new(open)));
        Ok(Disk { open, faults, dir: dir.to_owned(), identity, written })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the directory and its log are still found under their paths.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when they were removed, renamed or replaced.
    pub fn check_identity(&self) -> Result<(), StoreError> {
        self.identity.check()
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
        self.check_identity()?;
        self.faults.pass(Point::Open, &self.dir)?;
        let open = Open::at(&self.dir)?;
        self.check_identity()?;
        write_again(&self.dir.join("db")).map_err(|error| failed(&self.dir, &error))?;
        self.faults.pass(Point::Sync, &self.dir)?;
        open.log.sync_data().map_err(|error| failed(&self.dir, &error))?;
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(open));
        Ok(())
    }

    fn handle(&self) -> Result<Arc<Open>, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.clone().ok_or_else(|| StoreError::Unavailable("it is being opened again".into()))
    }

    /// Makes a group visible to readers and hands it to the kernel: survives the process, not the power.
    pub fn apply(&self, ops: Ops) -> Result<(), StoreError> {
        let open = self.handle()?;
        self.faults.pass(Point::Apply, &self.dir)?;
        let (accepted, bytes) = (ops.accepted, ops.bytes);
        let marks = ops.marks.clone();
        write(|| open.tree.apply_batch(ops.into_batch()))?;
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
        storage.disk_bytes = self.handle()?.db.size_on_disk().map_err(sled_error)?;
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
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<> {
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

impl Open {
    fn at(dir: &Path) -> Result<Open, StoreError> {
        let fail = |why: String| cannot_open(dir, &why);
        clock::check_system().map_err(&fail)?; // sled panics before 1970
        let damaged = |why: String| {
            StoreError::Corrupt(format!("the files in {} are damaged: {why}", dir.display()))
        };
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let begun = Instant::now();
        let opened = loop {
            // sled panics on some damaged files (spacejam/sled#1387); that is an unreadable store.
            let opened = guard(|| config.open()).map_err(|error| damaged(error.to_string()))?;
            match opened {
                Err(error) if is_locked(&error) && begun.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_POLL);
                }
                opened => break opened,
            }
        };
        let db = opened.map_err(|error| match error {
            error if is_locked(&error) => fail("it is in use by another process".into()),
            error => match sled_error(error) {
                StoreError::Corrupt(why) => damaged(why),
                other => fail(other.to_string()),
            },
        })?;
        let tree = guard(|| db.open_tree("cortado"))
            .and_then(|opened| opened.map_err(sled_error))
            .map_err(|error| damaged(error.to_string()))?;
        let log = File::open(dir.join("db")).map_err(|error| fail(error.to_string()))?;
        log.sync_data().map_err(|error| fail(error.to_string()))?;
        // The directory entries of new files must survive too.
        File::open(dir).and_then(|d| d.sync_all()).map_err(|error| fail(error.to_string()))?;
        Ok(Open { tree, db, log })
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

/// sled asserts what a damaged file does not hold; a panic is an answer, too.
fn guard<T>(call: impl FnOnce() -> T) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        StoreError::Corrupt(format!("sled gave up: {text}"))
    })
}

/// A panic in a write does not say that anything is damaged: opening again will tell.
fn write<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    match guard(call) {
        Ok(answer) => answer.map_err(sled_error),
        Err(panic) => Err(StoreError::Unavailable(panic.to_string())),
    }
}

fn cannot_open(dir: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("cannot open the data directory {}: {why}", dir.display()))
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("acquire lock"))
}

fn piece_key(key: &[u8], n: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&n.to_be_bytes());
    full
}

fn failed(dir: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", dir.join("db").display()))
}

/// What is damaged will not mend by itself; what the disk refuses may work again.
fn sled_error(error: sled::Error) -> StoreError {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_come_back_whole_and_leave_no_blobs() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        let sizes = [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 1_500_000];
        let mut ops = Ops::default();
        for size in sizes {
            ops.put(format!("v{size:08}").as_bytes(), &vec![size as u8; size]);
        }
        disk.apply(ops).unwrap();
        for size in sizes {
            let value = disk.get(format!("v{size:08}").as_bytes()).unwrap().unwrap();
            assert_eq!(value, vec![size as u8; size]);
        }
        let scanned: Vec<usize> = disk.scan(b"v").map(|row| row.unwrap().1.len()).collect();
        assert_eq!(scanned, sizes);
        disk.check_blobs().unwrap();

        let mut ops = Ops::default();
        sizes.iter().for_each(|size| ops.remove(format!("v{size:08}").as_bytes(), *size));
        disk.apply(ops).unwrap();
        assert_eq!(disk.scan(b"").count(), 0);
    }

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let _open = Disk::open(dir.path()).unwrap();
        let error = Disk::open(dir.path()).err().unwrap().to_string();
        assert!(
            error.contains("in use") && error.contains(&*dir.path().to_string_lossy()),
            "{error}"
        );
    }
}
