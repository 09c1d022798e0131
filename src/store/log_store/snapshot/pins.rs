//! The pins of snapshot readers: while there are any, nothing is removed from the journal or the archive.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::job::Time;

/// A reader that reads nothing for this long loses its pin, because the pin keeps the journal from being trimmed.
pub const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The pins of all snapshot readers.
#[derive(Default)]
pub struct Pins(Mutex<Vec<Weak<Pin>>>);

/// The pin of one reader, which drops it at its end.
pub struct Pin {
    began: Time,
    /// When the reader last read something, in milliseconds of the steady clock.
    touched: AtomicI64,
    /// Set once the pin was revoked.
    revoked: OnceLock<Revoked>,
}

/// Why a pin was revoked.
#[derive(Debug, Clone, Copy)]
enum Revoked {
    Idle,
    TookTooLong,
}

impl Revoked {
    fn text(self) -> &'static str {
        match self {
            Revoked::Idle => "the reader of the snapshot stood still",
            Revoked::TookTooLong => "reading the snapshot took longer than store.max_export allows",
        }
    }
}

impl Pin {
    /// Notes that the reader has read something at this reading of the steady clock.
    pub fn touch(&self, now: Time) {
        self.touched.store(now.millis(), Ordering::Release);
    }

    /// Why the pin was revoked, if it was.
    pub fn revoked(&self) -> Option<&'static str> {
        self.revoked.get().map(|why| why.text())
    }
}

impl Pins {
    /// Adds a pin.
    pub fn add(&self, now: Time) -> Arc<Pin> {
        let pin = Arc::new(Pin {
            began: now,
            touched: AtomicI64::new(now.millis()),
            revoked: OnceLock::new(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&pin));
        pin
    }

    /// Whether there are pins.
    pub fn any(&self) -> bool {
        let pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.iter().any(|pin| pin.strong_count() > 0)
    }

    /// Whether there are pins, so that nothing may be removed. Revokes the pins of idle readers, and of those that have
    /// read for longer than `longest`.
    pub fn prevent_removal(&self, now: Time, longest: Duration) -> bool {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| {
            let Some(pin) = pin.upgrade() else { return false };
            let touched = Time::from_millis(pin.touched.load(Ordering::Acquire));
            let why = if now.since(touched) >= IDLE_LIMIT {
                Revoked::Idle
            } else if now.since(pin.began) >= longest {
                Revoked::TookTooLong
            } else {
                return true;
            };
            // It cannot have been set before, because the pin leaves the list here.
            let _ = pin.revoked.set(why);
            false
        });
        !pins.is_empty()
    }
}
