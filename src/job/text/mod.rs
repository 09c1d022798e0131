//! Helpers for texts: shortening, hashing, grouping error messages and reading comma-separated lists.

pub mod comma_list;
pub mod fingerprint;
pub mod shorten;
pub mod stable_hash;
