//! The queues of this process: their slots, their rate limits, and the settings that are changed at run time.

pub mod discovery;
pub mod known;
pub mod limits;
pub mod rate;
pub mod rate_restore;
pub mod rates;
pub mod slots;
