//! The errors of the verbs of a store.

use super::reused_key::ReusedKey;
use crate::access::AccessRefusal;
use crate::job::Refused;

/// Why a store could not do its work, whatever it was asked to do. A verb that can also refuse a request has an error
/// of its own, which contains this one. Each variant exists because some caller acts differently on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store is closed, because the server is stopping.
    #[error("the store is closed")]
    Closed,
    /// The disk or the file system failed, and nothing of the command was acknowledged. The store recovers by itself
    /// when the disk works again, without the refused changes. Some of them can exist after the next start only if
    /// the process dies before that.
    #[error("the store cannot write: {0}")]
    Unavailable(String),
    /// The stored data is damaged.
    #[error("the store cannot be read: {0}")]
    Corrupt(String),
    /// The database was replaced by one that may lack the last commits, as by a failover to a standby. What this process
    /// knows may never have happened there, so only a new start of the server can use it, with a new epoch.
    #[error("the database was replaced: {0}")]
    Replaced(String),
    /// A newer version wrote the stored data, which is left as it is. See [`formats`](super::formats).
    #[error(
        "{what} was written by a newer version of Cortado (format {found}; this version reads up to {newest})"
    )]
    Newer {
        /// What has the format number, and where it is.
        what: String,
        /// The number that was found.
        found: u64,
        /// The greatest number that this version reads.
        newest: u64,
    },
}

/// Why jobs were not enqueued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnqueueError {
    /// The backlog has reached its limit: try again later.
    #[error("the backlog is full: {waiting} jobs are waiting and the limit is {limit}")]
    Full {
        /// The number of waiting jobs.
        waiting: u64,
        /// The limit.
        limit: u64,
    },
    /// The jobs need new queues, and there would be too many.
    #[error(transparent)]
    TooManyQueues(#[from] TooManyQueues),
    /// The idempotency key of a job was used for another submission.
    #[error(transparent)]
    KeyReused(#[from] ReusedKey),
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// There would be more queues than the limit allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the limit of {limit} queues is reached")]
pub struct TooManyQueues {
    /// The limit.
    pub limit: usize,
}

/// Why the end of an attempt was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettleError {
    /// The lease is not the current one: the job was rescued, finished, or is gone.
    #[error("the lease is stale")]
    Stale,
}

/// Why a control did nothing at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The control needs a new queue, and there would be too many.
    #[error(transparent)]
    TooManyQueues(#[from] TooManyQueues),
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why users, tokens, sessions or share links were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] AccessRefusal),
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a control was refused for one job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobControlError {
    /// There is no such job.
    #[error("there is no such job")]
    NotFound,
    /// The state of the job does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
}
