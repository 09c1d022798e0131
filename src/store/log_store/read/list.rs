//! Pages of jobs: rows of the index and of the archive, merged by id, newest first. The committer only says where the
//! records are. They are read and searched by a thread of the read pool.

use super::records;
use super::records::RecordReader;
use crate::job::{Job, JobId, JobQuery, Matcher, PageCursor, Reading, State, Status, Time};
use crate::store::StoreError;
use crate::store::log_store::archive::scan::ArchiveScan;
use crate::store::log_store::commit::entry::Entry;
use crate::store::log_store::commit::index::Index;
use crate::store::log_store::commit::shared::Shared;
use crate::store::search::Budget;

/// The most index entries that one inspection may examine, because the committer waits for it.
const MAX_EXAMINED: usize = 20_000;
/// The most entries that one inspection may return for a search, for the same reason.
const MAX_CANDIDATES: usize = 2_000;

/// The rows of a page that are in the index.
pub struct IndexRows {
    found: Vec<IndexRow>,
    /// The id at which the inspection stopped before the end of the index: this entry and all below are not examined.
    stopped_at: Option<JobId>,
    passed: u64,
}

/// Where the record of a job is, and what the index knows better.
#[derive(Clone)]
pub struct Whereabouts {
    /// The chunks that hold its record.
    pub trail: Vec<u64>,
    status: Status,
    run_at: Time,
}

impl Whereabouts {
    fn of(entry: &Entry) -> Whereabouts {
        let trail = entry.trail.iter().collect();
        Whereabouts { trail, status: entry.status, run_at: entry.run_at }
    }

    /// Sets the time at which a waiting job is due, which may have moved with the clock since it was recorded.
    pub fn correct(&self, job: &mut Job) {
        if self.status == job.status
            && matches!(job.status.state, State::Scheduled | State::Retryable)
        {
            job.run_at = self.run_at;
        }
    }
}

/// A job of the index that may match.
struct IndexRow {
    id: JobId,
    at: Whereabouts,
    /// How many entries were examined up to this one.
    passed: u64,
}

/// A row of a page.
pub enum PageRow {
    Read(Box<Job>),
    /// The record has moved since the index was inspected.
    Moved(JobId),
}

impl PageRow {
    fn bytes(&self) -> usize {
        match self {
            PageRow::Read(job) => job.bytes(),
            PageRow::Moved(_) => 0, // it is read by itself when the part is complete
        }
    }

    fn without_content(self) -> PageRow {
        match self {
            PageRow::Read(job) => PageRow::Read(Box::new(job.without_content())),
            PageRow::Moved(id) => PageRow::Moved(id),
        }
    }
}

/// The part of a page that one turn has found.
pub struct PagePart {
    pub rows: Vec<PageRow>,
    pub next: Option<PageCursor>,
    pub examined: u64,
    /// The size of the records of the page so far, in bytes.
    pub bytes: usize,
    /// Whether the page can hold no further row.
    pub is_full: bool,
}

/// Where the record of a job is, if the index has it.
pub fn find(index: &Index, id: JobId) -> Option<Whereabouts> {
    index.entries.get(&id).map(Whereabouts::of)
}

/// Where the records of those of these jobs are that are running.
pub fn find_running(index: &Index, ids: &[JobId]) -> Vec<(JobId, Vec<u64>)> {
    let entry = |id: &JobId| Some((*id, index.entries.get(id)?));
    let running = ids.iter().filter_map(entry);
    let running = running.filter(|(_, entry)| entry.status.state == State::Running);
    running.map(|(id, entry)| (id, entry.trail.iter().collect())).collect()
}

/// The rows of the index that may match, one more than the page holds so that its end is known, and more for a search.
/// Examines at most `step` entries.
pub fn rows(index: &Index, query: &JobQuery, step: u64) -> IndexRows {
    let (below, lowest) = (query.below(), query.lowest());
    if below.is_some_and(|below| below <= lowest) {
        return IndexRows { found: Vec::new(), stopped_at: None, passed: 0 };
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
) -> IndexRows {
    let wanted = if query.terms.is_empty() { query.rows() + 1 } else { MAX_CANDIDATES };
    // Every entry is compared with every name of the query.
    let names = query.queues.len() + query.kinds.len() + query.tags.len();
    let most = step.clamp(1, (MAX_EXAMINED / (1 + names / 8)).max(1) as u64);
    let mut rows = IndexRows { found: Vec::new(), stopped_at: None, passed: 0 };
    for (id, entry) in entries {
        if rows.found.len() == wanted || rows.passed == most {
            rows.stopped_at = Some(*id);
            break;
        }
        rows.passed += 1;
        let ended_at = entry.finished.map(|(_, at)| at);
        if query.matches(&entry.labels, entry.status.state) && query.admits_end(ended_at) {
            let (at, passed) = (Whereabouts::of(entry), rows.passed);
            rows.found.push(IndexRow { id: *id, at, passed });
        }
    }
    rows
}

/// All jobs in the states of the query, if the ordered sets have only few of them.
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
                    .flat_map(|queue| queue.ready.ids()),
            ),
            State::Running => Box::new(index.leases.keys().copied()),
            State::Completed | State::Discarded | State::Cancelled => {
                Box::new(sets.finished.get(state).into_iter().flat_map(|set| set.values().copied()))
            }
        };
        ids.extend(more.take(MAX_EXAMINED + 1 - ids.len().min(MAX_EXAMINED)));
        if ids.len() > MAX_EXAMINED {
            return None;
        }
    }
    Some(ids)
}

/// Merges the rows of the index with the archive, newest first, and reads and searches the records: to the end, or
/// until the page is full, `step` jobs were examined, or the turn is over. At least one job is examined. The rows that
/// earlier turns found have `bytes` bytes. Large payloads, results and logs are left out of rows.
pub fn page(
    shared: &Shared,
    query: &JobQuery,
    rows: &IndexRows,
    step: u64,
    bytes: usize,
    budget: &Budget,
) -> Result<PagePart, StoreError> {
    records::from_archive(shared, |archive| {
        let may_continue = || budget.may_continue();
        let paging = PageBuilder {
            rows,
            matcher: Matcher::new(query),
            reading: Reading::new(&may_continue),
            reader: RecordReader::new(shared),
            part: PagePart { rows: Vec::new(), next: None, examined: 0, bytes, is_full: false },
            limit: query.rows(),
            most_bytes: shared.limits.read_bytes,
            indexed: 0,
            passed: 0,
            last: None,
        };
        let archived = ArchiveScan::new(archive, &*shared.log, query);
        let turn = budget.turn();
        paging.run(archived, |examined| examined >= step || turn.is_over())
    })
}

/// Builds a part of a page.
struct PageBuilder<'a> {
    rows: &'a IndexRows,
    matcher: Matcher<'a>,
    reading: Reading<'a>,
    reader: RecordReader<'a>,
    part: PagePart,
    limit: usize,
    most_bytes: usize,
    /// How many rows of the index were taken.
    indexed: usize,
    /// How many entries of the index were examined up to the last of them.
    passed: u64,
    /// The last row of the page.
    last: Option<JobId>,
}

/// The result of examining a job.
enum Examined {
    Done,
    /// The job matches, but the page is full.
    Full,
    /// The search was stopped before it had read the whole record.
    Interrupted,
}

impl PageBuilder<'_> {
    fn run(
        mut self,
        mut archived: ArchiveScan<'_>,
        is_enough: impl Fn(u64) -> bool,
    ) -> Result<PagePart, StoreError> {
        let mut begun = false;
        loop {
            let (found, bound) = (self.rows.found.get(self.indexed), archived.bound());
            // The greatest id that was not examined yet.
            let floor = match (found, bound) {
                (Some(found), bound) => Some(bound.map_or(found.id, |bound| bound.max(found.id))),
                (None, bound) => bound.max(self.rows.stopped_at),
            };
            let Some(floor) = floor else { return Ok(self.finish(None)) };
            if found.is_none() && bound.is_none_or(|bound| self.rows.stopped_at >= Some(bound)) {
                return Ok(self.finish(Some(floor)));
            }
            let passed = match found {
                Some(found) if found.id == floor && bound != Some(floor) => {
                    self.passed = found.passed - 1;
                    if begun && is_enough(self.part.examined + self.passed) {
                        return Ok(self.stop(floor));
                    }
                    self.indexed(found)?
                }
                Some(_) | None => {
                    if begun && is_enough(self.part.examined + self.passed) {
                        return Ok(self.stop(floor));
                    }
                    match archived.step()? {
                        Some(job) => self.archived(job),
                        None => continue,
                    }
                }
            };
            begun = true;
            match passed {
                Examined::Done => {}
                Examined::Full => {
                    self.part.next = self.last.map(PageCursor).or(Some(above(floor)));
                    self.part.is_full = true;
                    self.part.examined += self.passed;
                    return Ok(self.part);
                }
                Examined::Interrupted => return Ok(self.stop(floor)),
            }
        }
    }

    /// Examines a job of the index.
    fn indexed(&mut self, found: &IndexRow) -> Result<Examined, StoreError> {
        let mut folded = self.reader.fold(found.id, &found.at.trail)?;
        if let Some(job) = &mut folded {
            found.at.correct(job);
        }
        let row = match folded {
            Some(job) => match self.matcher.finds_in(&job, &mut self.reading) {
                Ok(true) => Some(PageRow::Read(Box::new(job))),
                Ok(false) => None,
                Err(_) => return Ok(Examined::Interrupted),
            },
            None => Some(PageRow::Moved(found.id)),
        };
        self.indexed += 1;
        self.passed = found.passed;
        Ok(self.push(found.id, row))
    }

    /// Examines a job of the archive.
    fn archived(&mut self, job: Job) -> Examined {
        let Ok(is_wanted) = self.matcher.finds(&job, &mut self.reading) else {
            return Examined::Interrupted;
        };
        self.part.examined += 1;
        // A job that was archived after the index was inspected is in both.
        if let Some(same) = self.rows.found.get(self.indexed).filter(|found| found.id == job.id) {
            self.indexed += 1;
            self.passed = same.passed;
        }
        let id = job.id;
        self.push(id, is_wanted.then(|| PageRow::Read(Box::new(job))))
    }

    fn push(&mut self, id: JobId, row: Option<PageRow>) -> Examined {
        let Some(row) = row else { return Examined::Done };
        let bytes = self.part.bytes.saturating_add(row.bytes());
        let is_too_much = self.part.bytes > 0 && bytes > self.most_bytes;
        if self.part.rows.len() == self.limit || is_too_much {
            return Examined::Full;
        }
        self.last = Some(id);
        self.part.bytes = bytes;
        self.part.rows.push(row.without_content());
        Examined::Done
    }

    /// Ends the part before a job that was not examined.
    fn stop(mut self, floor: JobId) -> PagePart {
        self.part.examined += self.passed;
        self.part.next = Some(above(floor));
        self.part
    }

    /// Ends the part when all rows were examined, down to the floor.
    fn finish(mut self, floor: Option<JobId>) -> PagePart {
        self.part.examined += self.rows.passed;
        self.part.next = floor.map(above);
        self.part
    }
}

/// The cursor of a page that begins with this job.
fn above(id: JobId) -> PageCursor {
    PageCursor(JobId::from_u128(id.as_u128().saturating_add(1)))
}
