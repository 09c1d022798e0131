//! Starts a dispatcher for every queue: those of the configuration, those in the store, and new ones with their
//! first job.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::dispatcher::Dispatcher;
use crate::engine::queues::known::KnownQueues;
use crate::job::QueueName;
use crate::shutdown::Shutdown;
use crate::supervise::Part;

/// The dispatchers of all queues.
pub struct Dispatchers {
    /// The template of all dispatchers.
    pub dispatcher: Dispatcher,
    pub queues: Arc<KnownQueues>,
    pub shutdown: Shutdown,
    /// Tracks the dispatchers, so that the stop can wait for the last claim.
    pub tracker: TaskTracker,
}

impl Dispatchers {
    /// Makes sure that each queue has a dispatcher.
    pub fn ensure<'a>(&self, queues: impl IntoIterator<Item = &'a QueueName>) {
        let mut last = None;
        for queue in queues {
            // Most batches are for one queue.
            if last.replace(queue) != Some(queue) && !self.queues.knows(queue) {
                self.start(queue);
            }
        }
    }

    fn start(&self, queue: &QueueName) {
        let draining = &self.shutdown.draining;
        if draining.is_cancelled() {
            return; // the jobs wait for the next start of the server
        }
        let Some(key) = self.queues.add(queue) else { return };
        let body = self.dispatcher.clone().run(queue.clone(), key);
        let body = self.shutdown.failures.supervise(Part::Dispatcher, draining, body);
        self.shutdown.tasks.spawn(self.tracker.track_future(body));
    }
}
