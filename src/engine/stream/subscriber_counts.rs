//! Counts long-lived subscribers by transport. `http` registers each of them here, so that pages and metrics
//! can show how many there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How a subscriber receives events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// A long poll.
    Poll,
    /// A request that follows the log of one job.
    Log,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Transport; 4] =
        [Transport::WebSocket, Transport::EventStream, Transport::Poll, Transport::Log];

    /// The public name, as it appears in metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::WebSocket => "websocket",
            Transport::EventStream => "event_stream",
            Transport::Poll => "poll",
            Transport::Log => "log",
        }
    }
}

/// The number of subscribers of each transport.
#[derive(Debug, Default)]
pub struct SubscriberCounts([AtomicU64; Transport::ALL.len()]);

impl SubscriberCounts {
    /// Counts a subscriber until the returned guard is dropped.
    pub fn register(self: &Arc<Self>, transport: Transport) -> CountedSubscriber {
        self.0[transport as usize].fetch_add(1, Ordering::Relaxed);
        CountedSubscriber { counts: self.clone(), transport }
    }

    /// The number of subscribers of one transport.
    pub fn of(&self, transport: Transport) -> u64 {
        self.0[transport as usize].load(Ordering::Relaxed)
    }

    /// The number of subscribers of all transports.
    pub fn total(&self) -> u64 {
        Transport::ALL.iter().map(|transport| self.of(*transport)).sum()
    }
}

/// A subscriber, which is counted until this guard is dropped.
#[derive(Debug)]
pub struct CountedSubscriber {
    counts: Arc<SubscriberCounts>,
    transport: Transport,
}

impl Drop for CountedSubscriber {
    fn drop(&mut self) {
        self.counts.0[self.transport as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscriber_that_has_left_is_not_counted() {
        let counts = Arc::new(SubscriberCounts::default());
        let (one, two) = (counts.register(Transport::Poll), counts.register(Transport::Poll));
        let other = counts.register(Transport::Log);
        drop(one);
        assert_eq!((counts.of(Transport::Poll), counts.of(Transport::Log)), (1, 1));
        assert_eq!(counts.total(), 2);
        drop((two, other));
        assert_eq!(counts.total(), 0);
    }
}
