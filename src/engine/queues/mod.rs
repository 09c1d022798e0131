//! The queues of this process: which there are, how many attempts each may run, and how often one may start.

pub mod discovery;
pub mod known;
pub mod rate;
pub mod rate_restore;
pub mod rates;
pub mod settings;
pub mod slots;
