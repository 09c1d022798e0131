//! The end of an attempt: the outcome that a handler returns, and the verdict that the store records.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::shorten::{last_part, truncated};
use crate::job::{Json, TRACEBACK, error_line};

/// The outcome that a handler returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The attempt succeeded; the value is stored as the result of the job.
    Done(Json),
    /// The attempt failed. The next one starts after the job's backoff, or after `after` if that is longer.
    Retry {
        /// The error message.
        error: String,
        /// The shortest delay before the next attempt, for example from a `Retry-After` header. It can lengthen the
        /// delay of the backoff, but not shorten it: otherwise a remote side could use up all attempts at once.
        after: Option<Duration>,
    },
    /// The handler cannot do the work now and asks to be called again after `delay`. The attempt is not charged, and
    /// the backoff plays no part, so a handler that takes the delay from a remote side sets a lower limit itself.
    Snooze {
        /// The delay until the next call.
        delay: Duration,
    },
    /// No attempt can succeed; the job is discarded.
    Discard {
        /// The error message.
        error: String,
    },
    /// The handler noticed the cancellation request and stopped.
    Cancel,
}

/// The class of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The handler returned an error.
    Error,
    /// The attempt exceeded the timeout of the job.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The lease expired or the process died during the last attempt.
    Lost,
}

impl FailureClass {
    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::Error => "error",
            FailureClass::Timeout => "timeout",
            FailureClass::Panic => "panic",
            FailureClass::Lost => "lost",
        }
    }
}

/// What stands in place of the left-out middle of a message.
const CUT: &str = "\n    …\n    ";

/// The error of a failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The class of the failure.
    pub class: FailureClass,
    /// The message, at most [`Failure::MAX_MESSAGE`] bytes.
    pub message: Box<str>,
}

impl Failure {
    /// The maximum length of a message in bytes; a longer one is cut.
    pub const MAX_MESSAGE: usize = 4_096;

    /// Builds a failure. A message that is too long is cut at its end, and a Python traceback in its middle, because
    /// its last line says what happened.
    pub fn new(class: FailureClass, message: &str) -> Self {
        let head = truncated(message, Self::MAX_MESSAGE);
        if head.len() == message.len() || !error_line(head).ends_with(TRACEBACK) {
            return Failure { class, message: head.into() };
        }
        let head = truncated(message, Self::MAX_MESSAGE / 4);
        let tail = last_part(message, Self::MAX_MESSAGE / 4 * 3 - CUT.len());
        // The frames are indented, and the cut must not look like the line after them.
        Failure { class, message: format!("{head}{CUT}{}", tail.trim_start()).into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why an attempt was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The server was stopped in an orderly way.
    Stop,
    /// The server's process died.
    Crash,
    /// The worker did not extend its lease in time.
    LeaseExpired,
    /// The disk failed before the worker received the claim, so nothing ran.
    Unclaimed,
    /// The worker gave the job back, not started or not finished, because it stopped in an orderly way.
    Returned,
}

impl Interruption {
    /// Returns the public name.
    pub fn as_str(self) -> &'static str {
        match self {
            Interruption::Stop => "stop",
            Interruption::Crash => "crash",
            Interruption::LeaseExpired => "lease_expired",
            Interruption::Unclaimed => "unclaimed",
            Interruption::Returned => "returned",
        }
    }
}

/// The end of an attempt as it is reported to the store. Delays are relative, because the store owns the clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The attempt succeeded.
    Completed {
        /// The result that the handler returned.
        result: Json,
    },
    /// The attempt failed. If attempts are left, the next one may start after `retry_in`.
    Failed {
        /// The failure.
        failure: Failure,
        /// The delay before the next attempt.
        retry_in: Duration,
    },
    /// The handler asked to be called again after `delay`. The attempt is not charged.
    Snoozed {
        /// The delay.
        delay: Duration,
    },
    /// No attempt can succeed.
    Discarded {
        /// The failure.
        failure: Failure,
    },
    /// The attempt ended because the job is being cancelled.
    Cancelled,
    /// The attempt was interrupted and is not charged.
    Interrupted {
        /// The reason.
        why: Interruption,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let failure = Failure::new(FailureClass::Error, &"ä".repeat(Failure::MAX_MESSAGE));
        assert_eq!(failure.message.len(), Failure::MAX_MESSAGE);
        let odd = Failure::new(FailureClass::Error, &format!("x{}", "ä".repeat(5_000)));
        assert_eq!(odd.message.len(), Failure::MAX_MESSAGE - 1);
    }

    #[test]
    fn a_long_traceback_keeps_its_last_line() {
        let frame = "  File \"größe.py\", line 7, in f\n    f()\n";
        let trace = format!("{TRACEBACK}\n{}RecursionError: too deep\n", frame.repeat(500));
        let failure = Failure::new(FailureClass::Error, &trace);
        assert!(failure.message.len() <= Failure::MAX_MESSAGE && failure.message.len() > 4_000);
        assert_eq!(error_line(&failure.message), "RecursionError: too deep");
        assert!(failure.message.starts_with(TRACEBACK) && failure.message.contains(CUT));
    }
}
