//! How often the events tell that a worker has connected: at most once a second for each name, so that a client that
//! connects again and again does not fill the event log.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::job::WorkerName;

/// The shortest time between two events of this kind about one name.
const INTERVAL: Duration = Duration::from_secs(1);

/// When the events last told of each worker that it has connected.
#[derive(Debug, Default)]
pub struct Announcements(HashMap<WorkerName, Instant>);

impl Announcements {
    /// Whether an event may tell now that a worker has connected. If so, the next one has to wait.
    pub fn allow(&mut self, name: &WorkerName, now: Instant) -> bool {
        let is_allowed = self.0.get(name).is_none_or(|last| now >= *last + INTERVAL);
        if is_allowed {
            self.0.insert(name.clone(), now);
        }
        is_allowed
    }

    /// Forgets what has no effect any more.
    pub fn forget_old(&mut self, now: Instant) {
        self.0.retain(|_, last| now < *last + INTERVAL);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
