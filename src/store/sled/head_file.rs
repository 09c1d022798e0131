//! The head file: a record, beside sled's files, of how far the log was durable. sled cuts its log at the first byte
//! that it cannot read, so without this record a damaged log would look like a shorter one.
//!
//! It has two slots of 4 KiB, which are written in turn, each `cortado head 1 EPOCH SEQ CRC`. The greater one counts.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::job::{Cursor, Epoch};
use crate::store::formats::HEAD_FILE;
use crate::store::{StoreError, permissions};

const FILE_NAME: &str = "head";
const SLOT_BYTES: usize = 4_096;

/// The head file of a data directory.
pub struct HeadFile {
    path: PathBuf,
    written: Mutex<WrittenHead>,
}

struct WrittenHead {
    /// `None` until the file is first written.
    file: Option<File>,
    newest: Option<Cursor>,
    /// The slot that is written next.
    next: u64,
}

impl HeadFile {
    /// Opens the file if there is one. Nothing is created.
    ///
    /// # Errors
    /// When it cannot be opened, or neither slot can be read.
    pub fn open(dir: &Path) -> Result<HeadFile, StoreError> {
        let path = dir.join(FILE_NAME);
        let fail = |error: io::Error| {
            StoreError::Unavailable(format!("cannot open {}: {error}", path.display()))
        };
        let opened = match OpenOptions::new().read(true).write(true).open(&path) {
            // A backup may be on a file system, or in a directory, that cannot be written.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied
                ) =>
            {
                File::open(&path)
            }
            opened => opened,
        };
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let written = Mutex::new(WrittenHead { file: None, newest: None, next: 0 });
                return Ok(HeadFile { path, written });
            }
            Err(error) => return Err(fail(error)),
        };
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        let mut len = 0;
        while let read @ 1.. = file.read_at(&mut bytes[len..], len as u64).map_err(fail)? {
            len += read;
        }
        let slots: Vec<Option<Cursor>> = bytes[..len]
            .chunks(SLOT_BYTES)
            .map(|slot| parse(&String::from_utf8_lossy(slot)))
            .collect();
        let newest = slots.iter().flatten().max_by_key(|cursor| cursor.seq).copied();
        let mut newer = bytes[..len].chunks(SLOT_BYTES).filter_map(newer);
        if let Some((found, _)) = newer.find(|(_, is_whole)| *is_whole || newest.is_none()) {
            HEAD_FILE.check(found).map_err(|why| why.at(path.display()))?;
        }
        if newest.is_none() {
            let why = format!("{} is damaged: no slot can be read", path.display());
            return Err(StoreError::Corrupt(why));
        }
        let next = u64::from(newest == slots.first().copied().flatten());
        let written = Mutex::new(WrittenHead { file: Some(file), newest, next });
        Ok(HeadFile { path, written })
    }

    /// The number of an event that was durable for certain; `None` without the file.
    ///
    /// # Errors
    /// When the file belongs to another store than the one with this epoch.
    pub fn seq_of(&self, epoch: Epoch) -> Result<Option<u64>, StoreError> {
        match self.newest() {
            Some(cursor) if cursor.epoch == epoch => Ok(Some(cursor.seq)),
            Some(_) => {
                let why = format!("{} belongs to another store", self.path.display());
                Err(StoreError::Corrupt(why))
            }
            None => Ok(None),
        }
    }

    /// The cursor in the file.
    pub fn newest(&self) -> Option<Cursor> {
        self.lock().newest
    }

    /// Records the cursor of a durable event.
    pub fn write(&self, head: Cursor) -> Result<(), StoreError> {
        let mut written = self.lock();
        let is_in_place = written.file.as_ref().is_some_and(|file| self.is_in_place(file));
        if written.newest == Some(head) && is_in_place {
            return Ok(());
        }
        self.store(&mut written, head)
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", self.path.display())))
    }

    fn store(&self, written: &mut WrittenHead, head: Cursor) -> io::Result<()> {
        let mut slot = render(head).into_bytes();
        slot.resize(SLOT_BYTES, 0);
        match &written.file {
            // The file may have been removed or replaced, and is then created again.
            Some(file) if self.is_in_place(file) => {
                file.write_all_at(&slot, written.next * SLOT_BYTES as u64)?;
                file.sync_data()?;
            }
            Some(_) | None => {
                written.file = Some(self.create(&slot)?);
                written.next = 0;
            }
        }
        written.newest = Some(head);
        written.next = 1 - written.next;
        Ok(())
    }

    fn is_in_place(&self, file: &File) -> bool {
        let id = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let (named, open) = (std::fs::metadata(&self.path), file.metadata());
        matches!((&named, &open), (Ok(named), Ok(open)) if id(named) == id(open))
    }

    /// Creates the file. It is renamed into place once it is written, so it is never empty.
    fn create(&self, slot: &[u8]) -> io::Result<File> {
        let new = self.path.with_extension("new");
        let mut options = permissions::private_file();
        let file = options.read(true).write(true).create(true).truncate(true).open(&new)?;
        if let Some(dir) = self.path.parent().filter(|dir| dir.join("db").exists()) {
            permissions::make_alike([new.clone()], &dir.join("db"))?;
        }
        file.write_all_at(slot, 0)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        if let Some(dir) = self.path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(file)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, WrittenHead> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn render(head: Cursor) -> String {
    let text = format!("cortado head 1 {} {}", head.epoch.0, head.seq);
    let crc = crc32fast::hash(text.as_bytes());
    format!("{text} {crc:08x}\n")
}

fn parse(slot: &str) -> Option<Cursor> {
    let line = slot.trim_end_matches('\0');
    let mut words = line.trim_end().strip_prefix("cortado head 1 ")?.split(' ');
    let epoch = Epoch(words.next()?.parse().ok()?);
    let cursor = Cursor { epoch, seq: words.next()?.parse().ok()? };
    (render(cursor) == line).then_some(cursor)
}

/// The format number of a slot that a newer version wrote, and whether its checksum is right. Every format begins with
/// its number and ends with its checksum.
fn newer(slot: &[u8]) -> Option<(u64, bool)> {
    let slot = String::from_utf8_lossy(slot);
    let line = slot.trim_end_matches('\0').trim_end();
    let number = line.strip_prefix("cortado head ")?.split(' ').next()?.parse().ok()?;
    let (text, crc) = line.rsplit_once(' ')?;
    let is_whole = format!("{:08x}", crc32fast::hash(text.as_bytes())) == crc;
    (number > u64::from(HEAD_FILE.newest)).then_some((number, is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(seq: u64) -> Cursor {
        Cursor { epoch: Epoch(7), seq }
    }

    #[test]
    fn the_newest_head_is_read_back_and_a_torn_write_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let head_file = HeadFile::open(dir.path()).unwrap();
        assert_eq!(head_file.newest(), None);
        for seq in [0, 9, 10, 11] {
            head_file.write(cursor(seq)).unwrap();
            let again = HeadFile::open(dir.path()).unwrap();
            assert_eq!(again.newest(), Some(cursor(seq)));
        }
        let path = dir.path().join(FILE_NAME);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[SLOT_BYTES + 16] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let torn = HeadFile::open(dir.path()).unwrap();
        assert_eq!(torn.newest(), Some(cursor(10)));
        torn.write(cursor(12)).unwrap();
        assert_eq!(HeadFile::open(dir.path()).unwrap().newest(), Some(cursor(12)));

        bytes[16] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = HeadFile::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("head") && error.contains("damaged"), "{error}");
    }

    #[test]
    fn a_file_that_was_removed_or_replaced_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let head_file = HeadFile::open(dir.path()).unwrap();
        head_file.write(cursor(3)).unwrap();
        std::fs::remove_file(&path).unwrap();
        head_file.write(cursor(3)).unwrap();
        assert_eq!(HeadFile::open(dir.path()).unwrap().newest(), Some(cursor(3)));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "something else").unwrap();
        head_file.write(cursor(4)).unwrap();
        head_file.write(cursor(5)).unwrap();
        assert_eq!(HeadFile::open(dir.path()).unwrap().newest(), Some(cursor(5)));
    }
}
