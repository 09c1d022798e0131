//! What was counted over time.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::{
    HistoryBatch, HistoryKey, HistoryProgress, HistoryRow, HistorySeries, HistoryStep,
    HistoryTable, StoreError,
};

#[async_trait]
impl HistoryTable for MemoryStore {
    async fn put(&self, batch: HistoryBatch) -> Result<bool, StoreError> {
        let HistoryBatch { progress, rows, forget } = batch;
        let content = &mut self.open()?.content;
        if !progress.may_follow(content.history_progress.as_ref()) {
            return Ok(false);
        }
        content.history_progress = Some(progress);
        for (step, before) in forget {
            content.history.retain(|key, _| key.step != step || key.number >= before);
        }
        for (key, value) in rows {
            if value.is_empty() {
                content.history.remove(&key);
            } else {
                content.history.insert(key, value);
            }
        }
        Ok(true)
    }

    async fn progress(&self) -> Result<Option<HistoryProgress>, StoreError> {
        Ok(self.open()?.content.history_progress)
    }

    async fn rows(
        &self,
        step: HistoryStep,
        series: HistorySeries,
        from: u64,
    ) -> Result<Vec<HistoryRow>, StoreError> {
        let last = HistoryKey { step, series: series.clone(), number: u64::MAX };
        let first = HistoryKey { step, series, number: from };
        let content = &self.open()?.content;
        let rows = content.history.range(first..=last);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    async fn rows_at(&self, step: HistoryStep, number: u64) -> Result<Vec<HistoryRow>, StoreError> {
        let content = &self.open()?.content;
        let same = |(key, _): &(&HistoryKey, _)| key.step == step && key.number == number;
        let rows = content.history.iter().filter(same);
        Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}
