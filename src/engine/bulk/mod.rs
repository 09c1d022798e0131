//! Bulk runs apply one control to many jobs: a list, a failure group, or all that match a query. A run works in
//! steps, between which the store serves others; it reports its progress and can be stopped.
//!
//! A run belongs to the process in which it was started. Where several nodes share the store, each tells the others about
//! its runs in its heartbeats (`told`), so that every node lists all of them and can have each stopped (`elsewhere`).

mod elsewhere;
mod report;
mod runner;
pub(super) mod runs;
mod told;
mod verbs;

pub use report::{
    Action, BulkId, BulkReport, Count, End, MAX_LISTED, Refusals, RunProgress, Target,
};
#[cfg(test)]
pub use runs::MAX_RUNNING;
