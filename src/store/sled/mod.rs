//! The log on sled: a data directory with its files and locks, and the faults that tests inject. It knows nothing of
//! what the store keeps in it.

pub mod dir;
pub mod disk;
pub mod faults;
mod files;
pub mod head_file;
mod leaving_store;
mod log;
mod open_copy;
mod pieces;
mod start;
#[cfg(test)]
mod tests;

pub use faults::Faults;
pub use leaving_store::LeavingDirStore;
pub use log::SledLog;
pub use open_copy::check_store;
pub use start::{NewStore, open};
