//! Bounds how many passwords are hashed at once.

use tokio::sync::Semaphore;

/// How many passwords are hashed at once. Each takes a core and 19 MiB for about 20 ms.
const MAX_HASHING: usize = 2;

/// Bounds how many passwords are hashed at once; the others wait.
pub struct HashPermits(Semaphore);

impl Default for HashPermits {
    fn default() -> Self {
        HashPermits(Semaphore::new(MAX_HASHING))
    }
}

impl HashPermits {
    /// Hashes on a thread that may block. `None` when the runtime stops.
    pub async fn run<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _permit = self.0.acquire().await.ok()?;
        tokio::task::spawn_blocking(hash).await.ok()
    }
}
