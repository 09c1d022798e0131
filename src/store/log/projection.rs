//! The rows for queries beside a log; see [`Projection`](crate::store::Projection).

use crate::job::{JobId, State};
use crate::store::StoreError;
use crate::store::projection::{ProjectionCharge, ProjectionFigures, ProjectionStep};

/// What [`Projection`](crate::store::Projection) does, for a node, on a thread that may block.
pub trait LogProjection: Send + Sync {
    /// Takes charge of the rows.
    fn hold(&self, node: u64) -> Result<ProjectionCharge, StoreError>;

    /// Gives up the charge.
    fn release(&self, node: u64) -> Result<(), StoreError>;

    /// Removes all rows.
    fn clear(&self, node: u64) -> Result<bool, StoreError>;

    /// Changes rows.
    fn write(&self, node: u64, step: ProjectionStep) -> Result<bool, StoreError>;

    /// How far the rows are behind.
    fn figures(&self) -> Result<ProjectionFigures, StoreError>;

    /// The ids of the rows that have been in a final state longest.
    fn oldest(&self, state: State, most: usize) -> Result<Vec<JobId>, StoreError>;
}
