//! Pages of jobs: rows of the index and of the archive, merged by id, newest first. The committer only
//! hands out where records are; they are read and searched by the caller's thread.

use super::records;
use super::records::Reader;
use crate::job::{Job, JobId, JobQuery, Matcher, PageCursor, Reading, State};
use crate::store::StoreError;
use crate::store::log_store::archive::scan::ArchiveScan;
use crate::store::log_store::commit::index::{Entry, Index};
use crate::store::log_store::commit::shared::Shared;
use crate::store::search::Budget;

/// Index entries that one look at the index may pass: the committer waits for it.
const LOOK_AT: usize = 20_000;
/// Entries whose records are to be searched that one look may hand out, for the same reason.
const CANDIDATES: usize = 2_000;

/// The index's part of a page.
pub struct Rows {
    found: Vec<Found>,
    /// The id from which down the index was not looked at, when it was not to the end.
    stopped_at: Option<JobId>,
    looked: u64,
}

/// A job that the index knows and that may be wanted.
struct Found {
    id: JobId,
    /// The chunks of its record.
    trail: Vec<u64>,
    /// The entries that were looked at up to it.
    looked: u64,
}

/// One row of a page.
pub enum Row {
    Read(Box<Job>),
    /// The record was not where the index had said; it is somewhere else by now.
    Moved(JobId),
}

impl Row {
    fn bytes(&self) -> usize {
        match self {
            Row::Read(job) => job.bytes(),
            Row::Moved(_) => 0, // it is read when the part is complete
        }
    }

    fn without_content(self) -> Row {
        match self {
            Row::Read(job) => Row::Read(Box::new(job.without_content())),
            Row::Moved(id) => Row::Moved(id),
        }
    }
}

/// A part of a page: what one look found.
pub struct Part {
    pub rows: Vec<Row>,
    pub next: Option<PageCursor>,
    pub examined: u64,
    /// Bytes of the records of the page so far.
    pub bytes: usize,
    /// Whether another row would be more than a page may hold.
    pub is_full: bool,
}

/// The chunks of a job's record, if the index has it.
pub fn trail(index: &Index, id: JobId) -> Option<Vec<u64>> {
    index.entries.get(&id).map(|entry| entry.trail.iter().collect())
}

/// The index's rows, one more than wanted, so that the end is known; more when their records decide.
/// Looks at no more than `step` of them.
pub fn rows(index: &Index, query: &JobQuery, step: u64) -> Rows {
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
    // Each entry is held against each name that is wanted.
    let names = query.queues.len() + query.kinds.len() + query.tags.len();
    let most = step.clamp(1, (LOOK_AT / (1 + names / 8)).max(1) as u64);
    let mut rows = Rows { found: Vec::new(), stopped_at: None, looked: 0 };
    for (id, entry) in entries {
        if rows.found.len() == wanted || rows.looked == most {
            rows.stopped_at = Some(*id);
            break;
        }
        rows.looked += 1;
        if query.matches(&entry.labels, entry.status.state) {
            let (trail, looked) = (entry.trail.iter().collect(), rows.looked);
            rows.found.push(Found { id: *id, trail, looked });
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

/// Walks along the index's rows and the archive together, newest first, reads the records and looks into them: to
/// the end, or until the page is full, `step` jobs were looked at, or the turn is over. One job is always looked at.
/// The rows found before have so many `bytes`. Large payloads, results and logs are left out of rows.
pub fn page(
    shared: &Shared,
    query: &JobQuery,
    rows: &Rows,
    step: u64,
    bytes: usize,
    budget: &Budget,
) -> Result<Part, StoreError> {
    records::from_archive(shared, |archive| {
        let goes_on = || budget.goes_on();
        let paging = Paging {
            rows,
            matcher: Matcher::new(query),
            reading: Reading::new(&goes_on),
            reader: Reader::new(shared),
            part: Part { rows: Vec::new(), next: None, examined: 0, bytes, is_full: false },
            limit: query.rows(),
            most_bytes: shared.limits.read_bytes,
            indexed: 0,
            looked: 0,
            last: None,
        };
        let archived = ArchiveScan::new(archive, &*shared.log, query);
        let turn = budget.turn();
        paging.run(archived, |examined| examined >= step || turn.is_over())
    })
}

/// A part of a page while it is made.
struct Paging<'a> {
    rows: &'a Rows,
    matcher: Matcher<'a>,
    reading: Reading<'a>,
    reader: Reader<'a>,
    part: Part,
    limit: usize,
    most_bytes: usize,
    /// How many of the index's rows were taken.
    indexed: usize,
    /// How many of its entries were passed with them.
    looked: u64,
    /// The last row of the page.
    last: Option<JobId>,
}

/// What became of a job.
enum Looked {
    Done,
    /// It is one more than the page holds.
    Full,
    /// It was not read to its end.
    Interrupted,
}

impl Paging<'_> {
    fn run(
        mut self,
        mut archived: ArchiveScan<'_>,
        is_enough: impl Fn(u64) -> bool,
    ) -> Result<Part, StoreError> {
        let mut begun = false;
        loop {
            let (found, bound) = (self.rows.found.get(self.indexed), archived.bound());
            // From this id down nothing was looked at.
            let floor = match (found, bound) {
                (Some(found), bound) => Some(bound.map_or(found.id, |bound| bound.max(found.id))),
                (None, bound) => bound.max(self.rows.stopped_at),
            };
            let Some(floor) = floor else { return Ok(self.finish(None)) };
            if found.is_none() && bound.is_none_or(|bound| self.rows.stopped_at >= Some(bound)) {
                return Ok(self.finish(Some(floor)));
            }
            let looked = match found {
                Some(found) if found.id == floor && bound != Some(floor) => {
                    self.looked = found.looked - 1;
                    if begun && is_enough(self.part.examined + self.looked) {
                        return Ok(self.stop(floor));
                    }
                    self.indexed(found)?
                }
                Some(_) | None => {
                    if begun && is_enough(self.part.examined + self.looked) {
                        return Ok(self.stop(floor));
                    }
                    match archived.step()? {
                        Some(job) => self.archived(job),
                        None => continue,
                    }
                }
            };
            begun = true;
            match looked {
                Looked::Done => {}
                Looked::Full => {
                    self.part.next = self.last.map(PageCursor).or(Some(above(floor)));
                    self.part.is_full = true;
                    self.part.examined += self.looked;
                    return Ok(self.part);
                }
                Looked::Interrupted => return Ok(self.stop(floor)),
            }
        }
    }

    /// Looks at a job of the index.
    fn indexed(&mut self, found: &Found) -> Result<Looked, StoreError> {
        let row = match self.reader.fold(found.id, &found.trail)? {
            Some(job) => match self.matcher.finds_in(&job, &mut self.reading) {
                Ok(true) => Some(Row::Read(Box::new(job))),
                Ok(false) => None,
                Err(_) => return Ok(Looked::Interrupted),
            },
            None => Some(Row::Moved(found.id)),
        };
        self.indexed += 1;
        self.looked = found.looked;
        Ok(self.push(found.id, row))
    }

    /// Looks at a job of the archive.
    fn archived(&mut self, job: Job) -> Looked {
        let Ok(is_wanted) = self.matcher.finds(&job, &mut self.reading) else {
            return Looked::Interrupted;
        };
        self.part.examined += 1;
        // A job that was archived between the two looks stands in both.
        if let Some(same) = self.rows.found.get(self.indexed).filter(|found| found.id == job.id) {
            self.indexed += 1;
            self.looked = same.looked;
        }
        let id = job.id;
        self.push(id, is_wanted.then(|| Row::Read(Box::new(job))))
    }

    fn push(&mut self, id: JobId, row: Option<Row>) -> Looked {
        let Some(row) = row else { return Looked::Done };
        let bytes = self.part.bytes.saturating_add(row.bytes());
        let is_too_much = self.part.bytes > 0 && bytes > self.most_bytes;
        if self.part.rows.len() == self.limit || is_too_much {
            return Looked::Full;
        }
        self.last = Some(id);
        self.part.bytes = bytes;
        self.part.rows.push(row.without_content());
        Looked::Done
    }

    /// Ends before a job that was not looked at.
    fn stop(mut self, floor: JobId) -> Part {
        self.part.examined += self.looked;
        self.part.next = Some(above(floor));
        self.part
    }

    /// Ends where the index was looked at to the end, or to the floor.
    fn finish(mut self, floor: Option<JobId>) -> Part {
        self.part.examined += self.rows.looked;
        self.part.next = floor.map(above);
        self.part
    }
}

/// The place before a job.
fn above(id: JobId) -> PageCursor {
    PageCursor(JobId::from_u128(id.as_u128().saturating_add(1)))
}
