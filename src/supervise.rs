//! Watches every thread and loop of the server. A thread or loop that panics or ends on its own is a failure, and the
//! server stops in order. [`Part`] is the list of all threads and loops.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

mod kill;
mod part;

pub use kill::{VARIABLE, fault_request, is_kill_request, pass};
pub use part::Part;

/// How long a loop that ended on its own waits for the failure that may have caused its end.
const CAUSE_DELAY: Duration = Duration::from_secs(1);

/// A thread or loop that has failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFailure {
    /// The thread or loop.
    pub part: Part,
    /// How it ended.
    pub why: String,
}

impl fmt::Display for PartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} failed: {}", self.part, self.why)
    }
}

/// Records the first failure and notifies those who wait for one. Clones are cheap and share the record.
#[derive(Debug, Clone, Default)]
pub struct PartFailures {
    first: Arc<OnceLock<PartFailure>>,
    happened: CancellationToken,
    /// The failures of the layer below, which cause failures here.
    below: Arc<OnceLock<PartFailures>>,
}

impl PartFailures {
    /// Resolves when something has failed.
    pub async fn first(&self) -> PartFailure {
        loop {
            self.happened.cancelled().await;
            if let Some(failure) = self.get() {
                return failure.clone();
            }
        }
    }

    /// The failure, if there was one.
    pub fn get(&self) -> Option<&PartFailure> {
        self.below.get().and_then(PartFailures::get).or(self.first.get())
    }

    /// Treats the failures of the layer below as causes of its own, and reports them until `over` resolves. Called once.
    pub fn follow<O: Future<Output = ()>>(
        &self,
        below: PartFailures,
        over: O,
    ) -> impl Future<Output = ()> + use<O> {
        let _only = self.below.set(below.clone());
        let happened = self.happened.clone();
        async move {
            tokio::select! {
                _ = below.first() => happened.cancel(),
                () = over => {}
            }
        }
    }

    /// Waits briefly for a failure of the layer below: a thread drops what it holds before it can report its failure,
    /// so loops that depend on it end first.
    async fn cause(&self) {
        if let Some(below) = self.below.get() {
            // Without one, the loop ended for a reason of its own.
            let _ = timeout(CAUSE_DELAY, below.first()).await;
        }
    }

    /// Logs a failure and notifies those who wait for one.
    pub fn report(&self, failure: PartFailure) {
        if self.get().is_none() {
            error!("{failure}");
        } else {
            // It follows from the first failure, or from the stop.
            warn!("{failure}");
        }
        self.record(failure);
    }

    /// Notifies those who wait for a failure that was logged already.
    pub fn record(&self, failure: PartFailure) {
        // Only the first failure is kept.
        let _ = self.first.set(failure);
        self.happened.cancel();
    }

    fn panicked(&self, part: Part, panic: &(dyn Any + Send)) {
        let why = format!("it panicked: {}", panic_text(panic));
        self.report(PartFailure { part, why });
    }

    /// Runs a loop that must not end before `may_end` is cancelled.
    pub fn supervise<F: Future<Output = ()> + Send + 'static>(
        &self,
        part: Part,
        may_end: &CancellationToken,
        body: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let (failures, may_end) = (self.clone(), may_end.clone());
        async move {
            match AssertUnwindSafe(body).catch_unwind().await {
                Err(panic) => failures.panicked(part, &*panic),
                Ok(()) if !may_end.is_cancelled() => {
                    failures.cause().await;
                    failures.report(PartFailure { part, why: "it ended by itself".to_owned() });
                }
                Ok(()) => {}
            }
        }
    }

    /// Runs a task that may end at any time but must not panic. Returns whether it did not.
    pub async fn guard(self, part: Part, body: impl Future<Output = ()> + Send) -> bool {
        let end = AssertUnwindSafe(body).catch_unwind().await;
        if let Err(panic) = &end {
            self.panicked(part, &**panic);
        }
        end.is_ok()
    }

    /// Runs a function that must not panic. Returns whether it did not.
    pub fn run(&self, part: Part, body: impl FnOnce()) -> bool {
        let end = catch_unwind(AssertUnwindSafe(body));
        if let Err(panic) = &end {
            self.panicked(part, &**panic);
        }
        end.is_ok()
    }

    /// Starts a thread that may end at any time but must not panic. It is named after its part.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn thread(
        &self,
        part: Part,
        body: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let failures = self.clone();
        let name = format!("cortado-{}", part.name());
        std::thread::Builder::new().name(name).spawn(move || {
            failures.run(part, body);
        })
    }
}

/// The message of a panic.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the panic has no text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_loop_that_panics_or_ends_by_itself_is_a_failure_and_one_that_may_end_is_none() {
        let may_end = CancellationToken::new();
        let failures = PartFailures::default();
        failures.supervise(Part::Timer, &may_end, async {}).await;
        let failure = failures.first().await;
        assert_eq!(failure.to_string(), "the timer failed: it ended by itself");

        let failures = PartFailures::default();
        failures.supervise(Part::Timer, &may_end, async { panic!("oh") }).await;
        assert_eq!(failures.first().await.why, "it panicked: oh");

        let failures = PartFailures::default();
        may_end.cancel();
        failures.supervise(Part::Timer, &may_end, async {}).await;
        assert!(failures.clone().guard(Part::Executor, async {}).await);
        assert_eq!(failures.get(), None);
        assert!(!failures.clone().guard(Part::Executor, async { panic!("oh") }).await);
        assert_eq!(failures.get().unwrap().to_string(), "the executor failed: it panicked: oh");
    }

    #[tokio::test]
    async fn a_failure_of_the_layer_below_is_the_cause_of_what_fails_above() {
        let (above, below) = (PartFailures::default(), PartFailures::default());
        let follow = above.follow(below.clone(), std::future::pending());
        // The loop that depends on the failed thread ends first.
        let timer = above.supervise(Part::Timer, &CancellationToken::new(), async {});
        let failing = async {
            tokio::join!(timer, async { below.run(Part::Committer, || panic!("oh")) });
            above.first().await
        };
        let (_, first) = tokio::join!(follow, failing);
        assert_eq!(first.part, Part::Committer);
        assert_eq!(above.get(), below.get());
    }

    #[test]
    fn a_thread_that_panics_is_a_failure_and_one_that_ends_is_none() {
        let failures = PartFailures::default();
        failures.thread(Part::Archiver, || {}).unwrap().join().unwrap();
        assert_eq!(failures.get(), None);
        failures.thread(Part::Archiver, || panic!("oh")).unwrap().join().unwrap();
        assert_eq!(failures.get().unwrap().to_string(), "the archiver failed: it panicked: oh");
    }
}
