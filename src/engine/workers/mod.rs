//! Workers in processes of their own. This folder has their verbs, whatever the transport: claim, update, sign off, and
//! the commands to a worker. `http` maps them to requests and messages.

pub mod callbacks;
pub mod claims;
pub mod counters;
pub mod hello;
pub mod keeper;
pub mod lease_token;
pub mod list;
pub mod mailbox;
pub mod remote;
mod remote_leases;
pub mod report;
pub mod session;
mod table;
pub mod totals;
pub mod update_order;
pub mod updates;
mod verbs;
pub mod waiting_claims;
