//! A walk through archived jobs by their ids, greatest first, that can stop after every job: runs overlap, so it
//! has a place in each of them.

use super::runs::{Archive, Run};
use crate::job::{Job, JobId, JobQuery};
use crate::store::StoreError;
use crate::store::log::Log;

/// See the module.
pub struct ArchiveScan<'a> {
    log: &'a dyn Log,
    /// The ids that are looked at are below this and not below the lowest.
    below: Option<JobId>,
    lowest: JobId,
    places: Vec<Place<'a>>,
}

/// Where the walk is in one run.
struct Place<'a> {
    run: &'a Run,
    /// The chunks before this one were not opened yet.
    end: usize,
    /// What is left of the chunk that was opened last, smallest id first.
    open: Vec<Job>,
}

impl<'a> ArchiveScan<'a> {
    /// Begins where a page of the query begins.
    pub fn new(archive: &'a Archive, log: &'a dyn Log, query: &JobQuery) -> ArchiveScan<'a> {
        let below = query.below();
        let runs = archive.runs.values().filter(|run| run.may_match(query));
        let place = |run: &'a std::sync::Arc<Run>| {
            let end = match below {
                Some(id) => run.chunks.partition_point(|chunk| chunk.first < id),
                None => run.chunks.len(),
            };
            Place { run, end, open: Vec::new() }
        };
        ArchiveScan { log, below, lowest: query.lowest(), places: runs.map(place).collect() }
    }

    /// No job that is still to come has an id greater than this; `None` at the end.
    pub fn bound(&self) -> Option<JobId> {
        let (_, bound) = self.first()?;
        (bound >= self.lowest).then_some(bound)
    }

    /// Goes on to the next job, or only opens the chunk that it may be in.
    ///
    /// # Errors
    /// When the chunk cannot be read.
    pub fn step(&mut self) -> Result<Option<Job>, StoreError> {
        let Some((first, _)) = self.first() else { return Ok(None) };
        let below = self.below;
        let place = &mut self.places[first];
        if let Some(job) = place.open.pop() {
            return Ok(Some(job));
        }
        place.end -= 1;
        place.open = place.run.chunk(self.log, place.end)?;
        place.open.retain(|job| below.is_none_or(|below| job.id < below));
        Ok(None)
    }

    /// The place whose next job may have the greatest id, and that id.
    fn first(&self) -> Option<(usize, JobId)> {
        let bounds = self.places.iter().enumerate();
        let bounds = bounds.filter_map(|(n, place)| Some((n, place.bound(self.below)?)));
        bounds.max_by_key(|(_, bound)| *bound)
    }
}

impl Place<'_> {
    fn bound(&self, below: Option<JobId>) -> Option<JobId> {
        if let Some(job) = self.open.last() {
            return Some(job.id);
        }
        let last = self.run.chunks[self.end.checked_sub(1)?].last;
        let greatest = below.map(|id| JobId::from_u128(id.as_u128().saturating_sub(1)));
        Some(greatest.map_or(last, |greatest| last.min(greatest)))
    }
}
