//! Snapshots of a whole store: how they are read, what their readers keep from being removed, and how a store is built
//! from one.

pub mod builder;
pub mod pins;
pub mod reader;
