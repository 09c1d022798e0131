//! The suite that every store passes, on sled: once as it is shipped, once with sizes so small that
//! every path (archive, rewriting, copying forward) is taken all the time.

use std::sync::Arc;

use tempfile::TempDir;

use super::{SledStore, Tuning};
use crate::store::conformance::{Harness, conformance_suite};
use crate::store::{Limits, ManualClock, Store};

struct Place {
    clock: ManualClock,
    dir: TempDir,
    limits: Limits,
    tuning: Tuning,
}

impl Place {
    fn new(clock: ManualClock, tuning: Tuning) -> Place {
        let dir = tempfile::tempdir().unwrap();
        Place { clock, dir, limits: Limits::default(), tuning }
    }

    fn open(&self) -> Arc<dyn Store> {
        let clock = Arc::new(self.clock.clone());
        let limits = self.limits.clone();
        SledStore::open_tuned(self.dir.path(), limits, clock, self.tuning).unwrap()
    }
}

/// Writes a harness around a place with this tuning.
macro_rules! harness {
    ($name:ident, $tuning:expr) => {
        pub(crate) struct $name(Place);

        impl Harness for $name {
            fn new(clock: ManualClock) -> Self {
                $name(Place::new(clock, $tuning))
            }

            fn clock(&self) -> &ManualClock {
                &self.0.clock
            }

            async fn open(&mut self, limits: Limits) -> Arc<dyn Store> {
                self.0.limits = limits;
                self.0.open()
            }

            async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
                store.close().await.unwrap();
                drop(store);
                self.0.open()
            }

            async fn crash(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
                drop(store);
                self.0.open()
            }
        }
    };
}

mod as_shipped {
    use super::*;

    harness!(Shipped, Tuning::default());
    conformance_suite!(Shipped);
}

mod tiny {
    use super::*;

    const TINY: Tuning =
        Tuning { run_from: 1, rewrite_percent: 0, drop_at_once: 0, carry_above: 0 };

    harness!(Tiny, TINY);
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
