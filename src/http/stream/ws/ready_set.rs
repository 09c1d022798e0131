//! How thousands of sockets wake one hub: each rings a bell of its own, and the hub looks only at those
//! that rang.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Which seats have rung since the hub last looked.
#[derive(Debug, Default)]
pub struct Bells {
    rung: Mutex<Vec<u32>>,
    /// Wakes the hub; a permit stays, so no ring is missed.
    hub: Notify,
}

impl Bells {
    /// The bell of one seat. The reactor rings it when the socket can be read or written again.
    pub fn of(self: &Arc<Self>, seat: u32) -> Waker {
        Waker::from(Arc::new(Bell { bells: self.clone(), seat }))
    }

    /// Takes the seats that rang, some perhaps twice. `into` must be empty.
    pub fn take(&self, into: &mut Vec<u32>) {
        std::mem::swap(&mut *self.lock(), into);
    }

    /// Resolves when a bell has rung.
    pub fn any(&self) -> Notified<'_> {
        self.hub.notified()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Bell {
    bells: Arc<Bells>,
    seat: u32,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let is_first = {
            let mut rung = self.bells.lock();
            rung.push(self.seat);
            rung.len() == 1
        };
        if is_first {
            self.bells.hub.notify_one();
        }
    }
}
