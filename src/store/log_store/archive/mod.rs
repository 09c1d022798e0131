//! The archive: finished jobs in packed runs, and the idempotency keys that they still hold.

pub mod keys;
pub mod new_run;
pub mod runs;
pub mod scan;
