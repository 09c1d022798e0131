//! What the server has to tell a worker on a WebSocket: the engine puts it here, and the task of the socket takes it out.
//! Its size is bounded by the leases of the worker, because each of them is cancelled and lost at most once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hello::WorkerCommand;
use super::waiting_claims::Signal;
use crate::store::LeaseRef;

/// A message to a worker that it has not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// The job of a lease is to be cancelled.
    Cancel(LeaseRef),
    /// A lease is lost.
    Lost(LeaseRef),
    /// Somebody tells the worker what to do.
    Command(WorkerCommand),
    /// Another connection has come with its name.
    Replaced,
}

/// The messages to one worker, and the signal that wakes the task of its socket.
#[derive(Debug, Default)]
pub struct Mailbox {
    pushes: Mutex<Vec<Push>>,
    /// Also wakes the task when it is its turn to claim.
    pub signal: std::sync::Arc<Signal>,
}

impl Mailbox {
    /// Puts a message in.
    pub fn put(&self, push: Push) {
        self.lock().push(push);
        self.signal.notify();
    }

    /// Takes all messages out, in their order.
    pub fn take(&self) -> Vec<Push> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Push>> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
