//! Several nodes on one log. The rules of the store hold for one node on a shared log, and between nodes when each call
//! goes to another one: on a log in memory and on PostgreSQL.

mod configured;
mod inbox;
mod memory_log;
mod spread;
mod together;

use std::sync::Arc;

use self::memory_log::MemoryLog;
use self::spread::Spread;
use super::tiny::TINY;
use super::{StorePlace, harness};
use crate::clock::ManualClock;
use crate::store::conformance::conformance_suite;
use crate::store::log::Log;
use crate::store::log::conformance::SharedLogHarness;
use crate::store::log_store::{LogStore, Opening, Tuning, empty_store};
use crate::store::{Store, StoreLimits};

/// Nodes on one log. They are called `node-1` and so on, and are restarted together.
pub(crate) struct Nodes<L> {
    clock: ManualClock,
    log: L,
    limits: StoreLimits,
    tuning: Tuning,
    count: usize,
}

impl<L: SharedLogHarness + Send + 'static> Nodes<L> {
    pub(crate) fn new(clock: ManualClock, tuning: Tuning, count: usize) -> Nodes<L> {
        // Some logs wait for a server, which only a plain thread may do.
        let log = std::thread::spawn(L::new).join().unwrap();
        log.open().apply_alone(empty_store().unwrap()).unwrap();
        Nodes { clock, log, limits: StoreLimits::default(), tuning, count }
    }

    /// Opens a node.
    fn node(&self, number: usize) -> Arc<dyn Store> {
        self.open_on(self.log.open_as(&format!("node-{number}")))
    }

    fn open_on(&self, log: Box<dyn Log>) -> Arc<dyn Store> {
        let (limits, clock) = (self.limits.clone(), Arc::new(self.clock.clone()));
        LogStore::open(|| Ok(log), limits, clock, self.tuning, Opening::ToRunJobs).unwrap()
    }
}

impl Nodes<MemoryLog> {
    /// Opens a node, and returns its handle of the log, for faults.
    fn node_with_log(&self, number: usize) -> (Arc<dyn Store>, MemoryLog) {
        let log = self.log.handle(&format!("node-{number}"));
        (self.open_on(Box::new(log.clone())), log)
    }
}

impl<L: SharedLogHarness + Send + 'static> StorePlace for Nodes<L> {
    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn set_limits(&mut self, limits: StoreLimits) {
        self.limits = limits;
    }

    fn open(&self) -> Arc<dyn Store> {
        match self.count {
            1 => self.node(1),
            count => Arc::new(Spread::new((1..=count).map(|number| self.node(number)).collect())),
        }
    }
}

mod one {
    use super::*;

    harness!(OneNode, Nodes<MemoryLog>, |clock| Nodes::new(clock, TINY, 1));
    conformance_suite!(OneNode);
}

mod two {
    use super::*;

    harness!(TwoNodes, Nodes<MemoryLog>, |clock| Nodes::new(clock, TINY, 2));
    conformance_suite!(TwoNodes);
}

mod model {
    use super::*;
    use crate::store::memory::tests::MemoryHarness;
    use crate::store::model::compare;

    harness!(FourNodes, Nodes<MemoryLog>, |clock| Nodes::new(clock, TINY, 4));

    #[test]
    fn one_node_equals_memory_under_random_scripts() {
        compare::<MemoryHarness, super::one::OneNode>(32);
    }

    #[test]
    fn four_nodes_equal_memory_under_random_scripts() {
        compare::<MemoryHarness, FourNodes>(32);
    }
}

mod postgres {
    use std::time::Duration;

    use super::*;
    use crate::store::conformance::{clock, draft};
    use crate::store::postgres::tests::InDatabase;

    const TUNING: Tuning = Tuning { node_heartbeat: Duration::from_millis(500), ..TINY };

    mod one {
        use super::*;

        harness!(OneOnPostgres, Nodes<InDatabase>, |clock| Nodes::new(clock, TUNING, 1));
        conformance_suite!(OneOnPostgres);
    }

    mod two {
        use super::*;

        harness!(TwoOnPostgres, Nodes<InDatabase>, |clock| Nodes::new(clock, TUNING, 2));
        conformance_suite!(TwoOnPostgres);
    }

    /// A version that knows a newer format has raised it, because no other node seemed to be at work.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_running_node_writes_nothing_once_the_format_is_newer() {
        let nodes = Nodes::<InDatabase>::new(clock(), TUNING, 0);
        let (nodes, one) = std::thread::spawn(|| {
            let one = nodes.node(1);
            (nodes, one)
        })
        .join()
        .unwrap();
        one.enqueue(vec![draft().job()]).await.unwrap();
        let execute = |sql: &'static str| {
            std::thread::scope(|scope| scope.spawn(|| nodes.log.execute(sql)).join().unwrap())
        };
        execute("update cortado.meta set value = '9' where key = 'format'");
        let refused = one.enqueue(vec![draft().job()]).await.unwrap_err().to_string();
        assert!(refused.contains("written by a newer version of Cortado (format 9"), "{refused}");
        let health = one.health().unwrap_err().to_string();
        assert!(health.contains("newer version of Cortado"), "{health}");
        assert_eq!(execute("select count(*) from cortado.chunk"), ["2"], "the start and one job");
    }
}
