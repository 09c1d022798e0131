//! The thread that drives the connections: the log is called on plain threads, and by callers that may be on a runtime
//! of their own, which must not wait for the network.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc as std_mpsc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::{
    UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel,
};

use crate::store::StoreError;
use crate::supervise::{Part, PartFailures, pass};

/// Something that the thread runs to its end.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The handle of the thread. The thread ends when the last handle is dropped, and everything that it runs is dropped
/// with it.
pub struct Driver(UnboundedSender<Work>);

/// A handle that does not keep the thread alive, for what the thread itself runs.
#[derive(Clone)]
pub struct WeakDriver(WeakUnboundedSender<Work>);

impl Driver {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start() -> Result<Driver, StoreError> {
        let cannot = |error| StoreError::Unavailable(format!("cannot start a thread: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(cannot)?;
        let (send, work) = unbounded_channel();
        // A panic ends the thread. Every call then fails, and the log is opened again, with another thread.
        let failures = PartFailures::default();
        let run = move || runtime.block_on(run_all(work));
        failures.thread(Part::LogConnections, run).map_err(cannot)?;
        Ok(Driver(send))
    }

    /// A handle for what the thread runs.
    pub fn downgrade(&self) -> WeakDriver {
        WeakDriver(self.0.downgrade())
    }

    /// Runs something on the thread and waits for its result.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn wait_for<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, result) = std_mpsc::sync_channel(1);
        self.begin(async move {
            // The caller waits, so the channel is open and has room.
            let _ = reply.send(work.await);
        });
        let ended = |_| StoreError::Unavailable("the thread of the connections has ended".into());
        result.recv().map_err(ended)?
    }

    /// Runs something on the thread.
    pub fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        // When the thread has ended, the work is dropped, and so are the channels in it.
        let _ = self.0.send(Box::pin(work));
    }
}

impl WeakDriver {
    /// Runs something on the thread, unless it is ending.
    pub fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(driver) = self.0.upgrade() {
            Driver(driver).begin(work);
        }
    }
}

async fn run_all(mut arriving: UnboundedReceiver<Work>) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            work = arriving.recv() => match work {
                Some(work) => running.push(work),
                None => return,
            },
            Some(()) = running.next(), if !running.is_empty() => {}
        }
        pass(Part::LogConnections);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_fails_every_later_call_and_blocks_none() {
        let driver = Driver::start().unwrap();
        assert_eq!(driver.wait_for(async { Ok(1) }), Ok(1));
        let failed = driver.wait_for::<()>(async { panic!("oh") });
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
        let failed = driver.wait_for(async { Ok(1) });
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    }

    #[tokio::test]
    async fn a_caller_on_a_runtime_can_wait_and_the_thread_ends_with_the_last_handle() {
        let driver = Driver::start().unwrap();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        driver.begin(async move {
            let _held = held;
            std::future::pending().await
        });
        assert_eq!(driver.wait_for(async { Ok(1) }), Ok(1));
        drop(driver);
        assert!(dropped.await.is_err());
    }
}
