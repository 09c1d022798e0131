//! Counts the active requests of one connection in a watch channel, so that the stop can wait for the last one without
//! polling.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Counts the active requests of one connection. Clones share the count.
#[derive(Debug, Clone)]
pub struct InFlightRequests(watch::Sender<ConnectionActivity>);

/// The active requests, and when one began or ended last. A connection without a request has been idle since it began.
#[derive(Debug)]
struct ConnectionActivity {
    requests: usize,
    changed_at: Instant,
}

/// A request counts as active until this is dropped.
#[derive(Debug)]
pub struct RequestGuard(watch::Sender<ConnectionActivity>);

impl Default for InFlightRequests {
    fn default() -> Self {
        let activity = ConnectionActivity { requests: 0, changed_at: Instant::now() };
        InFlightRequests(watch::Sender::new(activity))
    }
}

impl InFlightRequests {
    /// Counts one more request.
    pub fn begin(&self) -> RequestGuard {
        self.0.send_modify(|activity| activity.change(activity.requests + 1));
        RequestGuard(self.0.clone())
    }

    /// Whether no request has been active for `quiet` before `now`.
    pub fn has_been_idle_for(&self, quiet: Duration, now: Instant) -> bool {
        let activity = self.0.borrow();
        activity.requests == 0 && now.duration_since(activity.changed_at) >= quiet
    }

    /// Resolves when no request has been active for `quiet` from now on. A request that begins and ends meanwhile restarts
    /// the wait: it was already in the buffer, and its response may still be in transit.
    pub async fn idle(&self, quiet: Duration) {
        let mut activity = self.0.subscribe();
        // Fails only without a sender, and `self` is one.
        while activity.wait_for(|activity| activity.requests == 0).await.is_ok() {
            if tokio::time::timeout(quiet, activity.changed()).await.is_err() {
                return;
            }
        }
    }
}

impl ConnectionActivity {
    fn change(&mut self, requests: usize) {
        *self = ConnectionActivity { requests, changed_at: Instant::now() };
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.send_modify(|activity| activity.change(activity.requests - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

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

    #[test]
    fn a_connection_is_idle_from_its_begin_or_from_its_last_request() {
        const QUIET: Duration = Duration::from_secs(3_600);
        let in_flight = InFlightRequests::default();
        let is_idle = |after: Duration| in_flight.has_been_idle_for(QUIET, Instant::now() + after);
        assert!(!is_idle(Duration::ZERO) && is_idle(QUIET));
        let request = in_flight.begin();
        assert!(!is_idle(2 * QUIET), "a request is active");
        drop(request);
        assert!(!is_idle(Duration::ZERO), "the client may send the next one");
        assert!(is_idle(QUIET));
    }
}
