//! Helpers for texts: shortening, hashing, decoding escapes, finding and grouping error messages and reading
//! comma-separated lists.

pub mod causes;
pub mod comma_list;
pub mod error_line;
pub mod escapes;
pub mod fingerprint;
pub mod hidden;
pub mod shorten;
pub mod stable_hash;
