//! Counts the active requests of one connection in a watch channel, so that the stop can wait for the last one without
//! polling.

use std::time::Duration;

use tokio::sync::watch;

/// Counts the active requests of one connection. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct InFlightRequests(watch::Sender<usize>);

/// A request counts as active until this is dropped.
#[derive(Debug)]
pub struct RequestGuard(watch::Sender<usize>);

impl InFlightRequests {
    /// Counts one more request.
    pub fn begin(&self) -> RequestGuard {
        self.0.send_modify(|count| *count += 1);
        RequestGuard(self.0.clone())
    }

    /// Resolves when no request has been active for `quiet`. A request that begins and ends meanwhile restarts the
    /// wait: it was already in the buffer, and its response may still be in transit.
    pub async fn idle(&self, quiet: Duration) {
        let mut count = self.0.subscribe();
        // Fails only without a sender, and `self` is one.
        while count.wait_for(|count| *count == 0).await.is_ok() {
            if tokio::time::timeout(quiet, count.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test]
    async fn a_request_counts_however_short_it_is() {
        const QUIET: Duration = Duration::from_millis(200);
        let in_flight = InFlightRequests::default();
        for _ in 0..20 {
            let short = async {
                sleep(QUIET / 2).await;
                let begun = Instant::now();
                drop(in_flight.begin());
                (begun, Instant::now())
            };
            let idle = async {
                in_flight.idle(QUIET).await;
                Instant::now()
            };
            let ((begun, ended), idle) = tokio::join!(short, idle);
            // On a busy machine the request may begin too late to count; then try again.
            if begun < idle {
                assert!(idle >= ended + QUIET, "the quiet time restarts with each request");
                return;
            }
        }
        panic!("no request began within the quiet time");
    }

    #[tokio::test]
    async fn nothing_is_idle_while_a_request_is_in_flight() {
        let in_flight = InFlightRequests::default();
        let two = [in_flight.begin(), in_flight.clone().begin()];
        let idle = tokio::time::timeout(Duration::from_millis(50), in_flight.idle(Duration::ZERO));
        assert!(idle.await.is_err());
        drop(two);
        in_flight.idle(Duration::ZERO).await;
    }
}
