//! Jobs of an earlier moment. Those that were submitted shortly before it are made of their events alone, so that jobs which
//! have been removed since are among them; older ones are made of their records.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::{Past, PastJob, PastPage, RewindError};
use crate::engine::Engine;
use crate::job::{Change, Cursor, Event, Fact, Job, JobId, JobQuery, LogCaps, PageCursor, Time};

/// The length of the first part of the log that is read. A page of the newest jobs needs few.
const FIRST_WINDOW: u64 = 512;
/// How much the clocks of nodes may differ, so that the search for the submission of a job by its time finds it.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(2);
/// How many records are read with one list.
const RECORDS_PER_READ: usize = 250;

impl Engine {
    /// A page of jobs as they were. `query` filters by what they were then; its conditions on contents are ignored.
    pub async fn jobs_at(&self, past: &Past, query: JobQuery) -> Result<PastPage, RewindError> {
        let rows = query.rows();
        let scan = self.submitted_before(past, &query, rows).await?;
        let mut page = PastPage { jobs: Vec::new(), next: None, incomplete_below: None };
        // An id may be much older than the submission, as of a job that waited in the inbox of a database.
        let is_settled = |one_more: &Job| scan.is_whole_log || one_more.id >= scan.below;
        let is_full = scan.jobs.get(rows).is_some_and(is_settled);
        if !is_full && !scan.is_whole_log {
            self.add_older(past, &query, &scan.ids, scan.below, &mut page).await?;
            page.incomplete_below = Some(scan.below);
        }
        let examined_to = page.next;
        let is_passed = |job: &Job| examined_to.is_none_or(|PageCursor(id)| job.id >= id);
        for job in scan.jobs.into_iter().filter(is_passed).take(rows + 1) {
            page.jobs.push(self.with_what_is_left(job).await?);
        }
        page.jobs.sort_unstable_by_key(|past| std::cmp::Reverse(past.job.id));
        if page.jobs.len() > rows {
            page.jobs.truncate(rows);
            page.next = page.jobs.last().map(|past| PageCursor(past.job.id));
        }
        Ok(page)
    }

    /// A job as it was; `None` when it did not exist, or nothing is known of it.
    pub async fn job_at(&self, past: &Past, id: JobId) -> Result<Option<PastJob>, RewindError> {
        let record = self.job(id).await?.0;
        let submitted = record.as_ref().map_or_else(|| id.time(), |job| job.enqueued_at);
        if submitted > past.at {
            return Ok(None);
        }
        let made = self.made_of_events(past, id, submitted).await?;
        Ok(match (made, record) {
            (Made::Job(job), Some(record)) => {
                Some(PastJob { job: with_content(*job, &record), is_gone: false })
            }
            (Made::Job(job), None) => {
                Some(PastJob { job: job.without_removed_content(), is_gone: true })
            }
            // Where the clock was set back, or the clocks of nodes differ, the search by time may have missed it.
            (Made::Nothing, Some(record)) if was_there(&record, past.cursor) => {
                let then = record.as_of(past.cursor.seq, past.at, None);
                then.map(|job| PastJob { job, is_gone: false })
            }
            (Made::Nothing, _) | (Made::Unknown(_), None) => None,
            (Made::Unknown(new), Some(record)) => {
                let then = record.as_of(past.cursor.seq, past.at, new.as_deref());
                then.map(|job| PastJob { job, is_gone: false })
            }
        })
    }

    /// Makes a job of its events, if they are near enough.
    async fn made_of_events(
        &self,
        past: &Past,
        id: JobId,
        submitted: Time,
    ) -> Result<Made, RewindError> {
        let stats = self.stats().await?;
        let first = Cursor { seq: stats.oldest.seq + 1, ..past.cursor };
        let submitted = submitted.before(CLOCK_DIFFERENCE);
        let earlier = self.last_before(first, past.cursor, submitted).await?;
        let begin = earlier.map_or(stats.oldest.seq, |event| event.seq);
        let after = Cursor { seq: begin, ..past.cursor };
        let through = past.cursor.seq.min(begin + self.config().rewind.job_events);
        let is_near = through == past.cursor.seq;
        let caps = LogCaps::default();
        let (mut job, mut was_there) = (None::<Job>, false);
        let add = |event: Event| {
            if is_of(&event, id) {
                was_there = true;
                fold(&mut job, &event, caps);
            }
            // The rest of a job whose moment is far away is in its record.
            if was_there && !is_near { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.visit_events(after, through, add).await?;
        let is_at_beginning = begin > stats.oldest.seq || begin == 0;
        Ok(match job.map(Box::new) {
            Some(job) if is_near => Made::Job(job),
            new @ Some(_) => Made::Unknown(new),
            // It was deleted by then, or was not submitted yet.
            None if is_near && (was_there || is_at_beginning) => Made::Nothing,
            None => Made::Unknown(None),
        })
    }

    /// Finds the jobs that were submitted shortly before a moment, at least one more than a page has if there are so many.
    async fn submitted_before(
        &self,
        past: &Past,
        query: &JobQuery,
        rows: usize,
    ) -> Result<RecentJobs, RewindError> {
        let oldest = self.stats().await?.oldest;
        let below = query.below();
        let (mut end, mut length, mut examined) = (past.cursor, FIRST_WINDOW, 0);
        let mut later: HashMap<JobId, Vec<Event>> = HashMap::new();
        let mut scan = RecentJobs {
            jobs: Vec::new(),
            ids: HashSet::new(),
            below: JobId::first_of(Time::from_millis(past.at.millis() + 1)),
            is_whole_log: false,
        };
        while end.seq > oldest.seq && examined < self.config().rewind.list_events {
            let begin = end.seq.saturating_sub(length).max(oldest.seq);
            let window = self.events_until(Cursor { seq: begin, ..end }, end.seq).await?;
            let Some(first) = window.first() else { break };
            // Jobs of earlier events have smaller ids, because an id is generated before the job is committed.
            scan.below = JobId::first_of(Time::from_millis(first.at.millis() + 1));
            for event in window.into_iter().rev() {
                let Fact::Job { id, change, .. } = &event.fact else { continue };
                match change {
                    Change::Enqueued { .. } => {
                        let mut job = None;
                        let after = later.remove(id).unwrap_or_default();
                        scan.ids.insert(*id);
                        let events = std::iter::once(&event).chain(after.iter().rev());
                        events.for_each(|event| fold(&mut job, event, LogCaps::default()));
                        let is_here = |job: &Job| {
                            below.is_none_or(|below| job.id < below) && query.admits(job)
                        };
                        scan.jobs.extend(job.filter(is_here));
                    }
                    Change::Logged(_) | Change::Progressed(_) => {}
                    _ => later.entry(*id).or_default().push(event),
                }
            }
            scan.jobs.sort_unstable_by_key(|job| std::cmp::Reverse(job.id));
            if scan.jobs.get(rows).is_some_and(|one_more| one_more.id >= scan.below) {
                return Ok(scan);
            }
            examined += end.seq - begin;
            end.seq = begin;
            length = (2 * length).min(4_096);
        }
        scan.is_whole_log = end.seq == 0;
        Ok(scan)
    }

    /// Adds jobs from before the part of the log that was looked through, as their records tell.
    async fn add_older(
        &self,
        past: &Past,
        query: &JobQuery,
        known: &HashSet<JobId>,
        below: JobId,
        page: &mut PastPage,
    ) -> Result<(), RewindError> {
        let rows = query.rows();
        let most = u64::try_from(self.config().rewind.list_records).unwrap_or(u64::MAX);
        let start = query.below().map_or(below, |asked| asked.min(below));
        let mut next = Some(PageCursor(start));
        let mut examined = 0_u64;
        while let Some(after) = next {
            if page.jobs.len() >= rows || examined >= most {
                page.next = Some(after);
                return Ok(());
            }
            let records = JobQuery {
                kinds: query.kinds.clone(),
                tags: query.tags.clone(),
                since: query.since,
                after: Some(after),
                limit: RECORDS_PER_READ,
                most_examined: Some(most),
                ..JobQuery::default()
            };
            let found = self.jobs(records).await?;
            next = found.next;
            examined = examined.saturating_add(found.examined.max(found.jobs.len() as u64));
            for record in found.jobs {
                if page.jobs.len() >= rows {
                    let last = page.jobs.last();
                    next = last.map(|past| PageCursor(past.job.id));
                    break;
                }
                if known.contains(&record.id) || record.enqueued_at > past.at {
                    continue;
                }
                let then = record.as_of(past.cursor.seq, past.at, None);
                let then = then.filter(|job| query.admits(job));
                page.jobs.extend(then.map(|job| PastJob { job, is_gone: false }));
            }
        }
        page.next = None;
        Ok(())
    }

    /// Notes whether the job still exists, and withholds what was deleted with it.
    async fn with_what_is_left(&self, job: Job) -> Result<PastJob, RewindError> {
        let is_gone = self.job(job.id).await?.0.is_none();
        let job = if is_gone { job.without_removed_content() } else { job };
        Ok(PastJob { job, is_gone })
    }
}

/// What the events of a job make.
enum Made {
    Job(Box<Job>),
    /// There was no such job.
    Nothing,
    /// The events are too far apart, or no longer there. This is the job as it was submitted, if that is known.
    Unknown(Option<Box<Job>>),
}

/// The jobs that were submitted shortly before a moment.
struct RecentJobs {
    /// Those that match, newest first.
    jobs: Vec<Job>,
    /// All of them.
    ids: HashSet<JobId>,
    /// All jobs that were submitted earlier have smaller ids.
    below: JobId,
    /// Whether nothing was submitted earlier.
    is_whole_log: bool,
}

fn is_of(event: &Event, wanted: JobId) -> bool {
    matches!(&event.fact, Fact::Job { id, .. } if *id == wanted)
}

/// Whether a job has a change up to a cursor.
fn was_there(record: &Job, cursor: Cursor) -> bool {
    let first = record.history.first().map_or(record.seq, |moment| moment.seq);
    record.seq <= cursor.seq || first <= cursor.seq
}

/// Adds an event of a job to its record.
fn fold(job: &mut Option<Job>, event: &Event, caps: LogCaps) {
    let Fact::Job { change, .. } = &event.fact else { return };
    match (job.as_mut(), change) {
        (_, Change::Deleted) => *job = None,
        (None, _) => *job = Job::from_enqueued(event),
        (Some(known), change) => {
            if let Ok(status) = known.status.after(change) {
                known.apply(event, status, caps);
            }
        }
    }
}

/// The job with the payload and the results that events leave out because of their size.
fn with_content(mut job: Job, record: &Job) -> Job {
    Arc::make_mut(&mut job.spec).payload = record.spec.payload.clone();
    for moment in &mut job.history {
        let same = record.history.iter().find(|it| it.seq == moment.seq);
        if let Some(same) = same {
            moment.change = same.change.clone();
        }
    }
    job
}
