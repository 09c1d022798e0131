//! Decides what the end of a handler means for its job.

use std::time::Duration;

use crate::job::{Backoff, Failure, FailureClass, Interruption, Outcome, Verdict};

/// How the task of a handler ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ending {
    /// The handler returned an outcome.
    Returned(Outcome),
    /// The handler panicked with this message.
    Panicked(String),
    /// The handler did not react to its token within the grace period and was dropped.
    Aborted,
}

/// Why the executor asked the handler to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The executor did not ask: the handler ended on its own.
    Itself,
    /// The attempt exceeded its timeout.
    Timeout(Duration),
    /// The job is being cancelled.
    Cancel,
    /// The server is stopping.
    Stop,
}

/// What decides when a failed attempt is retried.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// The number of this attempt.
    pub attempt: u16,
    /// The backoff of the job.
    pub backoff: Backoff,
    /// A random number in `0.0..1.0` that picks the delay within the backoff.
    pub chance: f64,
}

/// The verdict on an attempt. Finished work counts even if the handler was asked to end, and an attempt that ended
/// only because its token was cancelled has not failed.
pub fn verdict(ending: Ending, cause: Cause, retry: Retry) -> Verdict {
    match (ending, cause) {
        (Ending::Returned(Outcome::Done(result)), _) => Verdict::Completed { result },
        (_, Cause::Cancel) => Verdict::Cancelled,

        (Ending::Returned(Outcome::Discard { error }), _) => {
            Verdict::Discarded { failure: Failure::new(FailureClass::Error, &error) }
        }
        // A panic is a bug of the handler even when the handler was asked to end.
        (Ending::Panicked(text), _) => failed(FailureClass::Panic, &text, None, retry),

        (Ending::Returned(Outcome::Retry { error, .. }), Cause::Timeout(after)) => {
            failed(FailureClass::Timeout, &format!("{}: {error}", timed_out(after)), None, retry)
        }
        (
            Ending::Returned(Outcome::Snooze { .. } | Outcome::Cancel) | Ending::Aborted,
            Cause::Timeout(after),
        ) => failed(FailureClass::Timeout, &timed_out(after), None, retry),

        (
            Ending::Returned(Outcome::Snooze { delay }),
            Cause::Itself | Cause::Stop,
        ) => Verdict::Snoozed { delay },

        (Ending::Returned(Outcome::Retry { .. } | Outcome::Cancel), Cause::Stop)
        // Dropped without a request to end: only a runtime that is shutting down does that.
        | (Ending::Aborted, Cause::Stop | Cause::Itself) => {
            Verdict::Interrupted { why: Interruption::Stop }
        }

        (Ending::Returned(Outcome::Retry { error, after }), Cause::Itself) => {
            failed(FailureClass::Error, &error, after, retry)
        }
        (Ending::Returned(Outcome::Cancel), Cause::Itself) => Verdict::Cancelled,
    }
}

/// A failed attempt. It is retried after the job's backoff, or after `after` if that is longer.
pub fn failed(
    class: FailureClass,
    message: &str,
    after: Option<Duration>,
    retry: Retry,
) -> Verdict {
    let retry_in = retry.backoff.delay(retry.attempt, retry.chance).max(after.unwrap_or_default());
    Verdict::Failed { failure: Failure::new(class, message), retry_in }
}

fn timed_out(after: Duration) -> String {
    format!("the attempt exceeded its timeout of {} ms", after.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Json;

    const RETRY_CONTEXT: Retry =
        Retry { attempt: 2, backoff: Backoff { base_ms: 100, cap_ms: 1_000 }, chance: 0.5 };
    const TIMEOUT: Cause = Cause::Timeout(Duration::from_millis(50));
    const CAUSES: [Cause; 4] = [Cause::Itself, TIMEOUT, Cause::Cancel, Cause::Stop];

    fn word(ending: Ending, cause: Cause) -> String {
        match verdict(ending, cause, RETRY_CONTEXT) {
            Verdict::Completed { .. } => "completed".into(),
            Verdict::Failed { failure, retry_in } => {
                format!("{} {}", failure.class.as_str(), retry_in.as_millis())
            }
            Verdict::Snoozed { .. } => "snoozed".into(),
            Verdict::Discarded { .. } => "discarded".into(),
            Verdict::Cancelled => "cancelled".into(),
            Verdict::Interrupted { why } => why.as_str().into(),
        }
    }

    #[test]
    fn every_ending_under_every_cause_has_the_verdict_of_the_table() {
        let error = || "no".to_owned();
        let soon = |ms| Some(Duration::from_millis(ms));
        let delay = Duration::from_secs(1);
        let returned = Ending::Returned;
        #[rustfmt::skip]
        let table = [
            //                                                      itself       timeout        cancel       stop
            (returned(Outcome::Done(Json::null())),                ["completed", "completed",   "completed", "completed"]),
            (returned(Outcome::Retry { error: error(), after: None }), ["error 150", "timeout 150", "cancelled", "stop"]),
            (returned(Outcome::Retry { error: error(), after: soon(0) }), ["error 150", "timeout 150", "cancelled", "stop"]),
            (returned(Outcome::Retry { error: error(), after: soon(149) }), ["error 150", "timeout 150", "cancelled", "stop"]),
            (returned(Outcome::Retry { error: error(), after: soon(7_000) }), ["error 7000", "timeout 150", "cancelled", "stop"]),
            (returned(Outcome::Snooze { delay }),                  ["snoozed",   "timeout 150", "cancelled", "snoozed"]),
            (returned(Outcome::Discard { error: error() }),        ["discarded", "discarded",   "cancelled", "discarded"]),
            (returned(Outcome::Cancel),                            ["cancelled", "timeout 150", "cancelled", "stop"]),
            (Ending::Panicked(error()),                            ["panic 150", "panic 150",   "cancelled", "panic 150"]),
            (Ending::Aborted,                                      ["stop",      "timeout 150", "cancelled", "stop"]),
        ];
        for (ending, row) in table {
            for (cause, expected) in CAUSES.into_iter().zip(row) {
                assert_eq!(word(ending.clone(), cause), expected, "{ending:?} under {cause:?}");
            }
        }
    }

    #[test]
    fn a_timeout_names_its_length_and_the_error_of_the_handler() {
        let ending = Ending::Returned(Outcome::Retry { error: "half done".into(), after: None });
        let Verdict::Failed { failure, .. } = verdict(ending, TIMEOUT, RETRY_CONTEXT) else {
            panic!("a timeout is a failure");
        };
        assert_eq!(&*failure.message, "the attempt exceeded its timeout of 50 ms: half done");
    }
}
