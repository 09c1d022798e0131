//! The data directory is removed, renamed or replaced while the store is open: nothing is acknowledged that no later
//! process would find, and nothing is created in another directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::damage::copy_files;
use crate::store::conformance::{Outage, clock, draft};
use crate::store::log_store::tests::{TestStore, quick};
use crate::store::sled::faults::Faults;
use crate::store::{Store, StoreError};

/// An open store in a directory that has a parent of its own.
struct Open {
    parent: TempDir,
    store: Arc<dyn Store>,
}

/// The names of everything below a directory.
fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return BTreeSet::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

impl Open {
    async fn new() -> Open {
        let parent = tempfile::tempdir().unwrap();
        let place = TestStore::new(clock(), quick());
        let store = place.try_open_at(&parent.path().join("data"), Faults::default()).unwrap();
        let open = Open { parent, store };
        open.add().await.unwrap();
        open
    }

    fn dir(&self) -> PathBuf {
        self.parent.path().join("data")
    }

    fn aside(&self) -> PathBuf {
        self.parent.path().join("aside")
    }

    async fn add(&self) -> Result<(), StoreError> {
        self.store.enqueue(vec![draft().job()]).await.map(drop).map_err(Outage::outage)
    }

    /// Waits until the store has noticed, without giving it anything to do.
    async fn noticed(&self) -> String {
        let noticing = async {
            loop {
                match self.store.health() {
                    Err(StoreError::Unavailable(why)) => return why,
                    Err(other) => panic!("{other}"),
                    Ok(()) => sleep(Duration::from_millis(5)).await, // between two checks
                }
            }
        };
        timeout(Duration::from_secs(20), noticing).await.expect("it should be noticed in a second")
    }

    async fn refuses(&self) -> String {
        match self.add().await {
            Err(StoreError::Unavailable(why)) => why,
            other => panic!("it should be refused: {other:?}"),
        }
    }

    async fn comes_back(&self) {
        let back = async {
            while self.store.health().is_err() {
                sleep(Duration::from_millis(5)).await; // between two checks
            }
        };
        timeout(Duration::from_secs(20), back).await.expect("the store should come back");
    }

    async fn jobs(&self) -> u64 {
        self.store.stats().await.unwrap().states.values().sum()
    }
}

/// What may happen to a directory, and what the error says.
type Way = (&'static str, fn(&Open), &'static str);

const WAYS: [Way; 7] = [
    ("removed", |open| fs::remove_dir_all(open.dir()).unwrap(), "was removed"),
    ("renamed", |open| fs::rename(open.dir(), open.aside()).unwrap(), "was removed, renamed"),
    (
        "replaced by an empty one",
        |open| {
            fs::rename(open.dir(), open.aside()).unwrap();
            fs::create_dir(open.dir()).unwrap();
        },
        "was replaced",
    ),
    (
        "removed and made again",
        |open| {
            fs::remove_dir_all(open.dir()).unwrap();
            fs::create_dir(open.dir()).unwrap();
        },
        "the ",
    ),
    (
        "replaced by a copy of itself",
        |open| {
            fs::rename(open.dir(), open.aside()).unwrap();
            fs::create_dir(open.dir()).unwrap();
            copy_files(&open.aside(), &open.dir());
        },
        "was replaced",
    ),
    ("without its log", |open| fs::remove_file(open.dir().join("db")).unwrap(), "log file"),
    (
        "with another log",
        |open| {
            fs::copy(open.dir().join("db"), open.dir().join("db.new")).unwrap();
            fs::rename(open.dir().join("db.new"), open.dir().join("db")).unwrap();
        },
        "log file",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_once_the_directory_is_another_or_gone() {
    for (what, happens, said) in WAYS {
        let open = Open::new().await;
        happens(&open);
        let there = names(&open.dir());
        let why = open.refuses().await;
        assert!(why.contains(said) && why.contains("restart the server"), "{what}: {why}");
        // It tries again and again, and creates nothing.
        for _ in 0..10 {
            open.refuses().await;
            sleep(Duration::from_millis(10)).await; // longer than the wait between two tries of a test
        }
        assert_eq!(names(&open.dir()), there, "{what}: something was created");
        assert!(matches!(open.store.stats().await, Err(StoreError::Unavailable(_))), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_in_which_nothing_happens_notices_too() {
    for (what, happens, said) in WAYS {
        let open = Open::new().await;
        happens(&open);
        let why = open.noticed().await;
        assert!(why.contains(said), "{what}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_put_back_is_served_again_without_what_was_refused() {
    let open = Open::new().await;
    for round in 0..3 {
        fs::rename(open.dir(), open.aside()).unwrap();
        if round == 1 {
            open.noticed().await; // otherwise the next group notices it first
        }
        open.refuses().await;
        if round == 2 {
            // Another directory is in its place meanwhile, and is not changed.
            fs::create_dir(open.dir()).unwrap();
            fs::write(open.dir().join("db"), "not ours").unwrap();
            open.refuses().await;
            assert_eq!(fs::read(open.dir().join("db")).unwrap(), b"not ours");
            assert_eq!(names(&open.dir()).len(), 1);
            fs::remove_dir_all(open.dir()).unwrap();
        }
        fs::rename(open.aside(), open.dir()).unwrap();
        open.comes_back().await;
        open.add().await.unwrap();
        assert_eq!(open.jobs().await, 2 + round, "what was refused is not there");
    }
    // A log that is renamed back is the same log, too.
    fs::rename(open.dir().join("db"), open.dir().join("db.aside")).unwrap();
    open.noticed().await;
    fs::rename(open.dir().join("db.aside"), open.dir().join("db")).unwrap();
    open.comes_back().await;
    assert_eq!(open.jobs().await, 4);
    open.store.close().await.unwrap();
    let dir = open.dir();
    let Open { parent, store } = open;
    drop(store);
    let report = crate::store::data_dir::verify(&dir);
    assert!(report.is_sound(), "{report}");
    drop(parent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_directory_is_gone_can_be_closed() {
    let open = Open::new().await;
    fs::remove_dir_all(open.dir()).unwrap();
    // Whether the close notices it or it was noticed before: the close ends, and nothing is created.
    let closed = timeout(Duration::from_secs(20), open.store.close()).await;
    assert!(closed.is_ok(), "the close hangs");
    let dir = open.dir();
    let Open { parent, store } = open;
    drop(store);
    assert!(!dir.exists());
    drop(parent);
}
