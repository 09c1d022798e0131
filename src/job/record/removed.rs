//! What is shown of a job of an earlier moment that has been removed since: never what it carried, whatever the log still has
//! of it.

use std::sync::Arc;

use crate::job::{Change, Failure, Job, Json, Moment, Spec};

/// What stands in the place of an error.
const NOT_SHOWN: &str = "The error is not shown, because the job has been removed since.";

impl Job {
    /// The record without everything that was removed with the job: payload, idempotency key, log, results, progress and the
    /// texts of errors.
    pub fn without_removed_content(self) -> Job {
        Job {
            spec: without_payload(&self.spec),
            history: self.history.into_iter().map(moment_without_content).collect(),
            log: Vec::new(),
            log_dropped: 0,
            progress: None,
            ..self
        }
    }
}

fn without_payload(spec: &Spec) -> Arc<Spec> {
    Arc::new(Spec { payload: Json::null(), idempotency_key: None, ..spec.clone() })
}

fn moment_without_content(moment: Moment) -> Moment {
    let hidden = |failure: Failure| Failure { message: NOT_SHOWN.into(), ..failure };
    let change = match moment.change {
        Change::Completed { result: _ } => Change::Completed { result: Json::null() },
        Change::RetryScheduled { failure, run_at } => {
            Change::RetryScheduled { failure: hidden(failure), run_at }
        }
        Change::Discarded { failure } => Change::Discarded { failure: hidden(failure) },
        Change::Progressed(_) | Change::Logged(_) => Change::Logged(Vec::new()),
        Change::Enqueued { spec, run_at } => {
            Change::Enqueued { spec: without_payload(&spec), run_at }
        }
        change @ (Change::BecameAvailable
        | Change::Started { .. }
        | Change::Snoozed { .. }
        | Change::CancelAsked
        | Change::Cancelled
        | Change::Interrupted { .. }
        | Change::Rescued { .. }
        | Change::Retried
        | Change::Deleted
        | Change::Moved { .. }
        | Change::Reprioritised { .. }) => change,
    };
    Moment { change, ..moment }
}
