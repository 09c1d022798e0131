//! The labels of a job: the queue, kind and tags that every filter compares.

use serde::{Deserialize, Serialize};

use super::{Kind, QueueName, Tag};

/// The part of a job that filters compare. A job, its index entry and its events share one copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels {
    /// The queue it waits in.
    pub queue: QueueName,
    /// Its kind.
    pub kind: Kind,
    /// Labels to find it by.
    pub tags: Box<[Tag]>,
}
