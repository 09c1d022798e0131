//! The log on sled: its files, its locks and its faults.

pub mod dir_lock;
pub mod disk;
pub mod durable;
pub mod faults;
pub mod head_file;
pub mod identity;
pub mod open_copy;
pub mod ops;
pub mod sled_files;
pub mod staging;
