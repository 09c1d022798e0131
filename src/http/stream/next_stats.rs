//! Waits for live statistics, for the transports that push them.

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::LiveStats;

/// Resolves when there are new statistics; pending forever when nobody subscribes to them or the server has no more.
pub async fn next_stats(live_stats: &mut Option<watch::Receiver<Option<Arc<LiveStats>>>>) {
    if let Some(live_stats) = live_stats
        && live_stats.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
