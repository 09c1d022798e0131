//! Finds the waits that began while the clock was ahead, while the journal is read.

use std::collections::HashMap;

use crate::job::{Change, Job, JobId, Time};
use crate::store::clock_changes::Wait;

/// The waits that began in the future as the clock now shows it, because it was ahead when they began.
#[derive(Debug, Default)]
pub struct FutureWaits {
    /// When the journal was read.
    now: Time,
    /// When its newest chunk was written.
    pub newest: Time,
    /// When the wait of each of these jobs began.
    pub began: HashMap<JobId, Time>,
}

impl FutureWaits {
    pub fn at(now: Time) -> FutureWaits {
        FutureWaits { now, newest: now, began: HashMap::new() }
    }

    /// Notes when a chunk of the journal was written.
    pub fn note_chunk(&mut self, at: Time) {
        self.newest = at;
    }

    /// Notes a change of a job while the journal is read.
    pub fn note(&mut self, id: JobId, change: &Change, at: Time) {
        let Some(wait) = Wait::begun_by(change, at) else { return };
        if wait.began_ahead(at, self.now) {
            self.began.insert(id, at);
        } else if !self.began.is_empty() {
            self.began.remove(&id);
        }
    }

    /// Notes a job whose whole record was copied forward in the journal.
    pub fn note_job(&mut self, job: &Job) {
        let began = job.wait_began();
        if Wait::of(job).began_ahead(began, self.now) {
            self.began.insert(job.id, began);
        }
    }
}
