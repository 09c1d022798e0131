//! The parts of a stop that all layers share: tokens, trackers of running tasks, a time limit for each step, and the
//! report. `Engine::stop` runs the steps.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::supervise::PartFailures;

/// The state of the stop, passed down to everything that runs. Clones are cheap and share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Cancelled when the stop begins: nothing new is started.
    pub draining: CancellationToken,
    /// Cancelled when the grace period is over: attempts end now and are given back.
    pub abort: CancellationToken,
    /// Tracks running attempts.
    pub attempts: TaskTracker,
    /// Tracks the engine's loops and the server's own tasks.
    pub tasks: TaskTracker,
    /// Tracks open connections and their sockets.
    pub connections: TaskTracker,
    /// Records failed threads and loops; the first failure stops the server.
    pub failures: PartFailures,
}

/// The time limits of the steps of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBounds {
    /// For requests in flight. The stop waits for them and for the attempts at the same time.
    pub requests: Duration,
    /// The grace period of running attempts, after which they are asked to end.
    pub grace: Duration,
    /// For the store to answer the last claims and to settle the last attempts.
    pub settle: Duration,
    /// For the loops to end, and again for the last events to be sent.
    pub stream: Duration,
    /// For sockets to send `bye` and to close, and for other streams to send their last bytes.
    pub connections: Duration,
    /// For the store to flush and close.
    pub close: Duration,
}

impl Default for StopBounds {
    /// The grace period of 25 s is shorter than the 30 s that Docker and Kubernetes allow by default.
    fn default() -> Self {
        StopBounds {
            requests: Duration::from_secs(25),
            grace: Duration::from_secs(25),
            settle: Duration::from_secs(2),
            stream: Duration::from_secs(2),
            connections: Duration::from_millis(2_250),
            close: Duration::from_secs(10),
        }
    }
}

/// The report of a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StopReport {
    /// Attempts that ended on their own during the stop.
    pub finished: u64,
    /// Attempts that were interrupted and given back without being charged.
    pub interrupted: u64,
    /// Attempts that did not end; nothing was stored about them.
    pub stuck: usize,
    /// Attempts that ended, but whose end the store did not accept in time.
    pub unsettled: usize,
    /// Connections that were dropped because they did not close in time.
    pub open_connections: usize,
    /// The duration of the whole stop.
    pub duration: Duration,
    /// Whether nothing was left behind, which is exit code 0. Interrupted attempts were given back, and a
    /// connection that does not close is the fault of its peer, so neither of them makes a stop unclean.
    pub clean: bool,
}

impl StopReport {
    /// Logs the report as one line.
    pub(crate) fn log(&self) {
        let StopReport { finished, interrupted, stuck, unsettled, open_connections, .. } = *self;
        let duration_ms = self.duration.as_millis() as u64;
        if self.clean {
            info!(finished, interrupted, open_connections, duration_ms, "stopped");
        } else {
            warn!(
                finished,
                interrupted,
                stuck,
                unsettled,
                open_connections,
                duration_ms,
                "stopped, but not cleanly"
            );
        }
    }
}
