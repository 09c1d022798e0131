//! Tests against a PostgreSQL server, which they start themselves: the rules of logs, and what happens when connections,
//! servers and commits are lost.

mod announcements;
mod answers;
mod inbox;
mod outages;
mod proxy;
mod schema;
pub(crate) mod server;
mod tls;

use server::TestDatabase;

use super::PostgresLog;
use crate::store::log::Log;
use crate::store::log::conformance::{
    LogHarness, SharedLogHarness, log_conformance_suite, shared_log_conformance_suite,
};

/// A log in a database of its own.
pub(crate) struct InDatabase(TestDatabase);

impl InDatabase {
    /// Executes statements in the database.
    pub(crate) fn execute(&self, sql: &str) -> Vec<String> {
        self.0.execute(sql)
    }
}

impl LogHarness for InDatabase {
    fn new() -> InDatabase {
        InDatabase(TestDatabase::new())
    }

    fn open(&self) -> Box<dyn Log> {
        Box::new(self.0.open())
    }
}

impl SharedLogHarness for InDatabase {
    fn open_as(&self, node: &str) -> Box<dyn Log> {
        let mut settings = self.0.settings();
        settings.node = node.to_owned();
        Box::new(PostgresLog::create_if_missing(settings, Default::default()).unwrap())
    }
}

log_conformance_suite!(InDatabase);
shared_log_conformance_suite!(InDatabase);
