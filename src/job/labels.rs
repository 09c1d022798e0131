//! The labels of a job: the queue, kind and tags that every filter compares.

use serde::{Deserialize, Serialize};

use super::{Kind, QueueName, Tag};

/// The part of a job that filters compare. A job, its index entry and its events share one copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// The queue of the job.
    pub queue: QueueName,
    /// The kind of the job, which selects its handler.
    pub kind: Kind,
    /// The tags by which people find the job.
    pub tags: Box<[Tag]>,
}
