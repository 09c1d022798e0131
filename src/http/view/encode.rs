//! Writes views as JSON text.
//! A value without a view of its own is written as its `Display` form.

use serde::{Serialize, Serializer};

/// Writes a view as JSON. This cannot fail, because the views have only string keys.
pub fn to_json<T: Serialize>(view: &T) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// A value that is written as its `Display` form: times, cursors, states and types.
#[derive(Debug, Clone, Copy)]
pub struct Displayed<T>(pub T);

impl<T: std::fmt::Display> Serialize for Displayed<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&self.0)
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
