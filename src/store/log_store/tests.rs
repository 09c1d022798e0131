//! The conformance suite of the durable store: once as it is shipped, and once with sizes so small that every path
//! (archiving, rewriting, copying forward) is taken all the time.

pub(crate) mod fixture;
pub(crate) mod ledger;
mod nodes;
pub(crate) mod outage;
mod pipeline;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::Tuning;
use crate::clock::ManualClock;
use crate::job::State;
use crate::store::conformance::{Harness, Rig, clock, conformance_suite, draft};
use crate::store::data_dir;
use crate::store::sled::faults::Faults;
use crate::store::{Store, StoreError, StoreLimits};

pub(crate) struct TestStore {
    clock: ManualClock,
    dir: TempDir,
    limits: StoreLimits,
    tuning: Tuning,
}

impl TestStore {
    pub(crate) fn new(clock: ManualClock, tuning: Tuning) -> TestStore {
        let dir = tempfile::tempdir().unwrap();
        TestStore { clock, dir, limits: StoreLimits::default(), tuning }
    }

    /// Verifies what the previous process has left and opens it again.
    pub(crate) fn open_again(&self) -> Arc<dyn Store> {
        let report = data_dir::verify(self.dir.path());
        assert!(report.is_sound(), "{report}");
        self.open()
    }

    pub(crate) fn open(&self) -> Arc<dyn Store> {
        self.open_with(Faults::default())
    }

    pub(crate) fn open_with(&self, faults: Faults) -> Arc<dyn Store> {
        self.try_open_with(faults).unwrap()
    }

    pub(crate) fn try_open_with(&self, faults: Faults) -> Result<Arc<dyn Store>, StoreError> {
        self.try_open_at(self.dir.path(), faults)
    }

    /// Opens another directory with the same clock, limits and tuning.
    pub(crate) fn try_open_at(
        &self,
        dir: &Path,
        faults: Faults,
    ) -> Result<Arc<dyn Store>, StoreError> {
        let (clock, limits) = (Arc::new(self.clock.clone()), self.limits.clone());
        let opened = data_dir::open_tuned(dir, limits, clock, self.tuning, faults);
        opened.map(|store| store as Arc<dyn Store>)
    }
}

/// A place in which a store is opened again and again.
pub(crate) trait StorePlace {
    fn clock(&self) -> &ManualClock;

    /// Sets the limits for the next openings.
    fn set_limits(&mut self, limits: StoreLimits);

    /// Opens the store for the first time.
    fn open(&self) -> Arc<dyn Store>;

    /// Opens what the previous process has left.
    fn open_again(&self) -> Arc<dyn Store> {
        self.open()
    }
}

impl StorePlace for TestStore {
    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn set_limits(&mut self, limits: StoreLimits) {
        self.limits = limits;
    }

    fn open(&self) -> Arc<dyn Store> {
        TestStore::open(self)
    }

    fn open_again(&self) -> Arc<dyn Store> {
        TestStore::open_again(self)
    }
}

/// Defines a harness of the stores in such places, which `new` makes.
macro_rules! harness {
    ($name:ident, $place:ty, $new:expr) => {
        pub(crate) struct $name($place);

        impl $crate::store::conformance::Harness for $name {
            fn new(clock: ManualClock) -> Self {
                let new: fn(ManualClock) -> $place = $new;
                $name(new(clock))
            }

            fn clock(&self) -> &ManualClock {
                self.0.clock()
            }

            async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store> {
                self.0.set_limits(limits);
                self.0.open()
            }

            async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
                store.close().await.unwrap();
                drop(store);
                self.0.open_again()
            }

            async fn crash(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
                drop(store);
                self.0.open_again()
            }
        }
    };
}

pub(crate) use harness;

/// As shipped, but with short waits after a fault.
pub(crate) fn quick() -> Tuning {
    Tuning { pauses: tiny::TINY.pauses, ..Tuning::default() }
}

mod as_shipped {
    use super::*;

    harness!(Shipped, TestStore, |clock| TestStore::new(clock, Tuning::default()));
    conformance_suite!(Shipped);
}

pub(crate) mod tiny {
    use super::*;

    pub(crate) const TINY: Tuning = Tuning {
        run_from: 1,
        rewrite_percent: 0,
        drop_at_once: 0,
        carry_above: 0,
        pipeline_from: 1,
        pauses: (Duration::from_millis(1), Duration::from_millis(20)),
        node_heartbeat: Duration::from_millis(20),
        node_silence: Duration::from_secs(600),
    };

    harness!(Tiny, TestStore, |clock| TestStore::new(clock, TINY));
    conformance_suite!(Tiny);
}

mod model {
    use super::as_shipped::Shipped;
    use super::tiny::Tiny;
    use crate::store::memory::tests::MemoryHarness;
    use crate::store::model::compare;

    #[test]
    fn sled_equals_memory_under_random_scripts() {
        compare::<MemoryHarness, Shipped>(32);
    }

    #[test]
    fn sled_with_tiny_runs_equals_memory_under_random_scripts() {
        compare::<MemoryHarness, Tiny>(64);
    }
}

/// A runtime with one thread for reads, and that thread held until the sender says so.
pub(crate) fn with_reads_held() -> (tokio::runtime::Runtime, std::sync::mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (let_go, held) = std::sync::mpsc::channel();
    drop(runtime.spawn_blocking(move || held.recv()));
    (runtime, let_go)
}

/// Ticks copy old records forward and remove their chunks: here between a claim and its reading.
#[test]
fn a_claim_finds_records_that_are_copied_forward_under_it() {
    let (runtime, let_go) = with_reads_held();
    runtime.block_on(async {
        let mut limits = StoreLimits::default();
        limits.retention.events.count = 1;
        let rig = Rig::open_with(tiny::Tiny::new(clock()), limits).await;
        rig.add(draft()).await;
        for _ in 0..5 {
            let gone = rig.add(draft().queue("other")).await;
            rig.delete(gone.id).await.unwrap();
        }
        let (store, request) = (rig.store.clone(), rig.claim_request(1));
        let claim = tokio::spawn(async move { store.claim(request).await.unwrap().leases });
        while rig.stats().await.states[&State::Running] == 0 {
            tokio::task::yield_now().await;
        }
        rig.catch_up().await;
        let_go.send(()).unwrap();
        let leases = claim.await.unwrap();
        assert_eq!(leases.len(), 1);
        rig.complete(&leases[0]).await;
    });
}

harness!(Few, TestStore, |clock| {
    TestStore::new(clock, Tuning { run_from: 4, rewrite_percent: 25, ..tiny::TINY })
});

/// The header of a run knows only when its first and last job finished. What lies between is asked.
#[tokio::test]
async fn a_job_of_a_run_is_not_pruned_before_its_age() {
    let mut limits = StoreLimits::default();
    limits.retention.completed.age = Duration::from_secs(100);
    let rig = Rig::open_with(Few::new(clock()), limits).await;
    let mut ids = vec![rig.finish(draft()).await];
    rig.pass(Duration::from_secs(90));
    for _ in 0..3 {
        ids.push(rig.finish(draft()).await);
    }
    while rig.store.storage().await.unwrap().archived_jobs < 4 {
        tokio::task::yield_now().await;
    }
    rig.pass(Duration::from_secs(99));
    assert_eq!(rig.catch_up().await.pruned, 1);
    for (id, is_there) in ids.iter().zip([false, true, true, true]) {
        assert_eq!(rig.find(*id).await.is_some(), is_there);
    }
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.catch_up().await.pruned, 3);
}

/// Runs are replaced and removed under a reader that walks through all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_read_to_its_end_while_runs_are_pruned() {
    let mut limits = StoreLimits::default();
    limits.retention.completed.count = 40;
    let rig = Arc::new(Rig::open_with(tiny::Tiny::new(clock()), limits).await);
    for _ in 0..60 {
        rig.finish(draft()).await;
    }
    let busy = rig.clone();
    let pruning = tokio::spawn(async move {
        for _ in 0..60 {
            busy.finish(draft()).await;
            busy.catch_up().await;
        }
    });
    let mut lists = 0;
    while !pruning.is_finished() {
        lists += rig.jobs().await.len().min(1); // it panics when a page cannot be read
    }
    pruning.await.unwrap();
    assert!(lists > 0, "nothing was listed meanwhile");
}
