//! The integration tests, in one binary: the real server as a child process, real clients, and real signals.
//! `cargo test --test it NAME` runs some of them.

mod access_log;
mod bench;
mod clock;
mod complexity;
mod concurrency;
mod crash;
mod data_dir;
mod documents;
mod embedded;
mod examples;
mod faults;
mod files;
mod hostile;
mod input;
mod large_reads;
mod logging;
mod orphans;
mod permissions;
mod powercut;
mod prerequisites;
mod proxied;
mod rates;
mod routes;
mod schemas;
mod searches;
mod shutdown;
mod slow_clients;
mod storm;
mod stream;
mod supervision;
mod support;
mod tidy;
mod transports;
mod waiters;
