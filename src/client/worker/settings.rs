//! The settings of a worker, checked.

use std::time::Duration;

use super::messages::AboutWorker;
use crate::client::backoff::RandomBackoff;
use crate::client::submit::{millis, random_key};

/// What a worker tells the server, and its times.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    pub name: String,
    pub queues: Vec<String>,
    pub kinds: Vec<String>,
    pub lease: Duration,
    pub about: AboutWorker,
    /// The delays before the next connection.
    pub reconnect: RandomBackoff,
    /// The same while the server refuses the token.
    pub reconnect_refused: RandomBackoff,
}

impl WorkerSettings {
    pub fn lease_ms(&self) -> u64 {
        millis(self.lease)
    }

    /// The path of the worker, whose name has only characters that need no escape.
    pub fn path(&self) -> String {
        format!("/api/v1/workers/{}", self.name)
    }

    pub fn socket_path(&self) -> String {
        format!("{}/ws", self.path())
    }

    pub fn claim_path(&self) -> String {
        format!("{}/claim", self.path())
    }
}

/// The longest name of a worker.
const MAX_NAME: usize = 100;

/// Whether the name of a worker is valid.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._:@-".contains(c);
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_allowed)
}

/// Reads the host name.
pub fn host() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = read.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let name: String = name.trim().chars().take(64).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// A name that no other worker has: the host name, the process id and a random part.
pub fn default_name() -> String {
    let host = host().replace(|c: char| !is_name(c.encode_utf8(&mut [0; 4])), "-");
    let random: String = random_key().chars().take(6).collect();
    format!("{host}:{}:{random}", std::process::id())
}
