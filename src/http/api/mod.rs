//! The JSON endpoints, one file for each resource, and the parsing of their requests (`extract.rs`, `query.rs`).

pub mod access;
pub mod bulk;
pub mod export;
pub mod extract;
pub mod failures;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod jobs;
pub mod kinds;
pub mod metrics;
pub mod nodes;
pub mod query;
pub mod queues;
pub mod resume;
pub mod schedules;
pub mod stats;
pub mod submit;
pub mod wait;
pub mod workers;
