//! Starts a dispatcher for every queue: those configured, those the store knows, and each new one from its first
//! job.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::dispatcher::Dispatcher;
use crate::engine::queues::known::KnownQueues;
use crate::job::QueueName;
use crate::shutdown::Shutdown;
use crate::supervise::Part;

/// The dispatchers of all queues.
pub struct Dispatchers {
    /// What each dispatcher is made from.
    pub dispatcher: Dispatcher,
    pub queues: Arc<KnownQueues>,
    pub shutdown: Shutdown,
    /// Lets the stop wait for the last claim.
    pub tracker: TaskTracker,
}

impl Dispatchers {
    /// Sees to it that each queue has a dispatcher.
    pub fn ensure<'a>(&self, queues: impl IntoIterator<Item = &'a QueueName>) {
        let mut last = None;
        for queue in queues {
            // A batch is mostly of one queue.
            if last.replace(queue) != Some(queue) && !self.queues.knows(queue) {
                self.start(queue);
            }
        }
    }

    fn start(&self, queue: &QueueName) {
        let draining = &self.shutdown.draining;
        if draining.is_cancelled() {
            return; // the job waits for the next start
        }
        let Some(key) = self.queues.add(queue) else { return };
        let body = self.dispatcher.clone().run(queue.clone(), key);
        let body = self.shutdown.failures.supervise(Part::Dispatcher, draining, body);
        self.shutdown.tasks.spawn(self.tracker.track_future(body));
    }
}
