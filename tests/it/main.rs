//! The integration tests, one binary: the real server as a child process, real clients, real signals.
//! `cargo test --test it NAME` runs some of them.

mod support;

mod bench;
mod calm;
mod crash;
mod doors;
mod embedded;
mod examples;
mod faults;
mod files;
mod hostile;
mod prerequisites;
mod rates;
mod shutdown;
mod storm;
mod stream;
mod tidy;
mod waiters;
