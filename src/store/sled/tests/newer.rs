//! A directory of a newer version is reported as such by every command, and not changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::damage::copy_files;
use crate::clock::SystemClock;
use crate::store::data_dir::{self, read_all_pieces, verify};
use crate::store::formats;
use crate::store::log::WriteBatch;
use crate::store::sled::dir::lock::DirLock;
use crate::store::sled::disk::Disk;
use crate::store::sled::faults::Faults;
use crate::store::{StoreError, StoreLimits};

/// A copy of the fixture, which has values of every format.
fn fixture() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v3"), dir.path());
    dir
}

/// Changes the version byte of the first value whose key begins with a letter.
fn forge(dir: &Path, letter: &str, number: u8) {
    let disk = Disk::open(dir, DirLock::take(dir).unwrap(), Faults::default()).unwrap();
    let (key, mut value) = disk.scan(letter.as_bytes(), letter.as_bytes()).next().unwrap().unwrap();
    value[0] = number;
    let mut writes = WriteBatch::default();
    writes.put(key, value);
    disk.apply(writes).unwrap();
    disk.sync().unwrap();
}

/// Changes the format number in every slot of the head file, with a right checksum or without.
fn forge_head(dir: &Path, number: &str, checksum: bool) {
    let path = dir.join("head");
    let mut bytes = fs::read(&path).unwrap();
    for slot in bytes.chunks_mut(4_096) {
        let text = String::from_utf8_lossy(slot).trim_end_matches('\0').to_owned();
        let Some((text, crc)) = text.trim_end().rsplit_once(' ') else { continue };
        let text = text.replacen("cortado head 1", &format!("cortado head {number}"), 1);
        let fresh = format!("{:08x}", crc32fast::hash(text.as_bytes()));
        let line = format!("{text} {}\n", if checksum { &fresh } else { crc });
        slot.fill(0);
        slot[..line.len()].copy_from_slice(line.as_bytes());
    }
    fs::write(&path, bytes).unwrap();
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

/// What every command says of a value in a format that is not known yet.
fn words(found: u64, newest: u8) -> String {
    format!(
        "written by a newer version of Cortado (format {found}; this version reads up to {newest})"
    )
}

fn is_newer(error: &StoreError, found: u64, newest: u8) {
    let said = error.to_string();
    assert!(matches!(error, StoreError::Newer { found: f, .. } if *f == found), "{said}");
    assert!(
        said.contains(&format!("was {}", words(found, newest))) && !said.contains("damaged"),
        "{said}"
    );
}

fn assert_refused(dir: &Path, found: u64, newest: u8, what: &str) {
    let before = files(dir);
    let opened = data_dir::open(dir, StoreLimits::default(), Arc::new(SystemClock));
    is_newer(&opened.err().unwrap_or_else(|| panic!("{what} was opened")), found, newest);
    assert!(files(dir) == before, "{what}: the start changed something");
    let report = verify(dir);
    assert!(report.is_newer && !report.is_sound(), "{what}: {report}");
    let said = report.to_string();
    assert!(said.contains(&words(found, newest)), "{what}: {said}");
    assert!(said.ends_with("cannot be checked: a newer version of Cortado wrote it"), "{said}");
    assert!(files(dir) == before, "{what}: verify changed something");
    // Exports of a directory, and restores.
    let read = read_all_pieces::<StoreError>(dir, |_| Ok(()));
    is_newer(&read.err().unwrap_or_else(|| panic!("{what} was read")), found, newest);
}

#[test]
fn a_directory_of_a_newer_version_is_called_that_and_left_alone() {
    let next = [
        ("meta", formats::STORE),
        ("j", formats::JOURNAL_CHUNK),
        ("r", formats::RUN_HEADER),
        ("a", formats::ARCHIVED_JOBS),
        ("t", formats::RUN_HEADER),
        ("s", formats::SCHEDULE),
        ("q", formats::QUEUE_SETTINGS),
        ("u", formats::ACCESS),
        ("o", formats::ACCESS),
        ("x", formats::ACCESS),
        ("l", formats::ACCESS),
        ("i", formats::ACCESS),
    ];
    let next = next.map(|(letter, format)| (letter, format.newest, format.newest + 1));
    for (letter, newest, number) in next.into_iter().chain([("meta", formats::STORE.newest, 255)]) {
        let dir = fixture();
        forge(dir.path(), letter, number);
        // What is in the archive is read only when it is asked for.
        if letter == "a" {
            let report = verify(dir.path());
            assert!(report.is_newer, "{report}");
            let read = read_all_pieces::<StoreError>(dir.path(), |_| Ok(()));
            is_newer(&read.unwrap_err(), number.into(), newest);
            continue;
        }
        assert_refused(dir.path(), number.into(), newest, letter);
    }
    for (number, checksum) in [("2", true), ("2", false), ("18446744073709551615", true)] {
        let dir = fixture();
        forge_head(dir.path(), number, checksum);
        assert_refused(dir.path(), number.parse().unwrap(), formats::HEAD_FILE.newest, "head");
    }
}

#[test]
fn a_number_that_never_was_is_damage() {
    let dir = fixture();
    forge(dir.path(), "meta", 0);
    let opened = data_dir::open(dir.path(), StoreLimits::default(), Arc::new(SystemClock));
    assert!(matches!(opened.err(), Some(StoreError::Corrupt(_))));
    let report = verify(dir.path());
    assert!(!report.is_newer && !report.is_sound(), "{report}");
}

/// A torn slot is not taken for one of a newer version, whatever its bits are, while the other slot is whole.
#[test]
fn a_torn_slot_beside_a_whole_one_is_not_called_newer() {
    let dir = fixture();
    let path = dir.path().join("head");
    let bytes = fs::read(&path).unwrap();
    let written = bytes.chunks(4_096).filter(|slot| slot.starts_with(b"cortado head 1")).count();
    assert_eq!(written, 2, "the fixture has both slots");
    let mut torn = bytes.clone();
    torn["cortado head ".len()] = b'3';
    fs::write(&path, torn).unwrap();
    let opened = data_dir::open(dir.path(), StoreLimits::default(), Arc::new(SystemClock));
    assert!(!matches!(opened, Err(StoreError::Newer { .. })));
}
