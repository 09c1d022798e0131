//! The conformance suite of the durable store on PostgreSQL, with sizes so small that every path is taken all the time.

use std::sync::Arc;

use super::server::TestDatabase;
use crate::clock::ManualClock;
use crate::store::conformance::{Harness, conformance_suite};
use crate::store::log::Log;
use crate::store::log_store::tests::tiny::TINY;
use crate::store::log_store::{self, LogStore, Opening};
use crate::store::postgres::PostgresLog;
use crate::store::{Store, StoreLimits};

/// A store in a database of its own.
struct OnPostgres {
    clock: ManualClock,
    database: TestDatabase,
    limits: StoreLimits,
}

impl OnPostgres {
    fn start(&self) -> Arc<dyn Store> {
        let (clock, limits) = (Arc::new(self.clock.clone()), self.limits.clone());
        let settings = self.database.settings();
        let log = || {
            let log = PostgresLog::create_if_missing(settings, log_store::empty_store()?)?;
            Ok(Box::new(log) as Box<dyn Log>)
        };
        LogStore::open(log, limits, clock, TINY, Opening::ToRunJobs).unwrap()
    }
}

impl Harness for OnPostgres {
    fn new(clock: ManualClock) -> OnPostgres {
        // A session of a test has a runtime, which cannot be entered from within another one.
        let database = std::thread::spawn(TestDatabase::new).join().unwrap();
        OnPostgres { clock, database, limits: StoreLimits::default() }
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn open(&mut self, limits: StoreLimits) -> Arc<dyn Store> {
        self.limits = limits;
        self.start()
    }

    async fn reopen(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        drop(store);
        self.start()
    }

    async fn crash(&mut self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        self.start()
    }
}

conformance_suite!(OnPostgres);
