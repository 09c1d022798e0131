//! Who reads a snapshot: while somebody does, nothing of the journal or the archive is removed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::job::Time;

/// A reader that asks for nothing for so long is given up: it holds the trimming up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Who reads a snapshot.
#[derive(Default)]
pub struct Pins(Mutex<Vec<Weak<Pin>>>);

/// Held by one reader.
pub struct Pin {
    began: Time,
    /// When it last asked for more, in milliseconds.
    touched: AtomicI64,
    /// There once the reader was given up.
    given_up: OnceLock<GivenUp>,
}

/// Why a reader was given up.
#[derive(Debug, Clone, Copy)]
enum GivenUp {
    StoodStill,
    TookTooLong,
}

impl GivenUp {
    fn text(self) -> &'static str {
        match self {
            GivenUp::StoodStill => "the reader of the snapshot stood still",
            GivenUp::TookTooLong => "reading the snapshot took longer than store.max_export allows",
        }
    }
}

impl Pin {
    /// Notes that the reader asks for more.
    pub fn touch(&self, now: Time) {
        self.touched.store(now.millis(), Ordering::Release);
    }

    /// Why the reader was given up, if it was.
    pub fn given_up(&self) -> Option<&'static str> {
        self.given_up.get().map(|why| why.text())
    }
}

impl Pins {
    /// Adds a reader.
    pub fn add(&self, now: Time) -> Arc<Pin> {
        let pin = Arc::new(Pin {
            began: now,
            touched: AtomicI64::new(now.millis()),
            given_up: OnceLock::new(),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&pin));
        pin
    }

    /// Whether somebody reads, so that nothing may be removed. Gives up readers that stand still, and those that
    /// have read for longer than `longest`.
    pub fn hold(&self, now: Time, longest: Duration) -> bool {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|pin| {
            let Some(pin) = pin.upgrade() else { return false };
            let touched = Time::from_millis(pin.touched.load(Ordering::Acquire));
            let why = if now.since(touched) >= PATIENCE {
                GivenUp::StoodStill
            } else if now.since(pin.began) >= longest {
                GivenUp::TookTooLong
            } else {
                return true;
            };
            // Nobody else gives it up: it leaves the list here.
            let _ = pin.given_up.set(why);
            false
        });
        !pins.is_empty()
    }
}
