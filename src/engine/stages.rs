//! The stages of the start and of the stop: the tasks that the stop waits for, and the tokens that end them one after the
//! other.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tokens and trackers of the engine's own start and stop; those that it shares with the server are in
/// [`Shutdown`](crate::shutdown::Shutdown). Clones are cheap and refer to the same tokens and trackers.
#[derive(Debug, Clone, Default)]
pub struct Stages {
    /// Cancelled when the store was asked once to store the schedules of the configuration.
    pub schedules_tried: CancellationToken,
    /// Tracks the dispatchers and the queue discovery, so that the stop can wait for the last claim.
    pub claiming: TaskTracker,
    /// Cancelled when no attempt will run any more: ends requests that wait for a job.
    pub attempts_over: CancellationToken,
    /// Tracks the heartbeat, the settler, the timer and bulk runs, which outlive the attempts.
    pub loops: TaskTracker,
    /// Ends the tasks on `loops`.
    pub end_loops: CancellationToken,
    /// Tracks the event pump and the history keeper, which outlive everything that makes events.
    pub pump: TaskTracker,
    /// Cancelled when the store gets no more events: the pump sends the rest and ends.
    pub no_more_events: CancellationToken,
}
