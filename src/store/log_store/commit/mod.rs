//! How anything changes: the committer applies commands in groups, a writer makes each group durable, and only then
//! are the callers answered.

mod access;
mod apply;
pub mod archiver;
pub mod claim;
mod clock_jump;
pub mod command;
pub mod committer;
pub mod core;
pub mod enqueue;
pub mod entry;
pub mod follow;
pub mod future_waits;
pub mod give_back;
pub mod group;
mod heartbeat;
pub mod inbox;
pub mod index;
mod index_undo;
mod kinds;
pub mod limits_in_force;
pub mod meta;
pub mod node_table;
pub mod open;
pub mod outage;
pub mod publish_time;
pub mod ready;
pub mod recover;
pub mod schedules;
pub mod shared;
pub mod shared_group;
pub mod tick;
pub mod tuning;
pub mod undo;
pub mod verbs;
pub mod watch;
pub mod writer;
