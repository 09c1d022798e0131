//! The journal: chunks of packed events, and how jobs are folded out of them.

pub mod chunks;
pub mod codec;
pub mod fold;
