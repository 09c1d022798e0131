//! How views become JSON text.
//! A value without a shape of its own is written as its display form.

use serde::{Serialize, Serializer};

/// Writes a view. The views of this folder have string keys only, so writing them cannot fail.
pub fn to_json<T: Serialize>(view: &T) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// A value that shows itself as text: times, cursors, states, types.
#[derive(Debug, Clone, Copy)]
pub struct Shown<T>(pub T);

impl<T: std::fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

/// Whole milliseconds, as JSON has them.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
