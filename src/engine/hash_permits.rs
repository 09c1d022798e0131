//! Bounds how many passwords are hashed at once, and how many wait to be checked: however many people log in, requests with
//! other credentials are served as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(test)]
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::access::PasswordHash;
use crate::job::Secret;

/// How many passwords are hashed at once. Each takes a core and 19 MiB for about 20 ms.
const MAX_HASHING: usize = 2;
/// The most passwords that are being checked or wait for it.
const MAX_CHECKS: usize = 64;

/// Hashes new passwords and checks given ones on threads that may block.
pub(super) struct HashPermits {
    running: Arc<Semaphore>,
    checks: Arc<Semaphore>,
    checked: AtomicU64,
}

/// Too many passwords are being checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBusy;

impl Default for HashPermits {
    fn default() -> Self {
        HashPermits {
            running: Arc::new(Semaphore::new(MAX_HASHING)),
            checks: Arc::new(Semaphore::new(MAX_CHECKS)),
            checked: AtomicU64::new(0),
        }
    }
}

impl HashPermits {
    /// Hashes when it is its turn. `None` when the runtime stops.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.running.clone().acquire_owned().await.ok()?;
        // The hash continues when the caller is gone meanwhile, so it holds the permit itself.
        let hashed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash()
        });
        match hashed.await {
            Ok(hashed) => Some(hashed),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => None,
            },
        }
    }

    /// Checks a password when it is its turn. Without a hash the answer is no, after the same work.
    ///
    /// # Errors
    /// Too many others are being checked, or the runtime stops.
    pub(super) async fn verify(
        &self,
        known: Option<PasswordHash>,
        password: Secret,
    ) -> Result<bool, TooBusy> {
        let known = known.unwrap_or_else(PasswordHash::of_nobody);
        let check = self.checks.clone().try_acquire_owned().map_err(|_| TooBusy)?;
        self.checked.fetch_add(1, Ordering::Relaxed);
        let verify = move || {
            let _check = check;
            known.verify(&password)
        };
        self.run(verify).await.ok_or(TooBusy)
    }

    #[cfg(test)]
    pub(super) async fn hold(&self) -> Option<OwnedSemaphorePermit> {
        let all = u32::try_from(MAX_HASHING).unwrap_or_default();
        self.running.clone().acquire_many_owned(all).await.ok()
    }

    /// The number of passwords that were checked.
    #[cfg(test)]
    pub(super) fn checked(&self) -> u64 {
        self.checked.load(Ordering::Relaxed)
    }
}
