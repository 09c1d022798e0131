//! Attempts of this process that a callback can end: a service that was called reports the end of the work itself, with the
//! lease as its credential. An attempt is ended either by the first report or by its handler, whichever comes first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::lease_token::LeaseTokens;
use crate::engine::attempts::local_attempt::LocalAttempt;
use crate::job::Outcome;
use crate::store::LeaseRef;

/// The attempts that have accepted reports of a callback, by lease, until their ends are stored.
#[derive(Default)]
pub struct Callbacks(Mutex<HashMap<LeaseRef, Arc<Callback>>>);

/// An attempt that accepts reports of a callback.
pub struct Callback {
    /// The attempt with its log and progress.
    pub attempt: Arc<LocalAttempt>,
    state: Mutex<CallbackState>,
    reported: Notify,
}

/// What decides how an attempt with a callback ends.
enum CallbackState {
    /// Nothing has been reported.
    Open,
    /// The outcome was reported, and the handler has not taken it yet.
    Reported(Outcome),
    /// The handler ends the attempt with the outcome that was reported.
    Taken,
    /// The handler ends the attempt, or was dropped, and no report counts.
    Closed,
}

impl Callback {
    /// Ends the attempt with an outcome, unless it is being ended already.
    pub fn report(&self, outcome: Outcome) {
        let mut state = self.state();
        if matches!(*state, CallbackState::Open) {
            *state = CallbackState::Reported(outcome);
            drop(state);
            self.reported.notify_one();
        }
    }

    /// Whether nothing has ended the attempt yet.
    pub fn is_open(&self) -> bool {
        matches!(*self.state(), CallbackState::Open)
    }

    /// Whether something other than a report ends the attempt.
    pub fn is_closed(&self) -> bool {
        matches!(*self.state(), CallbackState::Closed)
    }

    fn state(&self) -> MutexGuard<'_, CallbackState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the outcome if one was reported and not taken.
    fn take(&self) -> Option<Outcome> {
        let mut state = self.state();
        if !matches!(*state, CallbackState::Reported(_)) {
            return None;
        }
        match std::mem::replace(&mut *state, CallbackState::Taken) {
            CallbackState::Reported(outcome) => Some(outcome),
            CallbackState::Open | CallbackState::Taken | CallbackState::Closed => None,
        }
    }
}

impl Callbacks {
    /// The attempt with a lease, if it has accepted reports and its end is not stored.
    pub fn get(&self, lease: LeaseRef) -> Option<Arc<Callback>> {
        self.lock().get(&lease).cloned()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Forgets attempts whose ends are stored.
    pub fn ended(&self, leases: impl Iterator<Item = LeaseRef>) {
        let mut callbacks = self.lock();
        if !callbacks.is_empty() {
            leases.for_each(|lease| drop(callbacks.remove(&lease)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeaseRef, Arc<Callback>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What attempts need to wait for callbacks. All attempts share it, so that a waiting one stays small.
pub struct CallbackPlace {
    pub callbacks: Arc<Callbacks>,
    pub tokens: Arc<LeaseTokens>,
    /// Cancelled when the stop begins. The server accepts no connections from then on, so no report arrives.
    pub draining: CancellationToken,
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
        attempt: Arc<LocalAttempt>,
    ) -> OpenCallback {
        let (state, reported) = (Mutex::new(CallbackState::Open), Notify::new());
        let callback = Arc::new(Callback { attempt, state, reported });
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
            if let Some(outcome) = self.callback.take() {
                return outcome;
            }
            self.callback.reported.notified().await;
        }
    }

    /// Waits as [`OpenCallback::outcome`] does, for an attempt that does nothing but wait. When the server stops, it asks
    /// the attempt to end at once, because no report can arrive any more: the attempt is given back and does not count.
    pub async fn outcome_or_stop(&self) -> Outcome {
        tokio::select! {
            biased;
            outcome = self.outcome() => outcome,
            () = self.place.draining.cancelled() => {
                self.callback.attempt.cancel.cancel();
                self.outcome().await
            }
        }
    }

    /// Accepts no more reports. Returns the outcome that was reported before and that the caller has not got yet; it
    /// counts, because the callback was or will be told so.
    pub fn close(&self) -> Option<Outcome> {
        let mut state = self.callback.state();
        let next = match *state {
            CallbackState::Open | CallbackState::Closed => CallbackState::Closed,
            CallbackState::Reported(_) | CallbackState::Taken => CallbackState::Taken,
        };
        match std::mem::replace(&mut *state, next) {
            CallbackState::Reported(outcome) => Some(outcome),
            CallbackState::Open | CallbackState::Taken | CallbackState::Closed => None,
        }
    }
}

impl Drop for OpenCallback {
    fn drop(&mut self) {
        // An outcome that its handler has not taken does not count.
        let mut state = self.callback.state();
        if !matches!(*state, CallbackState::Taken) {
            *state = CallbackState::Closed;
        }
    }
}
