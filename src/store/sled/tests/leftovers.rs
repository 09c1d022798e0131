//! Files that an earlier process left in a data directory: none of them is ever taken for the store, none prevents it
//! from opening, and an unfinished store is not served.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::damage::copy_files;
use crate::store::StoreError;
use crate::store::conformance::{Rig, clock, draft};
use crate::store::data_dir::{read_all_pieces, verify};
use crate::store::log_store::tests::{TestStore, quick};
use crate::store::sled::faults::Faults;

/// A closed store with `jobs` jobs, and a copy of its files from when it had one less.
async fn older_and_newer(jobs: usize) -> (TempDir, TempDir) {
    let older = tempfile::tempdir().unwrap();
    let mut rig =
        Rig::open(crate::store::log_store::tests::outage::Faulty::new(quick(), Faults::default()))
            .await;
    for n in 0..jobs {
        if n + 1 == jobs {
            rig = rig.reopen().await;
            copy_files(rig.harness.dir(), older.path());
        }
        rig.add(draft()).await;
    }
    rig.store.close().await.unwrap();
    let Rig { harness, store } = rig;
    drop(store);
    (older, harness.into_dir())
}

/// Opens a directory, counts its jobs and closes it again.
async fn jobs(dir: &Path) -> Result<u64, StoreError> {
    let store = TestStore::new(clock(), quick()).try_open_at(dir, Faults::default())?;
    let jobs = store.stats().await?.states.values().sum();
    store.close().await?;
    Ok(jobs)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_beside_the_store_is_never_taken_for_it() {
    let (older, newer) = older_and_newer(3).await;
    for name in ["before", "before.new", "before.gone", "opening", "reading.1.0", "creating"] {
        for is_empty in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            copy_files(newer.path(), dir.path());
            let copy = dir.path().join(name);
            fs::create_dir(&copy).unwrap();
            if is_empty {
                fs::write(copy.join("db"), "").unwrap();
            } else {
                copy_files(older.path(), &copy);
            }
            let report = verify(dir.path());
            assert!(report.is_sound(), "{name}: {report}");
            assert_eq!(jobs(dir.path()).await.unwrap(), 3, "{name}");
            assert!(!copy.exists(), "{name} is still there");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_snapshot_of_sled_is_no_damage() {
    let (_, newer) = older_and_newer(2).await;
    for content in ["", "half a snapsh"] {
        fs::write(newer.path().join("snap.FFFFFFFFFFFFFFFF.generating"), content).unwrap();
        fs::write(newer.path().join("room"), content).unwrap();
        let before = names(newer.path());
        let report = verify(newer.path());
        assert!(report.is_sound(), "{report}");
        read_all_pieces::<StoreError>(newer.path(), |_| Ok(())).unwrap();
        assert_eq!(names(newer.path()), before, "a reader changes nothing");
        assert_eq!(jobs(newer.path()).await.unwrap(), 2);
        let after = names(newer.path());
        assert!(!after.iter().any(|name| name.ends_with(".generating") || name == "room"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_not_finished_is_created_again_or_refused() {
    let (older, newer) = older_and_newer(2).await;
    // The first start of a server, interrupted before or between the moves into place.
    for moved in [&[][..], &["conf"][..]] {
        let dir = tempfile::tempdir().unwrap();
        let creating = dir.path().join("creating");
        fs::create_dir(&creating).unwrap();
        copy_files(older.path(), &creating);
        for name in moved {
            fs::rename(creating.join(name), dir.path().join(name)).unwrap();
        }
        assert_eq!(jobs(dir.path()).await.unwrap(), 0);
        assert!(!creating.exists());
    }
    // A restore: never an empty server, and finished once the log is in place.
    let dir = tempfile::tempdir().unwrap();
    let incomplete = dir.path().join("incomplete");
    fs::create_dir(&incomplete).unwrap();
    copy_files(newer.path(), &incomplete);
    let refused = |error: StoreError| {
        let text = error.to_string();
        assert!(text.contains("unfinished") && text.contains("incomplete"), "{text}");
    };
    for name in names(&incomplete).into_iter().filter(|name| name != "db") {
        refused(jobs(dir.path()).await.unwrap_err());
        refused(read_all_pieces::<StoreError>(dir.path(), |_| Ok(())).unwrap_err());
        fs::rename(incomplete.join(&name), dir.path().join(&name)).unwrap();
    }
    refused(jobs(dir.path()).await.unwrap_err());
    fs::rename(incomplete.join("db"), dir.path().join("db")).unwrap();
    assert_eq!(jobs(dir.path()).await.unwrap(), 2);
    assert!(!incomplete.exists());
}

/// Older versions created a store in place, so an unfinished one has a log and no description.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_a_description_is_no_empty_store() {
    let dir = tempfile::tempdir().unwrap();
    drop(crate::store::sled::disk::Disk::create(dir.path()).unwrap());
    let error = jobs(dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("no description of the store"), "{error}");
    assert!(!verify(dir.path()).is_sound());
}
