//! Damaged directories: each is refused with an error that says what is wrong and where, and none is opened with less
//! in it than there was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use fastrand::Rng;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::store::StoreError;
use crate::store::conformance::{Rig, clock, draft};
use crate::store::log_store::Tuning;
use crate::store::log_store::tests::ledger::{Content, Ledger, content};
use crate::store::log_store::tests::outage::Faulty;
use crate::store::log_store::tests::{TestStore, quick, tiny};
use crate::store::sled::faults::Faults;

fn seeded(name: &str) -> Rng {
    let seed = std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{name}={seed}"); // shown when the test fails
    Rng::with_seed(seed)
}

/// The error of opening a path, which must name the path.
fn refusal(path: &Path) -> String {
    let place = TestStore::new(clock(), quick());
    let error = place.try_open_at(path, Faults::default()).err().expect("it should be refused");
    let text = error.to_string();
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
    text
}

#[test]
fn a_path_that_cannot_be_a_store_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "hello").unwrap();
    refusal(&file);
    assert_eq!(fs::read(&file).unwrap(), b"hello");
    refusal(&dir.path().join("file/below"));
    refusal(Path::new("/proc/cortado"));
    let odd = dir.path().join("odd");
    fs::create_dir_all(odd.join("db")).unwrap();
    refusal(&odd);
    let head = dir.path().join("head-is-a-directory");
    fs::create_dir_all(head.join("head")).unwrap();
    refusal(&head);
}

/// A store with some history: about a thousand events of three processes, and finished jobs in runs.
struct Life {
    dir: TempDir,
    content: Content,
    tuning: Tuning,
}

impl Life {
    fn new(random: &mut Rng, tuning: Tuning) -> Life {
        Runtime::new().unwrap().block_on(async {
            let mut rig = Rig::open(Faulty::new(tuning, Faults::default())).await;
            let mut ledger = Ledger::new(random.fork());
            for _ in 0..3 {
                for _ in 0..30 {
                    ledger.step(&rig).await.unwrap();
                }
                rig.add(draft()).await;
                rig = rig.reopen().await;
            }
            ledger.check(&rig).await;
            let content = content(&*rig.store).await.unwrap();
            rig.store.close().await.unwrap();
            let Rig { harness, store } = rig;
            drop(store);
            Life { dir: harness.into_dir(), content, tuning }
        })
    }

    /// A copy to be damaged.
    fn copy(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_files(self.dir.path(), copy.path());
        copy
    }

    /// Opens a damaged copy: it has the whole content, or an error says what is wrong. Returns whether it opened.
    fn try_open(&self, dir: &Path, what: &str) -> bool {
        let runtime = Runtime::new().unwrap();
        let place = TestStore::new(clock(), self.tuning);
        let before = files(dir);
        let opened = place.try_open_at(dir, Faults::default());
        if opened.is_err() {
            assert!(files(dir) == before, "{what}: a refused directory was changed");
        }
        let read = opened.and_then(|store| runtime.block_on(content(&*store)));
        match read {
            Ok(content) => assert!(content == self.content, "{what}: something else is there"),
            Err(StoreError::Corrupt(why) | StoreError::Unavailable(why)) => {
                assert!(!why.is_empty(), "{what}");
                return false;
            }
            Err(StoreError::Newer { .. }) => return false, // the flip was in a version byte
            Err(other) => panic!("{what}: {other}"),
        }
        true
    }
}

pub(super) fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            files.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn file(dir: &Path, prefix: &str) -> PathBuf {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix))
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no file {prefix} in {}", dir.display()))
}

#[test]
fn flipped_bytes_are_noticed_or_do_no_harm() {
    let mut random = seeded("CORTADO_FLIP_SEED");
    let (mut opened, mut refused) = (0, 0);
    for tuning in [quick(), tiny::TINY] {
        let life = Life::new(&mut random, tuning);
        assert!(life.try_open(life.copy().path(), "untouched"));
        for round in 0..110 {
            let copy = life.copy();
            let name = ["db", "db", "db", "db", "db", "snap.", "conf", "head"][round % 8];
            let path = file(copy.path(), name);
            let mut bytes = fs::read(&path).unwrap();
            // Most of the log file is empty: half of the flips go where something is written.
            let written: Vec<usize> = (0..bytes.len()).filter(|n| bytes[*n] != 0).collect();
            let place = match random.bool() {
                true => written[random.usize(0..written.len())],
                false => random.usize(0..bytes.len()),
            };
            bytes[place] ^= 1 << random.u8(0..8);
            fs::write(&path, &bytes).unwrap();
            let what = format!("byte {place} of {name}");
            *if life.try_open(copy.path(), &what) { &mut opened } else { &mut refused } += 1;
        }
    }
    println!("{opened} opened as if nothing were, {refused} were refused");
    assert!(opened > 10 && refused > 10, "the flips show nothing: {opened} and {refused}");
}

#[test]
fn a_truncated_or_missing_file_is_noticed() {
    let mut random = seeded("CORTADO_FLIP_SEED");
    for tuning in [quick(), tiny::TINY] {
        let life = Life::new(&mut random, tuning);
        for name in ["db", "snap.", "conf", "head"] {
            let len = fs::metadata(file(life.dir.path(), name)).unwrap().len();
            let mut lengths = vec![0, 1, len / 4, len / 2, len - 1];
            lengths.extend((0..6).map(|_| random.u64(0..len)));
            for keep in lengths {
                let copy = life.copy();
                let path = file(copy.path(), name);
                fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(keep).unwrap();
                let opened =
                    life.try_open(copy.path(), &format!("{keep} of {len} bytes of {name}"));
                assert!(!opened || name != "db" || keep > 0, "an empty log was opened");
            }
        }
        let copy = life.copy();
        fs::remove_file(copy.path().join("db")).unwrap();
        assert!(!life.try_open(copy.path(), "no log"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_shorter_than_it_was_known_to_be_is_refused() {
    let rig = Rig::open(Faulty::new(quick(), Faults::default())).await;
    rig.add(draft()).await;
    let old = tempfile::tempdir().unwrap();
    let rig = rig.reopen().await;
    rig.store.close().await.unwrap();
    copy_files(rig.harness.dir(), old.path());
    let rig = rig.reopen().await;
    rig.add(draft()).await;
    let rig = rig.reopen().await;
    rig.store.close().await.unwrap();
    let Rig { harness, store } = rig;
    drop(store);
    // An old copy of sled's files beside the newest `head`.
    fs::copy(harness.dir().join("head"), old.path().join("head")).unwrap();
    let why = refusal(old.path());
    assert!(why.contains("db") && why.contains("event 2 was durable"), "{why}");
    // The directory was not changed: without the head file, it opens with what is left.
    fs::remove_file(old.path().join("head")).unwrap();
    let place = TestStore::new(clock(), quick());
    let store = place.try_open_at(old.path(), Faults::default()).unwrap();
    assert_eq!(store.stats().await.unwrap().states.values().sum::<u64>(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_its_head_file_begins_a_new_epoch() {
    let rig = Rig::open(Faulty::new(quick(), Faults::default())).await;
    rig.add(draft()).await;
    let epoch = rig.store.head().epoch;
    let rig = rig.reopen().await;
    assert_eq!(rig.store.head().epoch, epoch);
    rig.store.close().await.unwrap();
    let Rig { harness, store } = rig;
    drop(store);
    fs::remove_file(harness.dir().join("head")).unwrap();
    let mut rig = Rig { store: harness.open_again(), harness };
    assert_ne!(rig.store.head().epoch, epoch);
    assert_eq!(rig.store.head().seq, 1);
    rig = rig.reopen().await;
    assert_ne!(rig.store.head().epoch, epoch);
    rig.add(draft()).await;

    // The head file of another store is refused.
    rig.store.close().await.unwrap();
    let Rig { harness, store } = rig;
    drop(store);
    let other = Rig::open(Faulty::new(quick(), Faults::default())).await;
    fs::copy(other.harness.dir().join("head"), harness.dir().join("head")).unwrap();
    let why = refusal(harness.dir());
    assert!(why.contains("head") && why.contains("another store"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_file_follows_the_log_while_the_store_is_open() {
    use crate::store::sled::head_file::HeadFile;
    let rig = Rig::open(Faulty::new(quick(), Faults::default())).await;
    let job = rig.add(draft()).await;
    let followed = async {
        while HeadFile::open(rig.harness.dir()).unwrap().newest().unwrap().seq < job.seq {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let bound = std::time::Duration::from_secs(20);
    tokio::time::timeout(bound, followed).await.expect("it should be written within a second");
}
