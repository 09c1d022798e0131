//! The limits of reading earlier moments.

/// How much of the log one request for an earlier moment reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewindLimits {
    /// The most events before a moment among which a list looks for jobs that were submitted then. Older jobs are listed as
    /// their records tell, without those that have been removed since.
    pub window: u64,
    /// The most records of older jobs that one page of a list looks at.
    pub records: usize,
    /// The most events between the submission of a job and a moment from which the job is made. Of a job that took longer,
    /// the record tells most.
    pub events_of_job: u64,
    /// The most events between a moment and the first checkpoint of the counters, when there is none before the moment.
    pub counted_back: u64,
}

impl Default for RewindLimits {
    fn default() -> Self {
        RewindLimits {
            window: 32_768,
            records: 5_000,
            events_of_job: 200_000,
            counted_back: 200_000,
        }
    }
}
