//! Stores of an older format are converted when a server starts: whenever the process or the power fails meanwhile, the
//! store opens again with everything that it had.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tempfile::TempDir;

use super::damage::copy_files;
use super::power::{Images, Survival, faults};
use crate::clock::SystemClock;
use crate::job::{Concurrency, QueueName, QueueSettings, RateLimit, RateRule};
use crate::store::data_dir::{open_tuned, verify};
use crate::store::formats::STORE;
use crate::store::log::Log;
use crate::store::log_store::{LogStore, Tuning};
use crate::store::sled::faults::Faults;
use crate::store::sled::log::SledLog;
use crate::store::{Store, StoreError, StoreLimits};

/// A copy of the last store of format 1.
fn older() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1-rates");
    copy_files(&fixture, dir.path());
    dir
}

fn start(dir: &Path, faults: Faults) -> Result<Arc<LogStore>, StoreError> {
    open_tuned(dir, StoreLimits::default(), Arc::new(SystemClock), Tuning::default(), faults)
}

fn format_of(dir: &Path) -> u8 {
    SledLog::read_only(dir).unwrap().get(b"meta").unwrap().unwrap()[0]
}

/// Opens what a failure has left, twice, and checks that no setting is lost.
async fn check(dir: &Path, what: &str) {
    let report = verify(dir);
    assert!(report.is_sound(), "{what}: {report}");
    for _ in 0..2 {
        let store = start(dir, Faults::default()).unwrap_or_else(|why| panic!("{what}: {why}"));
        let queues = store.stats().await.unwrap().queues;
        let set = queues.iter().filter(|(_, stats)| !stats.settings.is_default());
        let set: Vec<_> = set.map(|(name, stats)| (name.clone(), stats.settings)).collect();
        let limit = RateLimit { starts: 9, within: std::time::Duration::from_secs(60) };
        let held = QueueSettings {
            paused: true,
            concurrency: Some(Concurrency::clamped(2)),
            rate_limit: Some(RateRule::Limit(limit)),
        };
        let paused = QueueSettings { paused: true, ..QueueSettings::default() };
        let name = |name| QueueName::parse(name).unwrap();
        assert_eq!(set, [(name("held"), held), (name("large"), paused)], "{what}");
        store.close().await.unwrap();
        drop(store);
        assert_eq!(format_of(dir), STORE.newest, "{what}");
    }
    let report = verify(dir);
    assert!(report.is_sound(), "{what}: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_fails_while_it_converts_a_store_loses_no_setting() {
    assert_eq!(format_of(older().path()), 1);
    let mut random = Rng::with_seed(fastrand::u64(..));
    let mut formats = std::collections::BTreeSet::new();
    for left in 1.. {
        let dir = older();
        let images = Arc::new(Mutex::new(Images::new(&Arc::default())));
        copy_files(dir.path(), images.lock().unwrap().synced.path());
        images.lock().unwrap().left = Some(left);
        let dead = Arc::new(AtomicBool::new(false));
        let started = start(dir.path(), faults(&images, &dead));
        let Err(error) = started else { break }; // a start passes fewer points
        assert!(matches!(error, StoreError::Unavailable(_)), "{left}: {error}");
        // The process was killed, or had to end, and the files stay as they are.
        formats.insert(format_of(dir.path()));
        check(dir.path(), &format!("after failure {left}")).await;
        let (cuts, live) = {
            let images = images.lock().unwrap();
            let cuts = [Survival::Nothing, Survival::SomePages]
                .map(|survival| images.after_the_cut(&mut random, survival));
            (cuts, images.live.path().to_owned())
        };
        for image in cuts {
            check(image.path(), &format!("power cut at {left}")).await;
        }
        check(&live, &format!("killed at {left}")).await;
    }
    assert_eq!(formats, [1, STORE.newest].into(), "failures before and after the conversion");
}
