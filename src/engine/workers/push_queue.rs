//! The queue of messages for a worker on a WebSocket: the engine adds them, and the task of the socket sends them.
//! Those about leases are bounded by the leases of the worker, because each of them is cancelled and lost at most once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::registration::WorkerCommand;
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
    /// Another connection was opened under its name.
    Replaced,
    /// It was signed off.
    SignedOff,
    /// It can get jobs again: it could not be signed off.
    NotSignedOff,
}

/// The messages to one worker, and the signal that wakes the task of its socket.
#[derive(Debug, Default)]
pub struct PushQueue {
    pushes: Mutex<Vec<Push>>,
    /// Also wakes the task when it should claim.
    pub signal: std::sync::Arc<Signal>,
}

impl PushQueue {
    /// Adds a message and wakes the task of the socket.
    pub fn put(&self, push: Push) {
        self.lock().push(push);
        self.signal.notify();
    }

    /// Takes all messages, in order.
    pub fn take(&self) -> Vec<Push> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Push>> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
