//! The only file that talks to sled: one tree, atomic batches, and a sync that really reaches the disk.
//!
//! sled's `flush` hands the bytes to the kernel but never calls fsync (spacejam/sled#1452), so every
//! commit ends with `fdatasync` on the log file. A value above 8 kB could spill into `blobs/`, which is
//! never synced, so values are stored in pieces.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::store::StoreError;

/// The longest value sled is given, in bytes.
const PIECE: usize = 7_168;
const CACHE_BYTES: u64 = 64 * 1_024 * 1_024;
const SEGMENT_BYTES: usize = 2 * 1_024 * 1_024;

/// How long another holder of the directory is waited for: the process before may be about to end, and
/// a child that is just being started holds our files until it runs its program.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(20);

/// An open data directory.
pub(super) struct Disk {
    db: sled::Db,
    tree: sled::Tree,
    /// Any descriptor of the log file will do: `fdatasync` works on the inode.
    log: File,
    dir: PathBuf,
}

/// What a group changes; applied in one atomic step.
#[derive(Default)]
pub(super) struct Ops {
    batch: sled::Batch,
    /// Bytes handed to sled, keys and values.
    pub bytes: u64,
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

    /// Removes a value that was `len` bytes long when it was put.
    pub fn remove(&mut self, key: &[u8], len: usize) {
        for n in 0..len.div_ceil(PIECE).max(1) {
            let key = piece_key(key, n as u16);
            self.bytes += key.len() as u64;
            self.batch.remove(key);
        }
    }

    fn insert(&mut self, key: Vec<u8>, value: &[u8]) {
        self.bytes += (key.len() + value.len()) as u64;
        self.batch.insert(key, value);
    }
}

impl Disk {
    /// Opens a directory, creating it when it is not there.
    ///
    /// # Errors
    /// Says which directory could not be opened and why; an unreadable store is never touched.
    pub fn open(dir: &Path) -> Result<Disk, StoreError> {
        let fail = |why: String| {
            StoreError::Unavailable(format!(
                "cannot open the data directory {}: {why}",
                dir.display()
            ))
        };
        std::fs::create_dir_all(dir).map_err(|error| fail(error.to_string()))?;
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let begun = Instant::now();
        let opened = loop {
            // sled panics on some damaged files (spacejam/sled#1387); that is an unreadable store.
            let opened = catch_unwind(AssertUnwindSafe(|| config.open())).map_err(|panic| {
                let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                StoreError::Corrupt(format!("the files in {} are damaged: {why}", dir.display()))
            })?;
            match opened {
                Err(error) if is_locked(&error) && begun.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(LOCK_POLL);
                }
                opened => break opened,
            }
        };
        let db = opened.map_err(|error| match error {
            error if is_locked(&error) => fail("it is in use by another process".into()),
            sled::Error::Corruption { .. } => {
                StoreError::Corrupt(format!("the files in {} are damaged: {error}", dir.display()))
            }
            other => fail(other.to_string()),
        })?;
        let tree = db.open_tree("cortado").map_err(|error| fail(error.to_string()))?;
        let log = File::open(dir.join("db")).map_err(|error| fail(error.to_string()))?;
        let disk = Disk { db, tree, log, dir: dir.to_owned() };
        disk.sync()?;
        // The directory entries of new files must survive too.
        File::open(dir).and_then(|d| d.sync_all()).map_err(|error| fail(error.to_string()))?;
        Ok(disk)
    }

    /// Makes a group visible to readers and hands it to the kernel: survives the process, not the power.
    pub fn apply(&self, ops: Ops) -> Result<(), StoreError> {
        self.tree.apply_batch(ops.batch).map_err(write_error)?;
        self.db.flush().map_err(write_error)?;
        Ok(())
    }

    /// Waits until everything applied is on the disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.log.sync_data().map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// The value under a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut value: Option<Vec<u8>> = None;
        for n in 0..=u16::MAX {
            let Some(piece) = self.tree.get(piece_key(key, n)).map_err(read_error)? else { break };
            let whole = value.get_or_insert_with(Vec::new);
            whole.extend_from_slice(&piece);
            if piece.len() < PIECE {
                break;
            }
        }
        Ok(value)
    }

    /// Every key (without its piece number) and value whose key begins with `prefix`, in order.
    pub fn scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> {
        let mut rows = self.tree.scan_prefix(prefix).peekable();
        std::iter::from_fn(move || {
            let (mut key, mut value) = match rows.next()? {
                Ok((key, value)) => (key.to_vec(), value.to_vec()),
                Err(error) => return Some(Err(read_error(error))),
            };
            key.truncate(key.len() - 2);
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

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().contains("acquire lock"))
}

fn piece_key(key: &[u8], n: u16) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 2);
    full.extend_from_slice(key);
    full.extend_from_slice(&n.to_be_bytes());
    full
}

fn write_error(error: sled::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn read_error(error: sled::Error) -> StoreError {
    StoreError::Corrupt(error.to_string())
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
