//! Who listens for long, by door. The machine interface counts them here, so that pages and metrics can tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ways to listen for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// A WebSocket.
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// A poll that waits for events.
    Poll,
    /// A job's log that is followed.
    Log,
}

impl Door {
    /// Every door.
    pub const ALL: [Door; 4] = [Door::WebSocket, Door::EventStream, Door::Poll, Door::Log];

    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Door::WebSocket => "websocket",
            Door::EventStream => "event_stream",
            Door::Poll => "poll",
            Door::Log => "log",
        }
    }
}

/// How many listen at each door.
#[derive(Debug, Default)]
pub struct Listeners([AtomicU64; Door::ALL.len()]);

impl Listeners {
    /// Counts one more, until the answer is dropped.
    pub fn enter(self: &Arc<Self>, door: Door) -> Listening {
        self.0[door as usize].fetch_add(1, Ordering::Relaxed);
        Listening { listeners: self.clone(), door }
    }

    /// How many there are at a door now.
    pub fn at(&self, door: Door) -> u64 {
        self.0[door as usize].load(Ordering::Relaxed)
    }

    /// How many there are at all doors together.
    pub fn total(&self) -> u64 {
        Door::ALL.iter().map(|door| self.at(*door)).sum()
    }
}

/// One who listens; counted while it lives.
#[derive(Debug)]
pub struct Listening {
    listeners: Arc<Listeners>,
    door: Door,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.listeners.0[self.door as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_not_counted() {
        let listeners = Arc::new(Listeners::default());
        let (one, two) = (listeners.enter(Door::Poll), listeners.enter(Door::Poll));
        let other = listeners.enter(Door::Log);
        drop(one);
        assert_eq!((listeners.at(Door::Poll), listeners.at(Door::Log)), (1, 1));
        assert_eq!(listeners.total(), 2);
        drop((two, other));
        assert_eq!(listeners.total(), 0);
    }
}
