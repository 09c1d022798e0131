//! The rows of jobs for queries: those of whole records, and what the events of the log change in them.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::secret::without_secrets;
use crate::job::{Change, Event, Fact, Job, JobId, Json, Kind, Labels, Spec, Tag, Time};
use crate::store::{NewRow, ProjectedJob};

/// Payloads and results up to this many bytes are in rows.
const MAX_TEXT: usize = 1_024;

/// What some events change, with one entry for each job.
#[derive(Default)]
pub struct ChangedJobs {
    changed: BTreeMap<JobId, ProjectedJob>,
    removed: BTreeSet<JobId>,
}

impl ChangedJobs {
    /// Adds what an event changes.
    pub fn add(&mut self, event: &Event) {
        let Fact::Job { id, labels, state, attempt, change } = &event.fact else { return };
        if let Change::Deleted = change {
            self.changed.remove(id);
            self.removed.insert(*id);
            return;
        }
        let row = self.changed.entry(*id).or_insert_with(|| ProjectedJob {
            id: *id,
            kind: String::new(),
            queue: String::new(),
            tags: Vec::new(),
            state: *state,
            attempt: 0,
            finished_at: None,
            new: None,
            least_attempts: None,
            priority: None,
            run_at: None,
            started_at: None,
            error: None,
            result: None,
        });
        row.set_labels(labels);
        (row.state, row.attempt) = (*state, *attempt);
        row.finished_at = state.is_final().then_some(event.at);
        if let Some(run_at) = change.run_at(event.at) {
            row.run_at = Some(run_at);
        }
        match change {
            Change::Enqueued { spec, .. } => {
                row.priority = Some(spec.priority);
                row.new = Some(new_row(&labels.kind, spec, event.at));
            }
            Change::Started { .. } => row.started_at = Some(event.at),
            Change::Completed { result } => row.result = Some(short_text(result)),
            Change::RetryScheduled { failure, .. } | Change::Discarded { failure } => {
                row.error = Some(failure.message.to_string());
            }
            Change::Retried => row.least_attempts = Some(attempt.saturating_add(1)),
            Change::Reprioritised { priority } => row.priority = Some(*priority),
            Change::Snoozed { .. }
            | Change::Interrupted { .. }
            | Change::BecameAvailable
            | Change::Progressed(_)
            | Change::Logged(_)
            | Change::CancelAsked
            | Change::Cancelled
            | Change::Rescued { .. }
            | Change::Deleted
            | Change::Moved { .. } => {}
        }
    }

    /// The changed rows, and the jobs that are gone.
    pub fn into_parts(self) -> (Vec<ProjectedJob>, Vec<JobId>) {
        (self.changed.into_values().collect(), self.removed.into_iter().collect())
    }
}

/// The row of a whole record.
pub fn row_of(job: &Job) -> ProjectedJob {
    let mut row = ProjectedJob {
        id: job.id,
        kind: String::new(),
        queue: String::new(),
        tags: Vec::new(),
        state: job.status.state,
        attempt: job.status.attempt,
        finished_at: job.finished_at(),
        new: Some(NewRow {
            max_attempts: job.status.max_attempts,
            ..new_row(&job.labels.kind, &job.spec, job.enqueued_at)
        }),
        least_attempts: None,
        priority: Some(job.spec.priority),
        run_at: Some(job.run_at),
        started_at: job.attempts().last().map(|attempt| attempt.started_at),
        error: job.last_failure().map(|failure| failure.message.to_string()),
        result: job.result().map(short_text),
    };
    row.set_labels(&job.labels);
    row
}

fn new_row(kind: &Kind, spec: &Spec, created_at: Time) -> NewRow {
    let payload = &spec.payload;
    let is_short = payload.as_str().len() <= MAX_TEXT && *payload != Json::null();
    NewRow {
        created_at,
        max_attempts: spec.retry.max_attempts,
        payload: is_short.then(|| without_secrets(kind, payload).as_str().to_owned()),
        idempotency_key: spec.idempotency_key.as_ref().map(|key| key.as_str().to_owned()),
    }
}

/// A value, or `null` in place of a long one, as in events.
fn short_text(value: &Json) -> String {
    if value.as_str().len() > MAX_TEXT { "null".to_owned() } else { value.as_str().to_owned() }
}

impl ProjectedJob {
    fn set_labels(&mut self, labels: &Labels) {
        self.kind = labels.kind.as_str().to_owned();
        self.queue = labels.queue.as_str().to_owned();
        self.tags = labels.tags.iter().map(Tag::as_str).map(ToOwned::to_owned).collect();
    }
}
