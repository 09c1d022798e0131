//! The rules of the store on PostgreSQL, for one node and between two.

use std::sync::Arc;
use std::time::Duration;

use super::spread::Spread;
use crate::clock::ManualClock;
use crate::store::conformance::{Harness, conformance_suite};
use crate::store::log::Log;
use crate::store::log_store::tests::tiny::TINY;
use crate::store::log_store::{LogStore, Opening, Tuning, empty_store};
use crate::store::postgres::PostgresLog;
use crate::store::postgres::tests::server::TestDatabase;
use crate::store::{Store, StoreLimits};

/// Nodes on one database. They are called `node-1` and so on, and are restarted together.
struct OnPostgres {
    clock: ManualClock,
    database: TestDatabase,
    limits: StoreLimits,
    count: usize,
}

impl OnPostgres {
    fn new(clock: ManualClock, count: usize) -> OnPostgres {
        // It waits for the database, which only a plain thread may do.
        let database = std::thread::spawn(TestDatabase::new).join().unwrap();
        OnPostgres { clock, database, limits: StoreLimits::default(), count }
    }

    fn node(&self, number: usize) -> Arc<dyn Store> {
        let mut settings = self.database.settings();
        settings.node = format!("node-{number}");
        let log = || -> Result<Box<dyn Log>, _> {
            Ok(Box::new(PostgresLog::create_if_missing(settings, empty_store()?)?))
        };
        let tuning = Tuning { node_beat: Duration::from_millis(500), ..TINY };
        let (limits, clock) = (self.limits.clone(), Arc::new(self.clock.clone()));
        LogStore::open(log, limits, clock, tuning, Opening::ToRunJobs).unwrap()
    }

    fn open(&self) -> Arc<dyn Store> {
        match self.count {
            1 => self.node(1),
            count => Arc::new(Spread::new((1..=count).map(|number| self.node(number)).collect())),
        }
    }
}

macro_rules! postgres_harness {
    ($name:ident, $count:expr) => {
        struct $name(OnPostgres);

        impl Harness for $name {
            fn new(clock: ManualClock) -> Self {
                $name(OnPostgres::new(clock, $count))
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

    postgres_harness!(OneOnPostgres, 1);
    conformance_suite!(OneOnPostgres);
}

mod two {
    use super::*;

    postgres_harness!(TwoOnPostgres, 2);
    conformance_suite!(TwoOnPostgres);
}
