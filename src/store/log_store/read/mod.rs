//! Reading: single records, lists and searches, on a pool of threads.

pub mod list;
pub mod pool;
pub mod records;
pub mod search;
