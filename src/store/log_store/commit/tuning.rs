//! Sizes and waits of the store that come from its limits or are fixed.

use std::time::Duration;

use crate::store::StoreLimits;

/// Sizes and waits that tests make small, so that little data exercises every path.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// How many finished jobs in the index make a run worth writing.
    pub run_from: usize,
    /// The percentage of expired jobs at which a run is rewritten without them. Until then they are kept a little
    /// longer than the retention says.
    pub rewrite_percent: u64,
    /// How many archived jobs one tick may remove even when `StoreLimits::tick_step` is less, so that a run is removed at
    /// once.
    pub drop_at_once: usize,
    /// The size of the journal in bytes below which no job is copied forward.
    pub carry_above: u64,
    /// The number of events from which a group is written while the next one is applied.
    pub pipeline_from: usize,
    /// The first wait before the log is opened again after a failure, and the longest one: each failed try doubles the
    /// wait.
    pub pauses: (Duration, Duration),
    /// How often a node of a shared log says that it is at work.
    pub node_heartbeat: Duration,
    /// How long a node may be silent before the others give back what it was running.
    pub node_silence: Duration,
}

impl Tuning {
    /// The values for these limits.
    pub fn of(limits: &StoreLimits) -> Tuning {
        Tuning {
            run_from: limits.archive_from,
            rewrite_percent: 25,
            drop_at_once: usize::MAX,
            carry_above: limits.carry_above,
            pipeline_from: limits.pipeline_from,
            pauses: (Duration::from_millis(100), Duration::from_secs(5)),
            // Never longer than a second, because each node judges by its own setting how long another one may be silent.
            node_heartbeat: (limits.node_silence / 15).min(Duration::from_secs(1)),
            node_silence: limits.node_silence,
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning::of(&StoreLimits::default())
    }
}
