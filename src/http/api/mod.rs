//! The JSON endpoints, one file for each resource.

pub mod bulk;
pub mod export;
pub mod extract;
pub mod health;
pub mod insight;
pub mod jobs;
pub mod metrics;
pub mod query;
pub mod schedules;
pub mod stats;
pub mod submit;
pub mod wait;
