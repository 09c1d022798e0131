//! The journal: chunks of packed events, how jobs are folded out of them, and the rows of queues, schedules,
//! declared kinds, users, tokens, sessions and share links. The nodes that share a log also write notes for each other,
//! and the limits that all of them apply.

pub mod access_rows;
pub mod chunks;
pub mod codec;
pub mod first_format;
pub mod fold;
pub mod history_rows;
pub mod limits_row;
pub mod named_rows;
pub mod nodes;
pub mod queue_rows;
pub mod row_lengths;
pub mod seal;
pub mod trail;
