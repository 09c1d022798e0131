//! The rows for queries beside the log: each call runs on a thread that may block.

use async_trait::async_trait;

use super::LogStore;
use super::commit::shared::Shared;
use super::journal::nodes::NodeId;
use crate::job::{JobId, State};
use crate::store::log::LogProjection;
use crate::store::{Projection, ProjectionCharge, ProjectionFigures, ProjectionStep, StoreError};

#[async_trait]
impl Projection for LogStore {
    async fn hold(&self) -> Result<ProjectionCharge, StoreError> {
        self.with_projection(|rows, node| rows.hold(node.0)).await
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.with_projection(|rows, node| rows.release(node.0)).await
    }

    async fn clear(&self) -> Result<bool, StoreError> {
        self.with_projection(|rows, node| rows.clear(node.0)).await
    }

    async fn write(&self, step: ProjectionStep) -> Result<bool, StoreError> {
        self.with_projection(move |rows, node| rows.write(node.0, step)).await
    }

    async fn figures(&self) -> Result<ProjectionFigures, StoreError> {
        self.with_projection(|rows, _| rows.figures()).await
    }

    async fn oldest(&self, state: State, most: usize) -> Result<Vec<JobId>, StoreError> {
        self.with_projection(move |rows, _| rows.oldest(state, most)).await
    }
}

impl LogStore {
    async fn with_projection<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn LogProjection, NodeId) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.shared.check()?;
        let work = move |shared: &Shared| {
            let (Some(rows), Some(node)) = (shared.log.projection(), shared.node) else {
                return Err(StoreError::Unavailable("the log has no rows for queries".into()));
            };
            work(rows, node)
        };
        LogStore::read(self, work).await
    }
}
