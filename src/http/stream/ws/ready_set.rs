//! The set of sockets that are ready, for a hub with thousands of them: each has a waker of its own, and the hub visits
//! only the sockets that were woken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The subscribers whose sockets became ready since the hub last took them.
#[derive(Debug, Default)]
pub struct ReadySet {
    /// The keys of the subscribers; one may be there twice.
    ready: Mutex<Vec<u32>>,
    /// Wakes the hub. A permit is stored while it does not wait, so no wake-up is missed.
    hub: Notify,
}

impl ReadySet {
    /// Returns the waker for one subscriber. The reactor wakes it when the socket is readable or writable again.
    pub fn waker(self: &Arc<Self>, key: u32) -> Waker {
        Waker::from(Arc::new(SubscriberWaker { ready_set: self.clone(), key }))
    }

    /// Moves the keys of the ready subscribers into `into`, which must be empty.
    pub fn take(&self, into: &mut Vec<u32>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    /// Resolves when a socket has become ready.
    pub fn notified(&self) -> Notified<'_> {
        self.hub.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds its subscriber to the set when the socket is ready.
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
