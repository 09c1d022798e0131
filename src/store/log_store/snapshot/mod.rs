//! Snapshots of a whole store, who reads them, and how a store is built from one.

pub mod builder;
pub mod pins;
pub mod walk;
