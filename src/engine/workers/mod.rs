//! Workers in processes of their own. This folder has their verbs, whatever the transport: claim, update, sign off, and
//! the commands to a worker. `http` maps them to requests and messages.

mod announcements;
pub mod callbacks;
pub mod claims;
pub mod counters;
pub mod entry;
pub mod keeper;
pub mod kind_workers;
pub mod lease_token;
pub mod limits;
pub mod list;
mod lookup;
pub mod node_names;
pub mod owner;
mod past_end;
pub mod push_queue;
pub mod registration;
pub mod remote;
mod remote_leases;
pub mod report;
mod restore;
pub mod session;
mod table;
pub mod totals;
pub mod update_order;
pub mod updates;
mod verbs;
pub mod waiting_claims;
pub mod worker_error;
