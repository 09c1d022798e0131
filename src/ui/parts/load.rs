//! Decides whether the server is so busy that a page cannot show every event. Pages pass the threshold to
//! `static/load.js`.

use crate::engine::Engine;

/// The event rate above which people cannot follow single events.
pub const BUSY_EVENTS_PER_SECOND: f64 = 300.0;

/// Whether the server is busy now. A page then starts with the counters and a sample of the jobs.
pub fn is_busy(engine: &Engine) -> bool {
    engine.rates().0.events > BUSY_EVENTS_PER_SECOND
}
