//! A run that is ready to be written.

use super::keys;
use super::runs::Run;
use crate::job::{Job, JobId};
use crate::store::StoreError;
use crate::store::log::WriteBatch;

/// A run ready to be written, with the rows of its jobs' keys.
pub struct NewRun {
    pub run: Option<Run>,
    pub writes: WriteBatch,
    /// Each job, and the event that ended it.
    pub jobs: Vec<(JobId, u64)>,
}

impl NewRun {
    /// Packs jobs into a run with this number.
    ///
    /// # Errors
    /// When a job cannot be encoded.
    pub fn build(no: u64, jobs: Vec<Job>) -> Result<NewRun, StoreError> {
        let mut writes = WriteBatch::default();
        jobs.iter().for_each(|job| keys::put(&mut writes, job));
        let ended = jobs.iter().map(|job| (job.id, job.seq)).collect();
        let run = Run::build(no, jobs, &mut writes).map_err(StoreError::Corrupt)?;
        Ok(NewRun { run, writes, jobs: ended })
    }
}
