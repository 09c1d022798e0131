//! Checks the limits of pages of earlier moments.

use super::InvalidSettings;
use crate::engine::RewindLimits;

impl InvalidSettings {
    pub(super) fn rewind(&mut self, limits: &RewindLimits) -> RewindLimits {
        let RewindLimits { list_events, list_records, job_events, counted_events, pages } = *limits;
        self.integer("rewind.list_events", list_events);
        self.integer("rewind.list_records", list_records);
        self.integer("rewind.job_events", job_events);
        self.integer("rewind.counted_events", counted_events);
        self.integer("rewind.pages", pages);
        *limits
    }
}
