//! A data directory: its lock, durable file names, the check that its path still leads to it, and how a store is
//! created in it.

pub mod durable;
pub mod identity;
pub mod lock;
pub mod staging;
