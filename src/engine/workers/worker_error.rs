//! The errors of requests of workers and about workers.

use crate::job::WorkerName;
use crate::store::StoreError;

/// Why a request of a worker, or one about a worker, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// No worker with this name is known.
    #[error("no such worker: {0}")]
    NotFound(WorkerName),
    /// The table of workers is full.
    #[error("the limit of {limit} workers (engine.max_workers) is reached")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The token or the user of the caller has as many workers as one may have.
    #[error("the limit of {limit} workers of one token (engine.workers_per_token) is reached")]
    TooManyOfToken {
        /// The limit.
        limit: usize,
    },
    /// The name belongs to somebody else, and the credentials of the caller are restricted.
    #[error(
        "the worker {0} was connected with other credentials; while it is connected or holds jobs, credentials with \
         restrictions cannot act as this worker"
    )]
    OfAnother(WorkerName),
    /// The name belongs to the worker of the server itself.
    #[error("{0} is the name of the worker in the server's own process")]
    OwnName(WorkerName),
    /// The name belongs to the worker of another node.
    #[error("{0} is the name of the worker in the process of the node {1}")]
    NameOfNode(WorkerName, String),
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The store could not do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}
