//! The queues of this process: their slots, and the settings that are changed at run time.

pub mod discovery;
pub mod known;
pub mod limits;
pub mod slots;
