//! How an attempt ends: what a handler says, and what the store is told.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::job::Json;
use crate::job::shorten::truncated;

/// What a handler returns.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The work is done; the value is kept with the job.
    Done(Json),
    /// The attempt failed; try again, after `after` when given, else after the job's backoff.
    Retry {
        /// What went wrong.
        error: String,
        /// When the handler knows a better time than the backoff (a `Retry-After`, say).
        after: Option<Duration>,
    },
    /// Not now: call again after `delay`; the attempt is not charged.
    Snooze {
        /// How long to wait.
        delay: Duration,
    },
    /// No attempt can succeed: keep the job as a dead letter.
    Discard {
        /// What went wrong.
        error: String,
    },
    /// The handler saw the wish to cancel and stopped.
    Cancel,
}

/// Why an attempt failed, in a few classes that people and pages tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The handler returned an error.
    Error,
    /// The attempt ran past the job's timeout.
    Timeout,
    /// The handler panicked.
    Panic,
    /// The lease ran out, or the process died, on the last attempt.
    Lost,
}

impl FailureClass {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureClass::Error => "error",
            FailureClass::Timeout => "timeout",
            FailureClass::Panic => "panic",
            FailureClass::Lost => "lost",
        }
    }
}

/// A failed attempt's error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class.
    pub class: FailureClass,
    /// The message, at most [`Failure::MAX_MESSAGE`] bytes.
    pub message: Box<str>,
}

impl Failure {
    /// A longer message is cut here, in bytes.
    pub const MAX_MESSAGE: usize = 4_096;

    /// Takes a message, cut at a character where it is too long.
    pub fn new(class: FailureClass, message: &str) -> Self {
        Failure { class, message: truncated(message, Self::MAX_MESSAGE).into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What cut an attempt off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interruption {
    /// The server stopped in order.
    Stop,
    /// The server's process died.
    Crash,
    /// The worker did not extend its lease in time.
    LeaseExpired,
    /// The disk failed before the worker was told of its claim; nothing ran.
    Unclaimed,
}

impl Interruption {
    /// The public word.
    pub fn as_str(self) -> &'static str {
        match self {
            Interruption::Stop => "stop",
            Interruption::Crash => "crash",
            Interruption::LeaseExpired => "lease_expired",
            Interruption::Unclaimed => "unclaimed",
        }
    }
}

/// What the store is told about the end of an attempt. Delays are relative: the store owns the clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The attempt succeeded.
    Completed {
        /// The handler's value.
        result: Json,
    },
    /// The attempt failed; when attempts are left the job waits for `retry_in`.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// The wait before the next attempt.
        retry_in: Duration,
    },
    /// Call again after `delay`, uncharged.
    Snoozed {
        /// The wait.
        delay: Duration,
    },
    /// No attempt can succeed.
    Discarded {
        /// What went wrong.
        failure: Failure,
    },
    /// The attempt ended because the job is to be cancelled.
    Cancelled,
    /// The attempt was cut off and is not charged.
    Interrupted {
        /// By what.
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
}
