//! Checks passwords, which takes tens of milliseconds and megabytes each. It runs on blocking threads, few at once, and only
//! so many wait: however many people log in, requests with other credentials are served as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::access::PasswordHash;
use crate::http::Problem;
use crate::job::Secret;

/// The passwords that are checked at once.
const AT_ONCE: usize = 2;
/// The passwords that are being checked or wait for it.
const MAX_WAITING: usize = 64;

/// Checks passwords, and counts the checks.
#[derive(Debug)]
pub struct PasswordChecks {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    checked: AtomicU64,
}

/// Too many passwords are being checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBusy;

impl Default for PasswordChecks {
    fn default() -> Self {
        PasswordChecks {
            running: Arc::new(Semaphore::new(AT_ONCE)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            checked: AtomicU64::new(0),
        }
    }
}

impl PasswordChecks {
    /// Checks a password against the hash of a user. Without a hash, because there is no such user, the answer is no,
    /// after the same work.
    ///
    /// # Errors
    /// Too many others are being checked.
    pub async fn verify(
        &self,
        known: Option<PasswordHash>,
        password: Secret,
    ) -> Result<bool, TooBusy> {
        let known = known.unwrap_or_else(PasswordHash::of_nobody);
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| TooBusy)?;
        let running = self.running.clone().acquire_owned().await.map_err(|_| TooBusy)?;
        self.checked.fetch_add(1, Ordering::Relaxed);
        // The permits belong to the work: it continues when the request is dropped meanwhile.
        let done = spawn_blocking(move || {
            let _permits = (waiting, running);
            known.verify(&password)
        });
        done.await.map_err(|_| TooBusy)
    }

    /// The number of passwords that were checked.
    #[cfg(test)]
    pub fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }
}

impl From<TooBusy> for Problem {
    fn from(_: TooBusy) -> Problem {
        let detail = "too many passwords are being checked";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
    }
}
