//! Bounds how many passwords are hashed at once.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// How many passwords are hashed at once. Each takes a core and 19 MiB for about 20 ms.
const MAX_HASHING: usize = 2;

/// Bounds how many passwords are hashed at once; the others wait.
pub(super) struct HashPermits(Arc<Semaphore>);

impl Default for HashPermits {
    fn default() -> Self {
        HashPermits(Arc::new(Semaphore::new(MAX_HASHING)))
    }
}

impl HashPermits {
    /// Hashes on a thread that may block. `None` when the runtime stops.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.0.clone().acquire_owned().await.ok()?;
        // The hash continues when the caller is gone meanwhile, so it holds the permit itself.
        let hashed = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            hash()
        });
        hashed.await.ok()
    }
}
