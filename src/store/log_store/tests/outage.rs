//! Outages: the disk fails and works again. Nothing that was acknowledged is lost, nothing that was refused is stored,
//! and attempts that were running can still be settled.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::ledger::{Ledger, audit};
use super::{TestStore, Tuning, quick, tiny, with_reads_held};
use crate::clock::ManualClock;
use crate::job::{EventType, State};
use crate::store::conformance::schedule::every;
use crate::store::conformance::{Harness, Outage, Rig, clock, completed, draft, per_minute, secs};
use crate::store::sled::faults::{EIO, ENOSPC, Fault, FaultAction, Faults, Point};
use crate::store::{Claim, SettleError, Settlement, Store, StoreError, StoreLimits, WorkerPlace};

/// A store whose disk can be made to fail.
pub(crate) struct Faulty {
    place: TestStore,
    faults: Faults,
}

impl Faulty {
    pub fn new(tuning: Tuning, faults: Faults) -> Faulty {
        Faulty { place: TestStore::new(clock(), tuning), faults }
    }

    /// An existing directory, without faults.
    pub fn at(dir: TempDir, tuning: Tuning, limits: StoreLimits) -> Faulty {
        let place = TestStore { dir, limits, ..TestStore::new(clock(), tuning) };
        Faulty { place, faults: Faults::default() }
    }

    pub fn dir(&self) -> &Path {
        self.place.dir.path()
    }

    pub fn into_dir(self) -> TempDir {
        self.place.dir
    }

    pub fn open_again(&self) -> Arc<dyn Store> {
        self.place.open()
    }
}

impl Harness for Faulty {
    fn new(clock: ManualClock) -> Self {
        Faulty { place: TestStore::new(clock, quick()), faults: Faults::default() }
    }

    fn clock(&self) -> &ManualClock {
        &self.place.clock
    }

    async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store> {
        self.place.limits = limits;
        self.place.open_with(self.faults.clone())
    }

    async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        self.crash(store).await
    }

    async fn crash(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.place.open_with(self.faults.clone())
    }
}

/// A switch: while it is on, the disk fails at a point.
#[derive(Clone, Default)]
struct Switch(Arc<AtomicBool>);

impl Switch {
    fn faults(&self, at: Point, number: i32) -> Faults {
        let on = self.0.clone();
        Faults::watch(Box::new(move |point, _| {
            let strikes = point == at && on.load(Ordering::SeqCst);
            if strikes { Err(io::Error::from_raw_os_error(number)) } else { Ok(()) }
        }))
    }

    fn turn(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }
}

/// Waits until the store accepts work.
pub(crate) async fn back<H: Harness>(rig: &Rig<H>) {
    let works = async {
        while rig.store.health().is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), works).await.expect("the store should come back");
}

pub(crate) fn is_unavailable<T, E: Outage + Clone>(answer: &Result<T, E>) -> bool {
    matches!(answer, Err(error) if matches!(error.clone().outage(), StoreError::Unavailable(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_refused_is_not_there_and_the_store_comes_back() {
    for at in [Point::Apply, Point::AfterApply, Point::AfterFlush, Point::Sync, Point::AfterSync] {
        let switch = Switch::default();
        let rig = Rig::open(Faulty::new(quick(), switch.faults(at, EIO))).await;
        let mut follower = rig.store.follow(64);
        let before = rig.add(draft()).await;
        switch.turn(true);
        let refused = draft().key("once").job();
        let answer = rig.store.enqueue(vec![refused.clone()]).await;
        assert!(is_unavailable(&answer), "{at:?}: {answer:?}");
        switch.turn(false);
        back(&rig).await;
        assert!(rig.find(refused.id).await.is_none(), "{at:?}: refused and there");
        assert_eq!(rig.state(before.id).await, State::Available);
        let again = rig.add(draft().key("once")).await;
        audit(&rig).await;
        // The follower has missed nothing, or sees a gap.
        let mut seen = 0;
        while seen < again.seq {
            let events = follower.recv().await.unwrap();
            assert!(events[0].seq > seen, "{at:?}: an event came twice");
            seen = events.last().unwrap().seq;
        }
        let rig = rig.reopen().await;
        assert_eq!(rig.jobs().await.len(), 2, "{at:?}");
        audit(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_that_falls_into_an_outage_makes_one_job() {
    for at in [Point::Apply, Point::AfterApply, Point::AfterFlush, Point::Sync, Point::AfterSync] {
        let switch = Switch::default();
        let rig = Rig::open(Faulty::new(quick(), switch.faults(at, EIO))).await;
        let set = rig.set("a", every("every 1m", draft())).await;
        rig.pass(Duration::from_secs(60));
        switch.turn(true);
        let ticked = rig.store.tick().await;
        assert!(is_unavailable(&ticked), "{at:?}: {ticked:?}");
        switch.turn(false);
        back(&rig).await;
        rig.catch_up().await;
        let rig = rig.crash().await;
        rig.catch_up().await;
        let (stored, _) = rig.store.schedules().await.unwrap();
        let last = stored[0].last.unwrap();
        assert_eq!(last.due, set.next_at, "{at:?}");
        let jobs: Vec<_> = rig.jobs().await.iter().map(|job| job.id).collect();
        assert_eq!(jobs, [last.job], "{at:?}");
        audit(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_that_run_through_an_outage_can_be_settled() {
    for at in [Point::Apply, Point::AfterFlush, Point::Sync, Point::AfterSync] {
        let switch = Switch::default();
        let rig = Rig::open(Faulty::new(quick(), switch.faults(at, EIO))).await;
        let (running, ending) = (rig.start(draft()).await, rig.start(draft()).await);
        rig.note(&running, &["one line"]).await;
        rig.log().await;
        switch.turn(true);
        let end = vec![Settlement { lease: ending.key(), verdict: completed() }];
        let answer = rig.store.settle(end.clone()).await;
        assert!(is_unavailable(&answer), "{at:?}: {answer:?}");
        switch.turn(false);
        back(&rig).await;
        // The refused settlement may have been stored: then it stands, and the lease is stale.
        let again = rig.store.settle(end).await.unwrap().remove(0);
        assert!(matches!(again, Ok(_) | Err(SettleError::Stale)), "{at:?}: {again:?}");
        assert_eq!(rig.state(ending.job.id).await, State::Completed, "{at:?}");
        assert_eq!(rig.state(running.job.id).await, State::Running, "{at:?}");
        rig.complete(&running).await;
        let types = rig.types().await;
        assert!(!types.contains(&EventType::JobRescued), "{at:?}: {types:?}");
        audit(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_nobody_extends_after_an_outage_runs_out() {
    let switch = Switch::default();
    let rig = Rig::open(Faulty::new(quick(), switch.faults(Point::Sync, EIO))).await;
    let lease = rig.start(draft()).await;
    rig.log().await;
    switch.turn(true);
    assert!(is_unavailable(&rig.store.enqueue(vec![draft().job()]).await));
    switch.turn(false);
    back(&rig).await;
    rig.pass(Duration::from_secs(31));
    assert_eq!(rig.tick().await.rescued, 1);
    assert_eq!(rig.settle(&lease, completed()).await, Err(SettleError::Stale));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_is_full_everything_is_refused_at_once_and_then_goes_on() {
    let switch = Switch::default();
    let opened = Arc::new(AtomicU64::new(0));
    let (full, count) = (switch.0.clone(), opened.clone());
    let faults = Faults::watch(Box::new(move |point, _| {
        count.fetch_add(u64::from(point == Point::Open), Ordering::SeqCst);
        match point {
            Point::Apply | Point::Open if full.load(Ordering::SeqCst) => {
                Err(io::Error::from_raw_os_error(ENOSPC))
            }
            _ => Ok(()),
        }
    }));
    let rig = Rig::open(Faulty::new(quick(), faults)).await;
    rig.add(draft()).await;
    switch.turn(true);
    assert!(is_unavailable(&rig.store.enqueue(vec![draft().job()]).await));
    let three_tries = async {
        while opened.load(Ordering::SeqCst) < 4 {
            for answer in [
                rig.store.enqueue(vec![draft().job()]).await.map(drop).map_err(Outage::outage),
                rig.store.claim(rig.claim_request(1)).await.map(drop),
                rig.store.tick().await.map(drop),
                rig.store.stats().await.map(drop),
                rig.store.health(),
            ] {
                assert!(is_unavailable(&answer), "{answer:?}");
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(20), three_tries).await.expect("it should try again and again");
    let error = rig.store.health().unwrap_err().to_string();
    assert!(error.contains("No space left"), "{error}");
    switch.turn(false);
    back(&rig).await;
    rig.add(draft()).await;
    assert_eq!(rig.jobs().await.len(), 2);
    audit(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_can_be_closed_and_dropped_during_an_outage() {
    for close in [true, false] {
        let switch = Switch::default();
        let rig = Rig::open(Faulty::new(quick(), switch.faults(Point::Sync, EIO))).await;
        let job = rig.add(draft()).await;
        switch.turn(true);
        assert!(is_unavailable(&rig.store.enqueue(vec![draft().job()]).await));
        if close {
            assert!(is_unavailable(&rig.store.close().await), "it was not synced");
        }
        let Rig { harness, store } = rig;
        switch.turn(false);
        drop(store);
        let store = harness.place.open();
        assert!(store.get(job.id).await.unwrap().0.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_answered_before_its_sync_failed_stays_good() {
    let (given, claimed) = std::sync::mpsc::channel();
    let on = Switch::default();
    let strikes = on.0.clone();
    let faults = Faults::watch(Box::new(move |point, _| {
        if point == Point::Sync && strikes.swap(false, Ordering::SeqCst) {
            claimed.recv_timeout(Duration::from_secs(20)).unwrap();
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(())
    }));
    let rig = Rig::open(Faulty::new(quick(), faults)).await;
    rig.add(draft()).await;
    on.turn(true);
    let lease = rig.claim_one().await;
    given.send(()).unwrap();
    let reached = rig.until_durable(lease.token);
    timeout(Duration::from_secs(20), reached).await.unwrap();
    back(&rig).await;
    let attempt = rig.complete(&lease).await.attempt;
    assert_eq!(attempt, 1);
    audit(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_was_refused_but_reached_the_disk_is_taken_back() {
    for at in [Point::AfterApply, Point::AfterFlush] {
        let switch = Switch::default();
        let rig = Rig::open(Faulty::new(quick(), switch.faults(at, EIO))).await;
        let job = rig.add(draft().attempts(1)).await;
        switch.turn(true);
        assert!(is_unavailable(&rig.store.claim(rig.claim_request(1)).await), "{at:?}");
        switch.turn(false);
        back(&rig).await;
        let lease = rig.claim_one().await;
        assert_eq!((lease.job.id, lease.job.status.attempt), (job.id, 1), "{at:?}");
        rig.complete(&lease).await;
        audit(&rig).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_the_leases_of_remote_workers_survive_an_outage() {
    let switch = Switch::default();
    let rig = Rig::open(Faulty::new(quick(), switch.faults(Point::Apply, EIO))).await;
    rig.set_concurrency("default", Some(2)).await;
    rig.set_rate_limit("default", Some(per_minute(3))).await;
    rig.store.enqueue((0..9).map(|_| draft().job()).collect()).await.unwrap();
    let place = WorkerPlace::Remote;
    let request = Claim { place, ttl: secs(60), ..rig.claim_request(1) };
    let remote = rig.store.claim(request).await.unwrap().leases.remove(0);
    let rig = rig.crash().await;
    rig.pass(secs(20));
    let local = rig.claim(9).await;
    assert_eq!(local.len(), 1);
    switch.turn(true);
    assert!(is_unavailable(&rig.store.enqueue(vec![draft().job()]).await));
    switch.turn(false);
    back(&rig).await;

    assert_eq!(rig.claim(9).await.len(), 0, "two are running");
    rig.complete(&local[0]).await;
    let third = rig.claim(9).await;
    assert_eq!(third.len(), 1);
    rig.complete(&third[0]).await;
    let held = rig.store.claim(rig.claim_request(9)).await.unwrap();
    assert!(held.leases.is_empty() && held.retry_in.is_some(), "three have started");
    rig.pass(secs(39));
    assert_eq!(rig.tick().await.rescued, 0);
    rig.pass(secs(1));
    assert_eq!(
        rig.tick().await.rescued,
        1,
        "its lease began with the opening, not with the outage"
    );
    assert_eq!(rig.state(remote.job.id).await, State::Available);
    audit(&rig).await;
}

/// The record of a claimed job is read after the claim. Here the disk fails in between.
#[test]
fn a_claim_whose_records_cannot_be_read_during_an_outage_is_answered_after_it() {
    let (runtime, let_go) = with_reads_held();
    runtime.block_on(async {
        let switch = Switch::default();
        let rig = Rig::open(Faulty::new(quick(), switch.faults(Point::Sync, EIO))).await;
        rig.add(draft().attempts(1)).await;
        switch.turn(true);
        let (store, request) = (rig.store.clone(), rig.claim_request(1));
        let claim = tokio::spawn(async move { store.claim(request).await });
        let down = async {
            while rig.store.health().is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), down).await.expect("the store should fail");
        let_go.send(()).unwrap();
        switch.turn(false);
        let leases =
            timeout(Duration::from_secs(20), claim).await.unwrap().unwrap().unwrap().leases;
        assert_eq!(leases.len(), 1);
        rig.complete(&leases[0]).await;
        audit(&rig).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_durable_events_in_an_outage_stays_closed() {
    let on = Switch::default();
    let strikes = on.0.clone();
    let old = tempfile::tempdir().unwrap();
    let copy = old.path().join("db");
    let faults = Faults::watch(Box::new(move |point, dir| match point {
        Point::Sync if strikes.swap(false, Ordering::SeqCst) => {
            Err(io::Error::from_raw_os_error(EIO))
        }
        // The disk loses what it had acknowledged.
        Point::Open if copy.exists() => std::fs::copy(&copy, dir.join("db")).map(drop),
        _ => Ok(()),
    }));
    let rig = Rig::open(Faulty::new(quick(), faults)).await;
    rig.add(draft()).await;
    std::fs::copy(rig.harness.dir().join("db"), old.path().join("db")).unwrap();
    rig.add(draft()).await;
    on.turn(true);
    assert!(is_unavailable(&rig.store.enqueue(vec![draft().job()]).await));
    let damage = async {
        loop {
            match rig.store.health() {
                Err(StoreError::Corrupt(why)) => return why,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let why = timeout(Duration::from_secs(20), damage).await.unwrap();
    assert!(why.contains("event 2 was durable"), "{why}");
    let answer = rig.store.enqueue(vec![draft().job()]).await.map_err(Outage::outage);
    assert!(matches!(answer, Err(StoreError::Corrupt(_))), "{answer:?}");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_disk_fails_at_random() {
    let seed = std::env::var("CORTADO_FAULT_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CORTADO_FAULT_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for round in 0..12 {
        let mut dice = random.fork();
        let over = Switch::default();
        let quiet = over.0.clone();
        let faults = Faults::watch(Box::new(move |_, _| match dice.u8(..) {
            0..5 if !quiet.load(Ordering::SeqCst) => {
                Err(io::Error::from_raw_os_error(if dice.bool() { EIO } else { ENOSPC }))
            }
            _ => Ok(()),
        }));
        let tuning = if round % 2 == 0 { quick() } else { tiny::TINY };
        let mut ledger = Ledger::new(random.fork());
        runtime.block_on(async {
            let Ok(rig) = timeout(Duration::from_secs(60), open(&faults, tuning)).await else {
                panic!("it never opens")
            };
            let mut outages = 0;
            for _ in 0..60 {
                if ledger.step(&rig).await.is_err() {
                    outages += 1;
                    back(&rig).await;
                }
            }
            over.turn(true);
            // The last fault may have hit the archiver, between two verbs.
            rig.store.tick().await.ok();
            back(&rig).await;
            ledger.check(&rig).await;
            for id in &ledger.refused {
                assert!(rig.find(*id).await.is_none(), "{id} was refused and is there");
            }
            println!("round {round}: {outages} refusals, {} jobs", ledger.accepted.len());
        });
    }
}

/// Opens the store, again and again until no fault prevents it.
async fn open(faults: &Faults, tuning: Tuning) -> Rig<Faulty> {
    let place = TestStore::new(clock(), tuning);
    loop {
        if let Ok(store) = place.try_open_with(faults.clone()) {
            return Rig { harness: Faulty { place, faults: faults.clone() }, store };
        }
    }
}

#[test]
fn a_fault_plan_fails_one_start() {
    let fault = Fault { action: FaultAction::Refuse(EIO), point: Point::Open, nth: 1, times: 1 };
    let place = TestStore::new(clock(), quick());
    let faults = Faults::plan(fault);
    let error = place.try_open_with(faults.clone()).err().unwrap();
    assert!(error.to_string().contains("Input/output error"), "{error}");
    place.try_open_with(faults).unwrap();
}
