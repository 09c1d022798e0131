//! Pages of jobs: rows of the index and of the archive, merged by id, newest first. The committer only
//! hands out where records are; they are read and searched by the caller's thread.

use super::index::{Entry, Index};
use super::read::{self, Reader};
use super::shared::Shared;
use crate::job::{Job, JobId, JobQuery, PageCursor, State};
use crate::store::StoreError;

/// Index entries that one look at the index may pass: the committer waits for it.
const LOOK_AT: usize = 20_000;
/// Entries whose records are to be searched that one look may hand out, for the same reason.
const CANDIDATES: usize = 2_000;

/// The index's part of a page.
pub(super) struct Rows {
    found: Vec<(JobId, Vec<u64>)>,
    /// The id from which down the index was not looked at, when it was not to the end.
    stopped_at: Option<JobId>,
    looked: u64,
}

/// One row of a page.
pub(super) enum Row {
    Read(Box<Job>),
    /// The record was not where the index had said; it is somewhere else by now.
    Moved(JobId),
}

/// A part of a page: what one look found.
pub(super) struct Part {
    pub rows: Vec<Row>,
    pub next: Option<PageCursor>,
    pub examined: u64,
}

/// The chunks of a job's record, if the index has it.
pub(super) fn trail(index: &Index, id: JobId) -> Option<Vec<u64>> {
    index.entries.get(&id).map(|entry| entry.trail.iter().collect())
}

/// The index's rows, one more than wanted, so that the end is known; more when their records decide.
/// Looks at no more than `step` of them.
pub(super) fn rows(index: &Index, query: &JobQuery, step: u64) -> Rows {
    let (below, lowest) = (query.below(), query.lowest());
    if below.is_some_and(|below| below <= lowest) {
        return Rows { found: Vec::new(), stopped_at: None, looked: 0 };
    }
    if let Some(mut few) = few_candidates(index, query) {
        few.retain(|id| *id >= lowest && below.is_none_or(|below| *id < below));
        few.sort_unstable_by(|a, b| b.cmp(a));
        let few = few.iter().filter_map(|id| index.entries.get_key_value(id));
        return take(query, few, step);
    }
    match below {
        Some(below) => take(query, index.entries.range(lowest..below).rev(), step),
        None => take(query, index.entries.range(lowest..).rev(), step),
    }
}

fn take<'i>(
    query: &JobQuery,
    entries: impl Iterator<Item = (&'i JobId, &'i Entry)>,
    step: u64,
) -> Rows {
    let wanted = if query.terms.is_empty() { query.rows() + 1 } else { CANDIDATES };
    let mut rows = Rows { found: Vec::new(), stopped_at: None, looked: 0 };
    for (id, entry) in entries {
        if rows.found.len() == wanted || rows.looked == step.clamp(1, LOOK_AT as u64) {
            rows.stopped_at = Some(*id);
            break;
        }
        rows.looked += 1;
        if query.matches(&entry.labels, entry.status.state) {
            rows.found.push((*id, entry.trail.iter().collect()));
        }
    }
    rows
}

/// Every job in the wanted states, when the ordered sets say that these are few.
fn few_candidates(index: &Index, query: &JobQuery) -> Option<Vec<JobId>> {
    if query.states.is_empty() {
        return None;
    }
    let mut ids = Vec::new();
    let sets = &index.sets;
    let mut waits_are_in = false;
    for state in &query.states {
        let more: Box<dyn Iterator<Item = JobId>> = match state {
            State::Scheduled | State::Retryable if waits_are_in => continue,
            State::Scheduled | State::Retryable => {
                waits_are_in = true;
                Box::new(sets.due.iter().map(|(_, id)| *id))
            }
            State::Available => Box::new(
                sets.queues
                    .iter()
                    .filter(|queue| query.queues.is_empty() || query.queues.contains(&queue.name))
                    .flat_map(|queue| queue.ready.iter().map(|(_, _, id)| *id)),
            ),
            State::Running => Box::new(index.leases.keys().copied()),
            State::Completed | State::Discarded | State::Cancelled => {
                Box::new(sets.finished.get(state).into_iter().flat_map(|set| set.values().copied()))
            }
        };
        ids.extend(more.take(LOOK_AT + 1 - ids.len().min(LOOK_AT)));
        if ids.len() > LOOK_AT {
            return None;
        }
    }
    Some(ids)
}

/// Merges the index's rows with the archive's, reads the records and searches in them.
pub(super) fn page(
    shared: &Shared,
    query: &JobQuery,
    rows: Rows,
    step: u64,
) -> Result<Part, StoreError> {
    let limit = query.rows();
    let mut archived = read::from_archive(shared, |archive| {
        archive.list(&shared.disk, query, rows.stopped_at, limit + 1, step)
    })?;
    let examined = rows.looked + archived.looked;
    // From this id down one of the two sides was not looked at, so nothing from there may be shown yet.
    let floor = rows.stopped_at.max(archived.stopped_at);
    let here = |id: JobId| floor.is_none_or(|floor| id > floor);

    // A job that was archived between the two looks stands in both.
    archived.jobs.retain(|job| here(job.id) && rows.found.iter().all(|(id, _)| *id != job.id));
    let from_archive =
        archived.jobs.into_iter().map(|job| (job.id, Source::Archive(Box::new(job))));
    let mut merged: Vec<(JobId, Source)> = from_archive.collect();
    let from_index = rows.found.into_iter().filter(|(id, _)| here(*id));
    merged.extend(from_index.map(|(id, trail)| (id, Source::Trail(trail))));
    merged.sort_by(|(a, _), (b, _)| b.cmp(a));

    let mut reader = Reader::new(shared);
    let mut part = Part { rows: Vec::with_capacity(limit), next: None, examined };
    let mut last = None;
    for (id, source) in merged {
        let row = match source {
            Source::Archive(job) => Row::Read(job),
            Source::Trail(trail) => match reader.fold(id, &trail)? {
                Some(job) if query.finds_in(&job) => Row::Read(Box::new(job)),
                Some(_) => continue,
                None => Row::Moved(id),
            },
        };
        if part.rows.len() == limit {
            part.next = last.map(PageCursor);
            return Ok(part);
        }
        last = Some(id);
        part.rows.push(row);
    }
    part.next = floor.map(|floor| PageCursor(JobId::from_u128(floor.as_u128() + 1)));
    Ok(part)
}

enum Source {
    Trail(Vec<u64>),
    Archive(Box<Job>),
}
