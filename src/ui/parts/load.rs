//! Whether so much happens that a page cannot show each event. Pages tell the script `crowd.js` the bound.

use crate::engine::Engine;

/// Events a second above which nobody can read along.
pub const CROWDED: f64 = 300.0;

/// Whether it is so now: the page then begins with the counters, and a sample of the jobs.
pub fn is_crowded(engine: &Engine) -> bool {
    engine.rates().0.events > CROWDED
}
