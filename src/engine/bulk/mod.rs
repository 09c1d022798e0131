//! Bulk runs: one control on many jobs, which are listed, share a failure group, or match a query. A run works in
//! steps, between which the store serves others; it reports its progress and can be stopped.

mod report;
mod runner;
pub(super) mod runs;
mod verbs;

pub use report::{Action, BulkId, BulkReport, Count, End, MAX_LISTED, Progress, Refusals, Target};
#[cfg(test)]
pub use runs::MAX_RUNNING;
