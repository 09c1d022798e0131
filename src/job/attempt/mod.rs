//! One attempt at a job: what its handler may return, how its end changes the job, and when the next
//! attempt may start.

mod ending;
pub mod lease_holder;
pub mod outcome;
pub mod retry;
