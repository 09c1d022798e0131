//! The journal: chunks of packed events, how jobs are folded out of them, and the rows of queues, schedules, users,
//! tokens, sessions and share links.

pub mod access_rows;
pub mod chunks;
pub mod codec;
pub mod first_format;
pub mod fold;
pub mod queue_rows;
pub mod schedule_rows;
pub mod trail;
