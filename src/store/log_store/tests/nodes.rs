//! Several nodes on one log. The rules of the store hold for one node on a shared log, and between nodes when each call
//! goes to another one.

mod memory_log;
mod postgres;
mod spread;
mod together;

use std::sync::Arc;
use std::time::Duration;

use self::memory_log::MemoryLog;
use self::spread::Spread;
use super::tiny::TINY;
use crate::clock::ManualClock;
use crate::store::conformance::{Harness, conformance_suite};
use crate::store::log_store::{LogStore, Opening, Tuning, empty_store};
use crate::store::{Store, StoreLimits};

/// Nodes on one log in memory. They are called `node-1` and so on, and are restarted together.
pub(crate) struct Nodes {
    clock: ManualClock,
    log: MemoryLog,
    limits: StoreLimits,
    tuning: Tuning,
    count: usize,
}

impl Nodes {
    pub(crate) fn new(clock: ManualClock, tuning: Tuning, count: usize) -> Nodes {
        let log = MemoryLog::new();
        crate::store::log::Log::apply_alone(&log, empty_store().unwrap()).unwrap();
        let tuning = Tuning { node_beat: Duration::from_millis(20), ..tuning };
        Nodes { clock, log, limits: StoreLimits::default(), tuning, count }
    }

    /// Opens a node. Its handle of the log is for faults.
    fn node(&self, number: usize) -> (Arc<dyn Store>, MemoryLog) {
        let handle = self.log.handle(&format!("node-{number}"));
        let log = handle.clone();
        let store = LogStore::open(
            || Ok(Box::new(log)),
            self.limits.clone(),
            Arc::new(self.clock.clone()),
            self.tuning,
            Opening::ToRunJobs,
        );
        (store.unwrap(), handle)
    }

    fn open(&self) -> Arc<dyn Store> {
        if self.count == 1 {
            return self.node(1).0;
        }
        Arc::new(Spread::new((1..=self.count).map(|number| self.node(number).0).collect()))
    }
}

macro_rules! nodes_harness {
    ($name:ident, $tuning:expr, $count:expr) => {
        pub(crate) struct $name(Nodes);

        impl Harness for $name {
            fn new(clock: ManualClock) -> Self {
                $name(Nodes::new(clock, $tuning, $count))
            }

            fn clock(&self) -> &ManualClock {
                &self.0.clock
            }

            async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store> {
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

mod one {
    use super::*;

    nodes_harness!(OneNode, TINY, 1);
    conformance_suite!(OneNode);
}

mod two {
    use super::*;

    nodes_harness!(TwoNodes, TINY, 2);
    conformance_suite!(TwoNodes);
}

mod model {
    use super::*;
    use crate::store::memory::tests::MemoryHarness;
    use crate::store::model::compare;

    nodes_harness!(FourNodes, TINY, 4);

    #[test]
    fn one_node_equals_memory_under_random_scripts() {
        compare::<MemoryHarness, super::one::OneNode>(32);
    }

    #[test]
    fn four_nodes_equal_memory_under_random_scripts() {
        compare::<MemoryHarness, FourNodes>(32);
    }
}
