//! The stop: two tokens that say how urgent it is, and a tracker that knows who is still at work.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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
}
