//! The stages of the stop: which tasks it waits for, and the tokens that end them one after the other.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tokens and trackers of the engine's own stop; those that it shares with the server are in
/// [`Shutdown`](crate::shutdown::Shutdown). Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    /// Dispatchers and the queue discovery, so that the stop can wait for the last claim.
    pub claiming: TaskTracker,
    /// No attempt will run any more: releases requests that wait for a job's end.
    pub attempts_over: CancellationToken,
    /// Heartbeat, settler, timer and bulk runs: they outlive the attempts.
    pub loops: TaskTracker,
    /// Ends `loops`.
    pub end_loops: CancellationToken,
    /// The event pump: it outlives everything that makes events.
    pub pump: TaskTracker,
    /// The store gets no more events: the pump sends the rest and ends.
    pub no_more_events: CancellationToken,
}
