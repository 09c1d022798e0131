//! Pages of jobs: rows of the index and of the archive, merged by id, newest first.

use super::index::Index;
use super::read::{Reader, from_archive};
use super::shared::Shared;
use crate::job::{Job, JobId, JobQuery, PageCursor, State};
use crate::store::StoreError;

/// Index entries that one page may look at; what is beyond waits for the next page.
const LOOK_AT: usize = 20_000;
/// Archive chunks that one page may decode.
const DECODE: usize = 512;

/// The index's part of a page.
pub(super) struct Rows {
    found: Vec<(JobId, Vec<u64>)>,
    /// The id down to which the index was looked through, when it was not to the end.
    stopped_at: Option<JobId>,
}

/// One row of a page.
pub(super) enum Row {
    Read(Box<Job>),
    /// The record was not where the index had said; it is somewhere else by now.
    Moved(JobId),
}

/// The chunks of a job's record, if the index has it.
pub(super) fn trail(index: &Index, id: JobId) -> Option<Vec<u64>> {
    index.entries.get(&id).map(|entry| entry.trail.iter().collect())
}

fn limit(query: &JobQuery) -> usize {
    query.limit.clamp(1, JobQuery::MAX_LIMIT)
}

/// The index's rows, one more than wanted, so that the end is known.
pub(super) fn rows(index: &Index, query: &JobQuery) -> Rows {
    let wanted = limit(query) + 1;
    let before = query.after.map(|PageCursor(id)| id);
    if let Some(mut few) = few_candidates(index, query) {
        few.sort_unstable_by(|a, b| b.cmp(a));
        let found = few
            .into_iter()
            .filter(|id| before.is_none_or(|before| *id < before))
            .filter_map(|id| matching(index, query, id))
            .take(wanted)
            .collect();
        return Rows { found, stopped_at: None };
    }
    let mut found = Vec::new();
    let range = match before {
        Some(before) => index.entries.range(..before),
        None => index.entries.range(..),
    };
    for (looked, (id, entry)) in range.rev().enumerate() {
        if looked == LOOK_AT {
            return Rows { found, stopped_at: Some(*id) };
        }
        if query.matches(&entry.labels, entry.status.state) {
            found.push((*id, entry.trail.iter().collect()));
            if found.len() == wanted {
                break;
            }
        }
    }
    Rows { found, stopped_at: None }
}

fn matching(index: &Index, query: &JobQuery, id: JobId) -> Option<(JobId, Vec<u64>)> {
    let entry = index.entries.get(&id)?;
    let wanted = query.matches(&entry.labels, entry.status.state);
    wanted.then(|| (id, entry.trail.iter().collect()))
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
                    .filter(|queue| query.queue.as_ref().is_none_or(|name| *name == queue.name))
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

/// Merges the index's rows with the archive's and reads the records.
pub(super) fn page(
    shared: &Shared,
    query: &JobQuery,
    rows: Rows,
) -> Result<(Vec<Row>, Option<PageCursor>), StoreError> {
    let limit = limit(query);
    let before = query.after.map(|PageCursor(id)| id);
    let (archived, archive_stop) = from_archive(shared, |archive| {
        archive.list(&shared.disk, query, before, limit + 1, DECODE)
    })?;
    // Below these ids one of the two sides was not looked at, so nothing below may be shown yet.
    let index_floor = rows.stopped_at;
    let archive_floor = archive_stop;
    let floor = index_floor.max(archive_floor);

    let mut merged: Vec<(JobId, Source)> =
        rows.found.into_iter().map(|(id, trail)| (id, Source::Trail(trail))).collect();
    for job in archived {
        // A job that was archived between the two looks stands in both.
        if merged.iter().all(|(id, _)| *id != job.id) {
            merged.push((job.id, Source::Archive(Box::new(job))));
        }
    }
    merged.sort_by(|(a, _), (b, _)| b.cmp(a));
    merged.retain(|(id, _)| floor.is_none_or(|floor| *id > floor));

    let more = merged.len() > limit;
    merged.truncate(limit);
    let next = match (more, merged.last(), floor) {
        (true, Some((last, _)), _) => Some(PageCursor(*last)),
        (false, _, Some(floor)) => Some(PageCursor(JobId::from_u128(floor.as_u128() + 1))),
        (true, None, None) | (false, _, None) => None,
        (true, None, Some(_)) => None,
    };
    let mut reader = Reader::new(shared);
    let mut page = Vec::with_capacity(merged.len());
    for (id, source) in merged {
        page.push(match source {
            Source::Archive(job) => Row::Read(job),
            Source::Trail(trail) => match reader.fold(id, &trail)? {
                Some(job) => Row::Read(Box::new(job)),
                None => Row::Moved(id),
            },
        });
    }
    Ok((page, next))
}

enum Source {
    Trail(Vec<u64>),
    Archive(Box<Job>),
}
