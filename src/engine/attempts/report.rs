//! What an executor reports to the settler while its attempt runs, and when it is over.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::leases::Running;
use crate::engine::Context;
use crate::engine::queues::slots::Slot;
use crate::job::Verdict;

/// From an executor. At most two of each running attempt are under way, so the channel needs no bound.
pub enum Report {
    /// The handler said something: it waits in the context.
    Notes(Arc<Running>, Context),
    /// The attempt is over.
    Ended(Ended),
}

/// An attempt that is over but not yet settled.
pub struct Ended {
    pub running: Arc<Running>,
    /// Where the last notes wait; `None` when no handler ran.
    pub context: Option<Context>,
    pub verdict: Verdict,
    /// Held until the store knows, so that a queue never shows more running jobs than it may have.
    pub slot: Slot,
}

/// The executors' end of the channel to the settler.
#[derive(Clone)]
pub struct Reports(mpsc::UnboundedSender<Report>);

impl Reports {
    /// A channel, with the end that the settler reads.
    pub fn channel() -> (Reports, mpsc::UnboundedReceiver<Report>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Reports(sender), receiver)
    }

    pub fn send(&self, report: Report) {
        // The settler ends last of all loops; after it the lease runs out, which is logged there.
        let _ = self.0.send(report);
    }
}
