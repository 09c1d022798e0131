//! The line in the server's log about the end of an attempt. It is written when the end is stored, because only then it is
//! certain what becomes of the job.

use std::time::Duration;

use tracing::{debug, info};

use super::report::Ended;
use crate::job::{Failure, State, Status, Verdict};

/// What the line says.
#[derive(Debug, PartialEq, Eq)]
enum AttemptEndLine<'a> {
    /// The attempt failed, and another one will follow.
    Failed(&'a Failure, Duration),
    /// The attempt failed, and it was the last one.
    Discarded(&'a Failure),
    /// The attempt failed, and the job is cancelled.
    Cancelled(&'a Failure),
    /// The attempt did not fail.
    Ended,
}

impl AttemptEndLine<'_> {
    /// The line for a verdict after which the job has this state.
    fn of(verdict: &Verdict, after: State) -> AttemptEndLine<'_> {
        match (verdict, after) {
            (Verdict::Failed { failure, retry_in }, State::Retryable) => {
                AttemptEndLine::Failed(failure, *retry_in)
            }
            (Verdict::Failed { failure, .. }, State::Cancelled) => {
                AttemptEndLine::Cancelled(failure)
            }
            (Verdict::Failed { failure, .. } | Verdict::Discarded { failure }, _) => {
                AttemptEndLine::Discarded(failure)
            }
            (
                Verdict::Completed { .. }
                | Verdict::Snoozed { .. }
                | Verdict::Cancelled
                | Verdict::Interrupted { .. },
                _,
            ) => AttemptEndLine::Ended,
        }
    }
}

/// Logs the end of an attempt, after which the job has this status.
pub fn log(end: &Ended, after: Status) {
    let job = &end.running.job;
    let (id, kind, queue) = (job.id, &job.labels.kind, &job.labels.queue);
    let attempt = job.status.attempt;
    let duration_ms = end.ran_for.as_millis() as u64;
    match AttemptEndLine::of(&end.verdict, after.state) {
        AttemptEndLine::Failed(failure, retry_in) => {
            let retry_in_ms = retry_in.as_millis() as u64;
            info!(job.id = %id, job.kind = %kind, %queue, attempt, duration_ms, retry_in_ms,
                class = failure.class.as_str(), error = %failure, "attempt failed");
        }
        AttemptEndLine::Discarded(failure) => {
            info!(job.id = %id, job.kind = %kind, %queue, attempt, duration_ms,
                class = failure.class.as_str(), error = %failure, "attempt failed, job discarded");
        }
        AttemptEndLine::Cancelled(failure) => {
            info!(job.id = %id, job.kind = %kind, %queue, attempt, duration_ms,
                class = failure.class.as_str(), error = %failure, "attempt failed, job cancelled");
        }
        AttemptEndLine::Ended => {
            debug!(job.id = %id, job.kind = %kind, %queue, attempt, duration_ms, "attempt ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{FailureClass, Interruption, Json, Time};

    #[test]
    fn only_an_attempt_that_another_one_follows_is_said_to_be_retried() {
        let retry_in = Duration::from_secs(5);
        let classes = [FailureClass::Error, FailureClass::Timeout, FailureClass::Panic];
        let end_of = |verdict: &Verdict, attempt: u16, cancel_asked: bool| {
            let running = Status { state: State::Running, attempt, max_attempts: 3, cancel_asked };
            running.settled(verdict.clone(), Time::default()).unwrap().0.state
        };
        for failure in classes.map(|class| Failure::new(class, "no")) {
            let failed = Verdict::Failed { failure: failure.clone(), retry_in };
            let line =
                |attempt, cancel| AttemptEndLine::of(&failed, end_of(&failed, attempt, cancel));
            assert_eq!(line(1, false), AttemptEndLine::Failed(&failure, retry_in));
            assert_eq!(line(2, false), AttemptEndLine::Failed(&failure, retry_in));
            assert_eq!(line(3, false), AttemptEndLine::Discarded(&failure), "the last attempt");
            assert_eq!(line(1, true), AttemptEndLine::Cancelled(&failure));
            assert_eq!(line(3, true), AttemptEndLine::Cancelled(&failure));
            let discarded = Verdict::Discarded { failure: failure.clone() };
            let state = end_of(&discarded, 1, false);
            assert_eq!(AttemptEndLine::of(&discarded, state), AttemptEndLine::Discarded(&failure));
        }
        for verdict in [
            Verdict::Completed { result: Json::null() },
            Verdict::Snoozed { delay: retry_in },
            Verdict::Cancelled,
            Verdict::Interrupted { why: Interruption::Stop },
        ] {
            for attempt in [1, 3] {
                let state = end_of(&verdict, attempt, false);
                assert_eq!(
                    AttemptEndLine::of(&verdict, state),
                    AttemptEndLine::Ended,
                    "{verdict:?}"
                );
            }
        }
    }
}
