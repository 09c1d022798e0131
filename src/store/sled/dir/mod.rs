//! A data directory: its lock, names that survive a power cut, whether the path still leads to it, and how a store
//! comes into being in it.

pub mod durable;
pub mod identity;
pub mod lock;
pub mod staging;
