//! Simulated power cuts at every call to the disk: what was not synced is lost, or any pages of it are there, as a
//! kernel that was writing them would leave them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tempfile::TempDir;

use super::damage::copy_files;
use crate::store::conformance::Rig;
use crate::store::log_store::tests::ledger::Ledger;
use crate::store::log_store::tests::outage::Faulty;
use crate::store::log_store::tests::{quick, tiny};
use crate::store::sled::faults::{EIO, Faults, Point};
use crate::store::{StoreError, StoreLimits};

const PAGE: usize = 4_096;

/// Copies of a directory as of its last sync and as of the power cut.
pub(super) struct Images {
    pub(super) synced: TempDir,
    pub(super) live: TempDir,
    /// Passes until the power fails; counted once the store is open.
    pub(super) left: Option<u32>,
    /// Passes of each point, over all lives.
    passed: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Images {
    pub(super) fn new(passed: &Arc<Mutex<BTreeMap<String, u32>>>) -> Images {
        let (synced, live) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Images { synced, live, left: None, passed: passed.clone() }
    }

    /// What the directory is when the power comes back. `live` parts survive with one chance in two.
    pub(super) fn after_the_cut(&self, random: &mut Rng, survival: Survival) -> TempDir {
        let image = tempfile::tempdir().unwrap();
        copy_files(self.synced.path(), image.path());
        // The head file is synced whenever it is written: take the newest, which demands the most.
        fs::copy(self.live.path().join("head"), image.path().join("head")).unwrap();
        match survival {
            Survival::Nothing => {}
            Survival::SomePages => {
                let mut log = fs::read(self.synced.path().join("db")).unwrap();
                let live = fs::read(self.live.path().join("db")).unwrap();
                if random.bool() && live.len() > log.len() {
                    log.resize(live.len(), 0);
                }
                for (old, new) in log.chunks_mut(PAGE).zip(live.chunks(PAGE)) {
                    if *old != new[..old.len().min(new.len())] && random.bool() {
                        let len = old.len().min(new.len());
                        old[..len].copy_from_slice(&new[..len]);
                    }
                }
                fs::write(image.path().join("db"), log).unwrap();
            }
        }
        image
    }
}

#[derive(Clone, Copy)]
pub(super) enum Survival {
    Nothing,
    SomePages,
}

/// Updates the images, and cuts the power when it is time.
pub(super) fn faults(images: &Arc<Mutex<Images>>, dead: &Arc<AtomicBool>) -> Faults {
    let (images, dead) = (images.clone(), dead.clone());
    Faults::watch(Box::new(move |point, dir: &Path| {
        if dead.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let mut images = images.lock().unwrap();
        images.left = images.left.map(|left| left.saturating_sub(1));
        *images.passed.lock().unwrap().entry(format!("{point:?}")).or_default() += 1;
        if images.left == Some(0) {
            copy_files(dir, images.live.path());
            dead.store(true, Ordering::SeqCst);
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if point == Point::AfterSync {
            copy_files(dir, images.synced.path());
        }
        Ok(())
    }))
}

/// In every other process the log is trimmed all the time, and jobs are copied forward.
fn limits(round: u32) -> StoreLimits {
    let mut limits = StoreLimits::default();
    if round % 2 == 1 {
        limits.retention.events.count = 20;
    }
    limits
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let seed = std::env::var("CORTADO_POWER_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("CORTADO_POWER_SEED={seed}"); // shown when the test fails
    let mut random = Rng::with_seed(seed);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut cuts, mut jobs) = (0, 0);
    let passed = Arc::default();
    for round in 0..60 {
        let tuning = if round % 2 == 0 { quick() } else { tiny::TINY };
        // A cut while it opens is a cut of an empty store.
        let left = random.u32(1..if round % 4 == 1 { 500 } else { 200 });
        let images = Arc::new(Mutex::new(Images::new(&passed)));
        let dead = Arc::new(AtomicBool::new(false));
        let mut ledger = Ledger::new(random.fork());
        ledger.dark = dead.clone();
        runtime.block_on(async {
            let harness = Faulty::new(tuning, faults(&images, &dead));
            let rig = Rig::open_with(harness, limits(round)).await;
            images.lock().unwrap().left = Some(left);
            while !dead.load(Ordering::SeqCst) {
                match ledger.step(&rig).await {
                    Ok(()) => {}
                    Err(StoreError::Unavailable(_)) => break,
                    Err(other) => panic!("{other}"),
                }
            }
        });
        let images = images.lock().unwrap();
        for survival in [Survival::Nothing, Survival::SomePages] {
            let image = images.after_the_cut(&mut random, survival);
            runtime.block_on(async {
                let harness = Faulty::at(image, tuning, limits(round));
                let rig = Rig { store: harness.open_again(), harness };
                ledger.check(&rig).await;
            });
            cuts += 1;
        }
        jobs += ledger.accepted.len();
    }
    println!("{cuts} cuts, {jobs} acknowledged jobs; passed: {passed:?}");
    for point in ["Run", "Prune"] {
        assert!(passed.lock().unwrap().contains_key(point), "never passed: {point}");
    }
    assert!(cuts >= 100 && jobs > 1_000, "too little to show anything");
}
