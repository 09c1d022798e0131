//! What was counted over time, read beside the index.

use async_trait::async_trait;

use super::LogStore;
use super::commit::command::Mutation;
use super::journal::history_rows::{prepare, progress, rows_at, rows_of};
use crate::store::{
    HistoryBatch, HistoryProgress, HistoryRow, HistorySeries, HistoryStep, HistoryTable, StoreError,
};

#[async_trait]
impl HistoryTable for LogStore {
    async fn put(&self, batch: HistoryBatch) -> Result<bool, StoreError> {
        self.shared.check()?;
        let rows = self.read(move |shared| prepare(&*shared.log, batch)).await?;
        self.mutate(|reply| Mutation::PutHistory(rows, reply)).await
    }

    async fn progress(&self) -> Result<Option<HistoryProgress>, StoreError> {
        self.shared.check()?;
        self.read(|shared| progress(&*shared.log)).await
    }

    async fn rows(
        &self,
        step: HistoryStep,
        series: HistorySeries,
        from: u64,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        self.shared.check()?;
        self.read(move |shared| rows_of(&*shared.log, step, series, from)).await
    }

    async fn rows_at(&self, step: HistoryStep, number: u64) -> Result<Vec<HistoryRow>, StoreError> {
        self.shared.check()?;
        self.read(move |shared| rows_at(&*shared.log, step, number)).await
    }
}
