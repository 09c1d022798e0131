//! A scan of archived jobs by id, greatest first, that can stop after every job. Runs overlap, so it has a position in
//! each of them.

use super::runs::{Archive, Run};
use crate::job::{Job, JobId, JobQuery};
use crate::store::StoreError;
use crate::store::log::Log;

/// A scan of archived jobs, greatest id first.
pub struct ArchiveScan<'a> {
    log: &'a dyn Log,
    /// The scan covers ids below this one, and not below `lowest`.
    below: Option<JobId>,
    lowest: JobId,
    positions: Vec<RunPosition<'a>>,
}

/// The position of the scan in one run.
struct RunPosition<'a> {
    run: &'a Run,
    /// The chunks before this one were not read yet.
    end: usize,
    /// The remaining jobs of the chunk that was read last, smallest id first.
    open: Vec<Job>,
}

impl<'a> ArchiveScan<'a> {
    /// Starts where the page of the query starts.
    pub fn new(archive: &'a Archive, log: &'a dyn Log, query: &JobQuery) -> ArchiveScan<'a> {
        let below = query.below();
        let runs = archive.runs.values().filter(|run| run.may_match(query));
        let position = |run: &'a std::sync::Arc<Run>| {
            let end = match below {
                Some(id) => run.chunks.partition_point(|chunk| chunk.first < id),
                None => run.chunks.len(),
            };
            RunPosition { run, end, open: Vec::new() }
        };
        ArchiveScan { log, below, lowest: query.lowest(), positions: runs.map(position).collect() }
    }

    /// An upper bound of the ids that are still to come; `None` at the end.
    pub fn bound(&self) -> Option<JobId> {
        let (_, bound) = self.first()?;
        (bound >= self.lowest).then_some(bound)
    }

    /// Returns the next job, or reads the chunk that may hold it and returns `None`.
    ///
    /// # Errors
    /// When the chunk cannot be read.
    pub fn step(&mut self) -> Result<Option<Job>, StoreError> {
        let Some((first, _)) = self.first() else { return Ok(None) };
        let below = self.below;
        let position = &mut self.positions[first];
        if let Some(job) = position.open.pop() {
            return Ok(Some(job));
        }
        position.end -= 1;
        position.open = position.run.chunk(self.log, position.end)?;
        position.open.retain(|job| below.is_none_or(|below| job.id < below));
        Ok(None)
    }

    /// The position whose next job may have the greatest id, and that id.
    fn first(&self) -> Option<(usize, JobId)> {
        let bounds = self.positions.iter().enumerate();
        let bounds = bounds.filter_map(|(n, position)| Some((n, position.bound(self.below)?)));
        bounds.max_by_key(|(_, bound)| *bound)
    }
}

impl RunPosition<'_> {
    fn bound(&self, below: Option<JobId>) -> Option<JobId> {
        if let Some(job) = self.open.last() {
            return Some(job.id);
        }
        let last = self.run.chunks[self.end.checked_sub(1)?].last;
        let greatest = below.map(|id| JobId::from_u128(id.as_u128().saturating_sub(1)));
        Some(greatest.map_or(last, |greatest| last.min(greatest)))
    }
}
