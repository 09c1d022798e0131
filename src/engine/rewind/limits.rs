//! The limits of reading earlier moments.

use serde::{Deserialize, Serialize};

/// How much of the log the requests for earlier moments read; the section `[rewind]` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewindLimits {
    /// The most events before a moment among which a list looks for jobs that were submitted then. Older jobs are listed as
    /// their records tell, without those that have been removed since.
    pub list_events: u64,
    /// The most records of older jobs that one page of a list looks at.
    pub list_records: usize,
    /// The most events between the submission of a job and a moment from which the job is made. Of a job that took longer,
    /// the record tells most.
    pub job_events: u64,
    /// The most events between a moment and the first checkpoint of the counters, when there is none before the moment.
    pub counted_events: u64,
    /// The most pages of earlier moments that are made at the same time; others wait.
    pub pages: usize,
}

impl Default for RewindLimits {
    fn default() -> Self {
        RewindLimits {
            list_events: 24_576,
            list_records: 4_000,
            job_events: 200_000,
            counted_events: 200_000,
            pages: 4,
        }
    }
}
