//! One control on many jobs: those of a list, of a group of failures, or
//! everything that a query finds. It runs in steps between
//! which the store is free for others, tells how far it is, and can be stopped.

mod report;
mod runner;
pub(super) mod runs;
mod verbs;

pub use report::{Action, BulkId, BulkReport, Count, End, MAX_LISTED, Progress, Refusals, Target};
#[cfg(test)]
pub use runs::MAX_RUNNING;
