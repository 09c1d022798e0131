//! One thing done to every job of a group of failures: step by step, each step one verb of the store, within
//! a bound.

use std::time::{Duration, Instant};

use crate::engine::{Engine, EngineError};
use crate::store::Control;

/// Jobs of one step: enough to be quick, few enough that others get their turn.
const STEP: usize = 500;

/// What is done to the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAction {
    /// Make them run again now.
    Retry,
    /// Remove them.
    Delete,
}

/// What became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupDone {
    /// Jobs to which it was done.
    pub done: u64,
    /// Jobs that had moved on meanwhile.
    pub refused: u64,
    /// Whether the bound came first: there are more jobs.
    pub is_partial: bool,
}

impl Engine {
    /// Acts on the jobs that are in a group of failures now, the oldest first, for about so long.
    ///
    /// # Errors
    /// When the store refuses; what was done until then stays done.
    pub async fn act_on_group(
        &self,
        group: &str,
        action: GroupAction,
        bound: Duration,
    ) -> Result<GroupDone, EngineError> {
        let (begun, mut after, mut sum) = (Instant::now(), None, GroupDone::default());
        loop {
            let (ids, last) = self.failure_members(group, after, STEP);
            if !ids.is_empty() {
                let control = match action {
                    GroupAction::Retry => Control::Retry(ids),
                    GroupAction::Delete => Control::Delete(ids),
                };
                for (_, answer) in self.parts.store.control(control).await? {
                    match answer {
                        Ok(_) => sum.done += 1,
                        Err(_) => sum.refused += 1,
                    }
                }
            }
            if last.is_none() {
                return Ok(sum);
            }
            after = last;
            if begun.elapsed() >= bound || self.shutdown().draining.is_cancelled() {
                sum.is_partial = true;
                return Ok(sum);
            }
            tokio::task::yield_now().await;
        }
    }
}
