//! How thousands of sockets wake one hub: each rings a waker of its own, and the hub looks only at those
//! that rang.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Which subscribers have ready since the hub last looked.
#[derive(Debug, Default)]
pub struct ReadySet {
    ready: Mutex<Vec<u32>>,
    /// Wakes the hub; a permit stays, so no ring is missed.
    hub: Notify,
}

impl ReadySet {
    /// The waker of one key. The reactor rings it when the socket can be read or written again.
    pub fn waker(self: &Arc<Self>, key: u32) -> Waker {
        Waker::from(Arc::new(SubscriberWaker { ready_set: self.clone(), key }))
    }

    /// Takes the subscribers that rang, some perhaps twice. `into` must be empty.
    pub fn take(&self, into: &mut Vec<u32>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    /// Resolves when a waker has ready.
    pub fn notified(&self) -> Notified<'_> {
        self.hub.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct SubscriberWaker {
    ready_set: Arc<ReadySet>,
    key: u32,
}

impl Wake for SubscriberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_first = {
            let mut ready = self.ready_set.lock();
            ready.push(self.key);
            ready.len() == 1
        };
        if is_first {
            self.ready_set.hub.notify_one();
        }
    }
}
