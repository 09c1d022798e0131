//! The archive: finished jobs in packed runs.

pub mod runs;
pub mod scan;
