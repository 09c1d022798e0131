//! What an executor reports to the settler: notes while its attempt runs, and its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::leases::Running;
use crate::engine::AttemptContext;
use crate::engine::queues::slots::Slot;
use crate::job::Verdict;

/// A report of an executor. Each running attempt has at most two in flight, so the channel needs no bound.
pub enum AttemptReport {
    /// The handler logged lines or reported progress; the context holds them.
    Notes(Arc<Running>, AttemptContext),
    /// The attempt is over.
    Ended(Ended),
}

/// An attempt that is over but not yet settled.
pub struct Ended {
    pub running: Arc<Running>,
    /// Holds the last notes; `None` when no handler ran.
    pub context: Option<AttemptContext>,
    pub verdict: Verdict,
    /// Held until the end was submitted to the store. The next claim comes behind it, so that a queue never shows more
    /// running jobs than its limit.
    pub slot: Option<Slot>,
    /// How long the executor had it.
    pub ran_for: Duration,
}

/// The executor's end of the channel to the settler.
#[derive(Clone)]
pub struct Reports(mpsc::UnboundedSender<AttemptReport>);

impl Reports {
    /// A channel, and the receiver for the settler.
    pub fn channel() -> (Reports, mpsc::UnboundedReceiver<AttemptReport>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Reports(sender), receiver)
    }

    pub fn send(&self, report: AttemptReport) {
        // An error means that the settler has ended, which it does last. The lease of the attempt then expires.
        let _ = self.0.send(report);
    }
}
