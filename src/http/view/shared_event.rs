//! Events as the holder of a share link sees them: the state of a job, its progress and its output. Who did something, the
//! worker, tags, errors and the names of other queues are left out.

use serde::Serialize;

use super::encode::{Displayed, to_json};
use super::event::{EventView, LineView, ProgressView};
use crate::job::{Change, Event, Fact, JobId, QueueName, Time};

/// Writes one event: `{"seq","at","type","job":{"id","kind","state","attempt"},"progress"?,"lines"?}`, or
/// `{"seq","at","type","queue"}`.
pub fn shared_event_json(event: &Event) -> String {
    to_json(&SharedEventView::of(event))
}

/// The JSON of an event; see [`shared_event_json`].
#[derive(Debug, Serialize)]
pub struct SharedEventView<'a> {
    seq: u64,
    at: Displayed<Time>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<SharedEventJob<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a QueueName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<Vec<LineView<'a>>>,
}

#[derive(Debug, Serialize)]
struct SharedEventJob<'a> {
    id: JobId,
    kind: &'a str,
    state: &'static str,
    attempt: u16,
}

impl<'a> SharedEventView<'a> {
    /// Creates the view of an event.
    pub fn of(event: &'a Event) -> Self {
        let nothing = SharedEventView {
            seq: event.seq,
            at: Displayed(event.at),
            r#type: event.event_type().as_str(),
            job: None,
            queue: None,
            progress: None,
            lines: None,
        };
        match &event.fact {
            Fact::Job { id, labels, state, attempt, change } => {
                let (kind, state) = (labels.kind.as_str(), state.as_str());
                let job = Some(SharedEventJob { id: *id, kind, state, attempt: *attempt });
                if let Change::Progressed(progress) = change {
                    let progress = Some(ProgressView::of(progress));
                    SharedEventView { job, progress, ..nothing }
                } else if let Change::Logged(lines) = change {
                    let lines = Some(lines.iter().map(LineView::of).collect());
                    SharedEventView { job, lines, ..nothing }
                } else {
                    SharedEventView { job, ..nothing }
                }
            }
            Fact::Queue { queue, .. } => SharedEventView { queue: Some(queue), ..nothing },
            Fact::Schedule { .. }
            | Fact::Access { .. }
            | Fact::Kind { .. }
            | Fact::Worker { .. } => nothing,
        }
    }
}

/// An event in an answer to a poll, as its reader sees it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum PolledEvent<'a> {
    /// As everybody sees it who may read the event stream.
    Whole(Box<EventView<'a>>),
    /// As the holder of a share link sees it.
    Shared(SharedEventView<'a>),
}
