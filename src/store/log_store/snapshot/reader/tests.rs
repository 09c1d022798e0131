//! Who reads holds the trimming up, and only for as long as it reads.

use super::*;
use crate::store::conformance::{Harness, Rig, clock, draft, secs};
use crate::store::data_dir;
use crate::store::log_store::snapshot::pins::IDLE_LIMIT;
use crate::store::log_store::tests::tiny::Tiny;

/// A store that keeps nothing it need not keep.
async fn forgetful() -> Rig<Tiny> {
    let none = Keep { age: Duration::ZERO, count: 0 };
    let retention = Retention { completed: none, events: none, ..Retention::default() };
    Rig::open_with(Tiny::new(clock()), StoreLimits { retention, ..StoreLimits::default() }).await
}

/// Does some work; answers with the number of chunks that are left.
async fn work(rig: &Rig<Tiny>) -> u64 {
    for _ in 0..5 {
        rig.finish(draft()).await;
    }
    rig.catch_up().await;
    rig.catch_up().await;
    rig.store.storage().await.unwrap().journal_chunks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_holds_the_trimming_up_until_it_is_dropped() {
    let rig = forgetful().await;
    let before = work(&rig).await;
    let snapshot = rig.store.snapshot().await.unwrap();
    assert!(work(&rig).await >= before + 10);
    drop(snapshot);
    assert!(work(&rig).await <= before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stands_still_is_given_up_and_told_so() {
    let rig = forgetful().await;
    let before = work(&rig).await;
    let mut still = rig.store.snapshot().await.unwrap();
    let mut busy = rig.store.snapshot().await.unwrap();
    assert!(!still.next().await.unwrap().is_empty());
    rig.pass(IDLE_LIMIT - secs(1));
    assert!(!busy.next().await.unwrap().is_empty());
    rig.pass(secs(1));
    assert!(work(&rig).await >= before + 10, "one of the two still reads");
    assert!(still.next().await.unwrap_err().to_string().contains("stood still"));
    while !busy.next().await.unwrap().is_empty() {}
    drop(busy);
    assert!(work(&rig).await <= before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reads_on_and_on_is_given_up_too() {
    let none = Keep { age: Duration::ZERO, count: 0 };
    let retention = Retention { completed: none, events: none, ..Retention::default() };
    let limits = StoreLimits { retention, max_export: secs(100), ..StoreLimits::default() };
    let rig = Rig::open_with(Tiny::new(clock()), limits).await;
    let before = work(&rig).await;
    let mut slow = rig.store.snapshot().await.unwrap();
    assert!(!slow.next().await.unwrap().is_empty());
    rig.pass(IDLE_LIMIT - secs(1)); // it never stands still for long
    assert!(work(&rig).await >= before + 10, "it may still read");
    assert!(!slow.next().await.unwrap().is_empty());
    rig.pass(secs(41));
    assert!(work(&rig).await <= before + 1, "the journal is let go");
    assert!(slow.next().await.unwrap_err().to_string().contains("store.max_export"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_ends_with_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = data_dir::open(dir.path(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    let mut snapshot = crate::store::Store::snapshot(&*store).await.unwrap();
    crate::store::Store::close(&*store).await.unwrap();
    assert!(matches!(snapshot.next().await, Err(StoreError::Closed)));
}
