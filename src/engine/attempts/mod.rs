//! The life of an attempt: it is claimed, run, kept alive by heartbeats, and settled.

pub mod dispatcher;
pub mod dispatchers;
pub mod end_line;
pub mod executor;
pub mod heartbeat;
pub mod leases;
pub mod local_attempt;
pub mod notes;
pub mod report;
pub mod settler;
pub mod verdict;
