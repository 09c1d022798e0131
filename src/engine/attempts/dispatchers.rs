//! Starts a dispatcher for every queue: those of the configuration, those in the store, and new ones with their
//! first job.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dispatcher::Dispatcher;
use crate::engine::queues::known::KnownQueues;
use crate::engine::workers::waiting_claims::WaitingClaims;
use crate::job::QueueName;
use crate::shutdown::Shutdown;
use crate::supervise::Part;

/// The dispatchers of all queues.
pub struct Dispatchers {
    /// The template of all dispatchers.
    pub dispatcher: Dispatcher,
    /// The claims of remote workers, one of which for each interest is woken with its queue.
    pub waiting: Arc<WaitingClaims>,
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
        // The store has one waiter for each queue. Both parts are in one task, so the dispatcher is woken without a detour.
        let wake = Arc::new(Notify::new());
        let pass_on = pass_on(
            self.dispatcher.store.wake(queue),
            queue.clone(),
            wake.clone(),
            self.waiting.clone(),
            draining.clone(),
        );
        let dispatcher = self.dispatcher.clone().run(queue.clone(), key, wake);
        let body = async { ((), ()) = tokio::join!(dispatcher, pass_on) };
        let body = self.shutdown.failures.supervise(Part::Dispatcher, draining, body);
        self.shutdown.tasks.spawn(self.tracker.track_future(body));
    }
}

/// Passes the wake-ups of a queue on: to its dispatcher, and to the remote workers that wait for its jobs.
async fn pass_on(
    woken: Arc<Notify>,
    queue: QueueName,
    dispatcher: Arc<Notify>,
    waiting: Arc<WaitingClaims>,
    draining: CancellationToken,
) {
    loop {
        waiting.wake(&queue);
        tokio::select! {
            () = woken.notified() => {}
            () = draining.cancelled() => return,
        }
        dispatcher.notify_one();
    }
}
