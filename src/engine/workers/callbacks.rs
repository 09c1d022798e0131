//! Attempts of this process that wait for a callback: a service that was called has accepted the work, and reports its end
//! later, with the lease as its credential.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::lease_token::LeaseTokens;
use crate::engine::attempts::notes::Notes;
use crate::job::Outcome;
use crate::store::LeaseRef;

/// The attempts that accept reports of a callback, by lease.
#[derive(Default)]
pub struct Callbacks(Mutex<HashMap<LeaseRef, Arc<Callback>>>);

/// An attempt that accepts reports of a callback.
pub struct Callback {
    /// The log and the progress of the attempt.
    pub notes: Arc<Notes>,
    /// Cancelled when the attempt is to end.
    pub cancel: CancellationToken,
    outcome: Mutex<Option<Outcome>>,
    reported: Notify,
}

impl Callback {
    /// Ends the attempt with an outcome. Only the first outcome counts.
    pub fn report(&self, outcome: Outcome) {
        self.lock().get_or_insert(outcome);
        self.reported.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Outcome>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Callbacks {
    /// The attempt with a lease, if it accepts reports.
    pub fn get(&self, lease: LeaseRef) -> Option<Arc<Callback>> {
        self.lock().get(&lease).cloned()
    }

    /// Whether no attempt accepts reports.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseRef, Arc<Callback>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What attempts need to wait for callbacks. All attempts share it, so that a waiting one stays small.
pub struct CallbackPlace {
    pub callbacks: Arc<Callbacks>,
    pub tokens: Arc<LeaseTokens>,
}

/// An attempt that accepts reports of a callback until this is dropped.
pub struct OpenCallback {
    place: Arc<CallbackPlace>,
    lease: LeaseRef,
    callback: Arc<Callback>,
}

impl OpenCallback {
    /// Begins to accept reports.
    pub fn open(
        place: Arc<CallbackPlace>,
        lease: LeaseRef,
        notes: Arc<Notes>,
        cancel: CancellationToken,
    ) -> OpenCallback {
        let (outcome, reported) = (Mutex::default(), Notify::new());
        let callback = Arc::new(Callback { notes, cancel, outcome, reported });
        place.callbacks.lock().insert(lease, callback.clone());
        OpenCallback { place, lease, callback }
    }

    /// The text of the lease, which is the credential of the callback.
    pub fn lease(&self) -> String {
        self.place.tokens.text(self.lease)
    }

    /// Waits for the outcome that the callback reports. It may have been reported before this is called.
    pub async fn outcome(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.callback.lock().take() {
                return outcome;
            }
            self.callback.reported.notified().await;
        }
    }
}

impl Drop for OpenCallback {
    fn drop(&mut self) {
        self.place.callbacks.lock().remove(&self.lease);
    }
}
