//! Watches the engine's loops: one that ends by itself, or panics, is a failure that the server must
//! stop for. It never falls silent.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::Inner;
use super::executor::panic_text;

/// A loop that is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopFailure {
    /// Which one.
    pub name: &'static str,
    /// How it ended.
    pub why: String,
}

impl fmt::Display for LoopFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the engine's {} loop failed: {}", self.name, self.why)
    }
}

/// The first failure, and who waits for one.
#[derive(Default)]
pub(super) struct Failures {
    first: OnceLock<LoopFailure>,
    happened: CancellationToken,
}

impl Failures {
    /// Resolves when a loop has failed.
    pub(super) async fn first(&self) -> LoopFailure {
        loop {
            self.happened.cancelled().await;
            if let Some(failure) = self.first.get() {
                return failure.clone();
            }
        }
    }

    /// The failure, if there was one.
    pub(super) fn get(&self) -> Option<&LoopFailure> {
        self.first.get()
    }

    fn report(&self, failure: LoopFailure) {
        error!("{failure}");
        // A second failure is a consequence of the first, or of the stop that follows it.
        let _ = self.first.set(failure);
        self.happened.cancel();
    }
}

impl Inner {
    /// Runs a loop that may end only once `may_end` is cancelled.
    pub(super) fn supervise(
        self: &Arc<Self>,
        name: &'static str,
        may_end: &CancellationToken,
        body: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (inner, may_end) = (self.clone(), may_end.clone());
        async move {
            let end = AssertUnwindSafe(body).catch_unwind().await;
            let why = match end {
                Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
                Ok(()) if !may_end.is_cancelled() => "it ended by itself".to_owned(),
                Ok(()) => return,
            };
            inner.failures.report(LoopFailure { name, why });
        }
    }
}
