//! Reads the parts of the log from which an earlier moment is made.

use std::ops::ControlFlow;

use super::{Past, RewindError};
use crate::engine::Engine;
use crate::job::{Change, Cursor, Event, Fact, Time};
use crate::store::Events;

/// The most events in memory at once.
const EVENTS_PER_READ: u64 = 4_096;

impl Engine {
    /// Visits the events after `after` up to and including `through`, oldest first, until `visit` breaks.
    pub(super) async fn visit_events(
        &self,
        after: Cursor,
        through: u64,
        mut visit: impl FnMut(Event) -> ControlFlow<()> + Send,
    ) -> Result<(), RewindError> {
        let mut at = after;
        while at.seq < through {
            let max = (through - at.seq).min(EVENTS_PER_READ);
            match self.events(at, usize::try_from(max).unwrap_or(usize::MAX)).await? {
                Events::Some(events) if events.is_empty() => break,
                Events::Some(events) => {
                    for event in events {
                        at.seq = event.seq;
                        if visit(event).is_break() {
                            return Ok(());
                        }
                    }
                }
                Events::Gap { .. } => return Err(RewindError::Trimmed),
            }
        }
        Ok(())
    }

    /// The events after `after` up to and including `through`, without log lines, of which a few may take megabytes.
    pub(super) async fn events_until(
        &self,
        after: Cursor,
        through: u64,
    ) -> Result<Vec<Event>, RewindError> {
        let mut found = Vec::new();
        let add = |mut event: Event| {
            if let Fact::Job { change: Change::Logged(lines), .. } = &mut event.fact {
                *lines = Vec::new();
            }
            found.push(event);
            ControlFlow::Continue(())
        };
        self.visit_events(after, through, add).await?;
        Ok(found)
    }

    /// An event of the log.
    pub(super) async fn event(&self, cursor: Cursor) -> Result<Event, RewindError> {
        let before = Cursor { seq: cursor.seq.saturating_sub(1), ..cursor };
        match self.events(before, 1).await? {
            Events::Some(mut events) => events.pop().ok_or(RewindError::Future),
            Events::Gap { .. } => Err(RewindError::Trimmed),
        }
    }

    /// The last event from `first` to `last` that happened before `end`, by bisection; `None` when all are later. Where the
    /// clock was set back, it is one of those that qualify.
    pub(super) async fn last_before(
        &self,
        first: Cursor,
        last: Cursor,
        end: Time,
    ) -> Result<Option<Event>, RewindError> {
        let mut found = None;
        let (mut low, mut high) = (first.seq, last.seq);
        while low <= high {
            let middle = low + (high - low) / 2;
            let event = self.event(Cursor { seq: middle, ..last }).await?;
            if event.at < end {
                found = Some(event);
                low = middle + 1;
            } else {
                high = middle.saturating_sub(1);
            }
        }
        Ok(found)
    }

    /// The moment after an event.
    pub(super) async fn moment(&self, cursor: Cursor) -> Result<Past, RewindError> {
        Ok(Past { cursor, at: self.event(cursor).await?.at })
    }
}
