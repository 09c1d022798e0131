//! What became of a job that was to be enqueued.

use crate::job::Job;

/// The answer for one submitted job.
#[derive(Debug, Clone, PartialEq)]
pub enum Enqueued {
    /// A new job.
    New(Job),
    /// The job that already has the key or the id.
    Existing(Job),
}

impl Enqueued {
    /// The job, new or not.
    pub fn job(&self) -> &Job {
        match self {
            Enqueued::New(job) | Enqueued::Existing(job) => job,
        }
    }

    /// The job, new or not.
    pub fn into_job(self) -> Job {
        match self {
            Enqueued::New(job) | Enqueued::Existing(job) => job,
        }
    }
}
