//! The memory that events and records take, and their reduced form without large contents. Payloads and results
//! make up most of it, and neither the events that followers get nor the rows of lists show them.

use std::sync::Arc;

use crate::job::{Change, Event, Fact, Job, Json, LogLine, Spec};

/// Payloads and results up to this many bytes are kept, because leaving them out would save nothing.
const MAX_INLINE_BYTES: usize = 1_024;

impl Event {
    /// The approximate memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        /// An estimate for all other fields.
        const OTHER_BYTES: usize = 256;
        match &self.fact {
            Fact::Job { change, .. } => OTHER_BYTES + change.bytes(),
            Fact::Queue { .. }
            | Fact::Schedule { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => OTHER_BYTES,
        }
    }

    /// The event with `null` in place of a payload or result of more than 1 KiB.
    pub fn without_content(mut self) -> Event {
        if let Fact::Job { change, .. } = &mut self.fact {
            change.leave_out_content();
        }
        self
    }
}

impl Job {
    /// The approximate memory it takes, in bytes.
    pub fn bytes(&self) -> usize {
        /// An estimate for all other fields.
        const OTHER_BYTES: usize = 512;
        let history = self.history.iter().map(|moment| 128 + moment.change.bytes()).sum::<usize>();
        OTHER_BYTES + self.spec.payload.as_str().len() + history + lines(&self.log)
    }

    /// The record with `null` in place of a payload or result of more than 1 KiB, and without its log lines if they
    /// have more.
    pub fn without_content(mut self) -> Job {
        if let Some(spec) = small(&self.spec) {
            self.spec = spec;
        }
        self.history.iter_mut().for_each(|moment| moment.change.leave_out_content());
        if lines(&self.log) > MAX_INLINE_BYTES {
            self.log = Vec::new();
        }
        self
    }
}

impl Change {
    fn bytes(&self) -> usize {
        match self {
            Change::Enqueued { spec, .. } => spec.payload.as_str().len(),
            Change::Completed { result } => result.as_str().len(),
            Change::Logged(log) => lines(log),
            Change::Progressed(progress) => progress.message.as_ref().map_or(0, |text| text.len()),
            Change::RetryScheduled { failure, .. } | Change::Discarded { failure } => {
                failure.message.len()
            }
            Change::BecameAvailable
            | Change::Started { .. }
            | Change::Snoozed { .. }
            | Change::CancelAsked
            | Change::Cancelled
            | Change::Interrupted { .. }
            | Change::Rescued { .. }
            | Change::Retried
            | Change::Deleted
            | Change::Moved { .. }
            | Change::Reprioritised { .. } => 0,
        }
    }

    fn leave_out_content(&mut self) {
        match self {
            Change::Enqueued { spec, .. } => {
                if let Some(small) = small(spec) {
                    *spec = small;
                }
            }
            Change::Completed { result } => {
                if result.as_str().len() > MAX_INLINE_BYTES {
                    *result = Json::null();
                }
            }
            Change::Logged(_)
            | Change::Progressed(_)
            | Change::RetryScheduled { .. }
            | Change::Discarded { .. }
            | Change::BecameAvailable
            | Change::Started { .. }
            | Change::Snoozed { .. }
            | Change::CancelAsked
            | Change::Cancelled
            | Change::Interrupted { .. }
            | Change::Rescued { .. }
            | Change::Retried
            | Change::Deleted
            | Change::Moved { .. }
            | Change::Reprioritised { .. } => {}
        }
    }
}

/// The spec without its payload, when the payload is large.
fn small(spec: &Spec) -> Option<Arc<Spec>> {
    let is_large = spec.payload.as_str().len() > MAX_INLINE_BYTES;
    is_large.then(|| Arc::new(Spec { payload: Json::null(), ..spec.clone() }))
}

fn lines(lines: &[LogLine]) -> usize {
    lines.iter().map(|line| 40 + line.text.len()).sum()
}
