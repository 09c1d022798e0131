//! The stop: two tokens that say how urgent it is, trackers that know who is still at work, a bound for
//! each step, and the report. The sequence itself is `Engine::stop`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::supervise::Failures;

/// Passed down to everything that runs; never static. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take nothing new; finish what is under way.
    pub draining: CancellationToken,
    /// The grace is over: end now, give back what is not done.
    pub abort: CancellationToken,
    /// Attempts that run.
    pub attempts: TaskTracker,
    /// The engine's loops and the server's own tasks.
    pub tasks: TaskTracker,
    /// Open connections and their sockets.
    pub connections: TaskTracker,
    /// Where a loop or thread that is gone is told of: the server stops then.
    pub failures: Failures,
}

/// How long each step of the stop may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopBounds {
    /// Requests in flight, beside the attempts.
    pub requests: Duration,
    /// Running attempts, before they are told to end.
    pub grace: Duration,
    /// The store, to answer the last claims and to take the ends of the last attempts.
    pub settle: Duration,
    /// The loops to end and the last events to go out, each.
    pub stream: Duration,
    /// Sockets: `bye` and close frame sent and the peer's close read; other streams: their last bytes.
    pub connections: Duration,
    /// Flush and sync of the store.
    pub close: Duration,
}

impl Default for StopBounds {
    /// A grace of 25 s: below the 30 s that Docker and Kubernetes give by default.
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

/// What the stop did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopReport {
    /// Attempts that came to an end of their own during the stop.
    pub finished: u64,
    /// Attempts cut off and given back, uncharged.
    pub interrupted: u64,
    /// Attempts that did not end; nothing was reported of them.
    pub stuck: usize,
    /// Attempts that ended but that the store did not take in time.
    pub unsettled: usize,
    /// Connections that were cut off.
    pub open_connections: usize,
    /// From the beginning to the store's close.
    pub duration: Duration,
    /// Whether nothing was left behind: exit code 0. An interrupted attempt is given back in order and
    /// a connection that does not close is its peer's affair: neither makes a stop unclean.
    pub clean: bool,
}

impl StopReport {
    /// One line for the operator.
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
