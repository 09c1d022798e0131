//! Sizes and waits of the store, from the limits it was given.

use std::time::Duration;

use crate::store::Limits;

/// Sizes that tests make small, so that little data goes through every path.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// Finished jobs in the index that make a run of the archive worth writing.
    pub run_from: usize,
    /// A run is written again without its expired jobs when they are at least this share of it, in
    /// percent; until then they are kept a little longer than the retention says.
    pub rewrite_percent: u64,
    /// Archived jobs that one tick may drop even when `Limits::tick_step` is less: a run goes at once.
    pub drop_at_once: usize,
    /// Journal bytes below which no job is copied forward to make room.
    pub carry_above: u64,
    /// Events in a group that make it be written beside the next one.
    pub pipeline_from: usize,
    /// The wait before the directory is opened again after a fault, doubled with each try that fails,
    /// and the longest such wait.
    pub pauses: (Duration, Duration),
}

impl Tuning {
    /// As shipped, with the sizes that are settings.
    pub fn of(limits: &Limits) -> Tuning {
        Tuning {
            run_from: limits.archive_from,
            rewrite_percent: 25,
            drop_at_once: usize::MAX,
            carry_above: limits.carry_above,
            pipeline_from: limits.pipeline_from,
            pauses: (Duration::from_millis(100), Duration::from_secs(5)),
        }
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning::of(&Limits::default())
    }
}
