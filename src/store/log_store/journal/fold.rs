//! The journal folded without the index: which jobs it makes, and by which chunks. Snapshots walk along
//! it, and `verify` compares the index with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::Record;
use super::trail::Trail;
use crate::job::{Change, Event, Fact, Job, JobId, Labels, State, Status};

/// The jobs of a journal read from its first chunk on.
#[derive(Default)]
pub struct Fold {
    pub jobs: BTreeMap<JobId, Folded>,
}

/// A job as its events make it.
pub struct Folded {
    pub labels: Arc<Labels>,
    pub status: Status,
    /// The event that changed it last.
    pub seq: u64,
    pub trail: Trail,
}

impl Fold {
    /// Adds one record of a chunk.
    ///
    /// # Errors
    /// Why it cannot follow what came before.
    pub fn take(&mut self, chunk: u64, record: &Record) -> Result<(), String> {
        match record {
            Record::Event(event) => self.event(chunk, event),
            Record::Carried(job) => {
                let known = self.jobs.insert(job.id, Folded::of(job, chunk));
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
            // The same id again is one whose first job has finished and left the archive.
            return match self.jobs.insert(*id, Folded::of(&job, chunk)) {
                Some(old) if !old.status.state.is_final() => {
                    Err(format!("event {} enqueues job {id}, which is there", event.seq))
                }
                Some(_) | None => Ok(()),
            };
        }
        // Unknown: its beginning has left the log, and it is archived, gone, or copied further on.
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

    /// Forgets what finished up to this event: the archive has it, or it is gone.
    pub fn forget_archived(&mut self, archived: u64) {
        self.jobs.retain(|_, job| !job.status.state.is_final() || job.seq > archived);
    }
}

impl Folded {
    fn of(job: &Job, chunk: u64) -> Folded {
        Folded {
            labels: job.labels.clone(),
            status: job.status,
            seq: job.seq,
            trail: Trail::new(chunk),
        }
    }
}
