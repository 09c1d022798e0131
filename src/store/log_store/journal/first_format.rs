//! The first format of chunks of the journal and of chunks of archived jobs, in which events and jobs have no actors. They
//! are only read: what a store writes has the newest format, and old chunks stay as they are.

use std::sync::Arc;

use serde::Deserialize;

use crate::job::{
    Change, Job, JobId, Labels, LogLine, Moment, Progress, QueueChange, QueueName, ScheduleChange,
    ScheduleName, Spec, State, Status, Time,
};

/// The number of the first format of a chunk of the journal.
pub const CHUNK: u8 = 1;
/// The number of the first format of a chunk of archived jobs.
pub const ARCHIVED_JOBS: u8 = 1;

/// The header of a chunk of the journal.
#[derive(Deserialize)]
pub struct FirstHeader {
    pub first_seq: u64,
    pub at: Time,
    pub count: u32,
    pub labels: Vec<Arc<Labels>>,
}

/// A record of the journal.
#[derive(Deserialize)]
pub enum FirstRecord {
    Job { id: JobId, label: u32, state: State, attempt: u16, change: Change },
    Queue { queue: QueueName, change: QueueChange },
    Carried(Box<FirstJob>),
    Pruned(JobId),
    Schedule { schedule: ScheduleName, change: ScheduleChange },
}

/// A whole job.
#[derive(Deserialize)]
pub struct FirstJob {
    id: JobId,
    labels: Arc<Labels>,
    spec: Arc<Spec>,
    enqueued_at: Time,
    status: Status,
    run_at: Time,
    seq: u64,
    history: Vec<FirstMoment>,
    log: Vec<LogLine>,
    log_dropped: u64,
    progress: Option<Progress>,
}

#[derive(Deserialize)]
struct FirstMoment {
    seq: u64,
    at: Time,
    state: State,
    attempt: u16,
    change: Change,
}

impl From<FirstJob> for Job {
    fn from(job: FirstJob) -> Job {
        let history = job.history.into_iter().map(|moment| {
            let FirstMoment { seq, at, state, attempt, change } = moment;
            Moment { seq, at, state, attempt, by: None, change }
        });
        Job {
            id: job.id,
            labels: job.labels,
            spec: job.spec,
            enqueued_at: job.enqueued_at,
            enqueued_by: None,
            status: job.status,
            run_at: job.run_at,
            seq: job.seq,
            history: history.collect(),
            log: job.log,
            log_dropped: job.log_dropped,
            progress: job.progress,
        }
    }
}
