//! Bulk runs apply one control to many jobs: a list, a failure group, or all that match a query. A run works in
//! steps, between which the store serves others; it reports its progress and can be stopped.

mod report;
mod runner;
pub(super) mod runs;
mod verbs;

pub use report::{
    Action, BulkId, BulkReport, Count, End, MAX_LISTED, Refusals, RunProgress, Target,
};
#[cfg(test)]
pub use runs::MAX_RUNNING;
