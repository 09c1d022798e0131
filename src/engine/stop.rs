//! Stops the engine in steps, each with a time limit: claims end, attempts finish or are given back, loops
//! end, the last event is sent, connections close, and the store closes.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::Engine;
use crate::shutdown::{StopBounds, StopReport};

/// How the attempts ended during a stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drained {
    /// Attempts that ended by themselves and are settled.
    pub finished: u64,
    /// Attempts that were interrupted and given back without being charged.
    pub interrupted: u64,
    /// Attempts that did not end. Their jobs run again when their leases have expired, or after the next
    /// start.
    pub stuck: usize,
    /// Attempts that ended, but whose end the store did not accept in time.
    pub unsettled: usize,
}

impl Engine {
    /// Runs the whole stop, and begins it if `draining` is not cancelled yet. Cancelling `abort` (the second
    /// signal) ends the grace period at any moment. `requests` resolves when the last request in flight has
    /// been answered; the stop waits for it and for the attempts at the same time.
    pub async fn stop(
        &self,
        bounds: &StopBounds,
        requests: impl Future<Output = ()>,
    ) -> StopReport {
        let began = Instant::now();
        let shutdown = &self.parts.shutdown;
        shutdown.draining.cancel();
        let running = self.running();
        info!(
            running,
            grace_ms = bounds.grace.as_millis() as u64,
            "stopping, no new jobs are claimed"
        );

        let requests = timeout(bounds.requests, requests);
        let (drained, requests) = tokio::join!(self.drain(bounds), requests);
        if requests.is_err() {
            warn!("requests are still in flight, closing their connections");
        }
        let streamed = self.finish_stream(bounds.stream).await;
        shutdown.connections.close();
        if timeout(bounds.connections, shutdown.connections.wait()).await.is_err() {
            warn!(
                open = shutdown.connections.len(),
                "connections did not close in time, dropping them"
            );
        }
        let closed = self.close(bounds.close).await;
        let Drained { finished, interrupted, stuck, unsettled } = drained;
        let failed = shutdown.failures.get().is_some();
        let report = StopReport {
            finished,
            interrupted,
            stuck,
            unsettled,
            open_connections: shutdown.connections.len(),
            duration: began.elapsed(),
            clean: stuck == 0 && unsettled == 0 && streamed && closed && !failed,
        };
        report.log();
        report
    }

    /// Ends claims and lets running attempts finish within the grace period. Then their tokens are cancelled, and
    /// they are given back.
    pub async fn drain(&self, bounds: &StopBounds) -> Drained {
        let parts = &self.parts;
        let (finished, interrupted) = (&parts.settled.finished, &parts.settled.interrupted);
        let before = (finished.load(Ordering::Relaxed), interrupted.load(Ordering::Relaxed));
        parts.shutdown.draining.cancel();
        parts.store.end_searches();
        let kept = parts.remote.keep_through_stop(bounds.grace + bounds.settle);
        if !matches!(timeout(bounds.settle, kept).await, Ok(Ok(()))) {
            warn!("the leases of remote workers were not extended for the stop");
        }
        parts.stages.claiming.close();
        if timeout(bounds.settle, parts.stages.claiming.wait()).await.is_err() {
            warn!("the store did not answer the last claims in time");
        }
        let in_time = tokio::select! {
            biased;
            () = parts.leases.emptied() => true,
            () = parts.shutdown.abort.cancelled() => false,
            () = sleep(bounds.grace) => false,
        };
        if !in_time {
            info!(running = parts.leases.len(), "the grace period is over, ending attempts");
            parts.shutdown.abort.cancel();
            let bound =
                parts.config.handler_grace + super::attempts::executor::DROP_BOUND + bounds.settle;
            if timeout(bound, parts.leases.emptied()).await.is_err() {
                warn!(unsettled = parts.leases.len(), "attempts were not settled in time");
            }
        }
        parts.stages.attempts_over.cancel();
        Drained {
            finished: finished.load(Ordering::Relaxed) - before.0,
            interrupted: interrupted.load(Ordering::Relaxed) - before.1,
            stuck: parts.leases.lingering(),
            unsettled: parts.leases.len(),
        }
    }

    /// Ends the loops, sends the last event and closes the live channel. Returns whether all of that was done
    /// within the bound.
    pub async fn finish_stream(&self, bound: Duration) -> bool {
        let parts = &self.parts;
        parts.stages.end_loops.cancel();
        parts.stages.loops.close();
        let quiet = timeout(bound, parts.stages.loops.wait()).await.is_ok();
        parts.stages.no_more_events.cancel();
        parts.stages.pump.close();
        let sent = timeout(bound, parts.stages.pump.wait()).await.is_ok();
        parts.live.end();
        if !(quiet && sent) {
            error!(quiet, sent, "the last events were not sent in time");
        }
        quiet && sent
    }

    /// Flushes and closes the store. Returns whether that worked.
    pub async fn close(&self, bound: Duration) -> bool {
        match timeout(bound, self.parts.store.close()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                error!(%error, "the store did not close cleanly");
                false
            }
            Err(_) => {
                error!("the store did not close in time");
                false
            }
        }
    }
}
