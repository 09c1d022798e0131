//! Folds the journal without the index, into the jobs that it holds and the chunks of each. Snapshots read jobs by it,
//! and `verify` compares the index with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::Record;
use super::trail::Trail;
use crate::job::{Change, Event, Fact, Job, JobId, Labels, State, Status};

/// The jobs of a journal that is read from its first chunk on.
#[derive(Default)]
pub struct JournalFold {
    pub jobs: BTreeMap<JobId, FoldedJob>,
}

/// A job, folded out of its events.
pub struct FoldedJob {
    pub labels: Arc<Labels>,
    pub status: Status,
    /// The number of the event that changed it last.
    pub seq: u64,
    pub trail: Trail,
}

impl JournalFold {
    /// Adds one record of a chunk.
    ///
    /// # Errors
    /// Says why the record cannot follow the ones before it.
    pub fn take(&mut self, chunk: u64, record: &Record) -> Result<(), String> {
        match record {
            Record::Event(event) => self.event(chunk, event),
            Record::Carried(job) => {
                let known = self.jobs.insert(job.id, FoldedJob::of(job, chunk));
                let Some(known) = known else { return Ok(()) };
                if known.status != job.status || known.seq != job.seq || known.labels != job.labels
                {
                    return Err(format!(
                        "job {} was copied as {} at event {}, but its events make it {} at {}",
                        job.id, job.status.state, job.seq, known.status.state, known.seq
                    ));
                }
                Ok(())
            }
            Record::Note(_) => Ok(()),
            Record::Pruned(id) => match self.jobs.remove(id) {
                Some(job) if !job.status.state.is_final() => {
                    Err(format!("job {id} was pruned while {}", job.status.state))
                }
                Some(_) | None => Ok(()),
            },
        }
    }

    fn event(&mut self, chunk: u64, event: &Event) -> Result<(), String> {
        let Fact::Job { id, labels, state, attempt, change } = &event.fact else { return Ok(()) };
        if let Some(job) = Job::from_enqueued(event) {
            if !matches!(state, State::Scheduled | State::Available) || *attempt != 0 {
                return Err(format!("event {} enqueues job {id} as {state}", event.seq));
            }
            // An id can occur again when its first job has finished and left the archive.
            return match self.jobs.insert(*id, FoldedJob::of(&job, chunk)) {
                Some(old) if !old.status.state.is_final() => {
                    Err(format!("event {} enqueues job {id}, which already exists", event.seq))
                }
                Some(_) | None => Ok(()),
            };
        }
        // An unknown job: its first events were trimmed, so it is archived, removed, or copied forward further on.
        let Some(job) = self.jobs.get_mut(id) else { return Ok(()) };
        let before = job.status;
        job.status = before
            .after(change)
            .map_err(|refused| format!("event {} of job {id} cannot be: {refused}", event.seq))?;
        let gives_back = matches!(change, Change::Interrupted { .. } | Change::Snoozed { .. });
        let expected = if gives_back { before.attempt } else { job.status.attempt };
        if let Change::Moved { from } = change {
            if job.labels.queue != *from {
                let was = &job.labels.queue;
                return Err(format!("event {} moves job {id} from {from}, not {was}", event.seq));
            }
            job.labels = Labels { queue: labels.queue.clone(), ..(*job.labels).clone() }.into();
        }
        if job.status.state != *state || expected != *attempt || job.labels != *labels {
            return Err(format!(
                "event {} says that job {id} is {state} at attempt {attempt}, but it is {} at {}",
                event.seq, job.status.state, expected
            ));
        }
        if let Change::Deleted = change {
            self.jobs.remove(id);
            return Ok(());
        }
        job.seq = event.seq;
        job.trail.add(chunk);
        Ok(())
    }

    /// Drops the jobs that finished at or before this event: they are archived or were removed.
    pub fn forget_archived(&mut self, archived: u64) {
        self.jobs.retain(|_, job| !job.status.state.is_final() || job.seq > archived);
    }
}

impl FoldedJob {
    fn of(job: &Job, chunk: u64) -> FoldedJob {
        FoldedJob {
            labels: job.labels.clone(),
            status: job.status,
            seq: job.seq,
            trail: Trail::new(chunk),
        }
    }
}
