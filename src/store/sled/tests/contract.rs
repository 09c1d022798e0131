//! The conformance suite of logs on sled.

use std::time::Duration;

use tempfile::TempDir;

use crate::store::log::Log;
use crate::store::log::conformance::{LogHarness, log_conformance_suite};
use crate::store::sled::{self, Faults, SledLog};

/// A data directory without a description of a store, which logs do not need.
struct InDirectory(TempDir);

impl LogHarness for InDirectory {
    fn new() -> InDirectory {
        let dir = tempfile::tempdir().unwrap();
        sled::open(dir.path(), Faults::default(), Default::default()).unwrap();
        InDirectory(dir)
    }

    fn open(&self) -> Box<dyn Log> {
        Box::new(SledLog::for_test(self.0.path()))
    }
}

log_conformance_suite!(InDirectory);

#[test]
fn a_directory_is_not_shared_and_nobody_waits_for_another_process() {
    let harness = InDirectory::new();
    let log = harness.open();
    assert!(!log.is_shared());
    assert_eq!(log.wait_for_chunk(0, Duration::from_secs(3_600)), Ok(false));
}
