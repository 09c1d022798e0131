//! The settings: one command line and one TOML file, merged (flag or environment, then file, then
//! default), validated, and split into the parts that each layer is given.

pub mod args;
pub mod units;

pub use args::{Cli, ClientArgs, Command, LogFormat, ServeArgs, SubmitArgs, WatchArgs};
