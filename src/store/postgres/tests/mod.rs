//! Tests against a PostgreSQL server, which they start themselves: the rules of logs, and what happens when connections,
//! servers and commits are lost.

mod answers;
mod outages;
mod proxy;
mod schema;
mod server;
mod store;
mod tls;

use server::TestDatabase;

use crate::store::log::Log;
use crate::store::log::conformance::{
    LogHarness, log_conformance_suite, shared_log_conformance_suite,
};

/// A log in a database of its own.
struct InDatabase(TestDatabase);

impl LogHarness for InDatabase {
    fn new() -> InDatabase {
        InDatabase(TestDatabase::new())
    }

    fn open(&self) -> Box<dyn Log> {
        Box::new(self.0.open())
    }
}

log_conformance_suite!(InDatabase);
shared_log_conformance_suite!(InDatabase);
