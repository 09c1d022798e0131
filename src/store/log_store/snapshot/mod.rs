//! Snapshots of a whole store, and how a store is built from one.

pub mod builder;
pub mod walk;
