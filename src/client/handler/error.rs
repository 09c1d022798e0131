//! The error of a handler, with its decision made.

use std::any::Any;
use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use super::job_error::{Decision, JobError, chain, decision_of, decision_of_anyhow};

/// How an attempt ends other than with a result.
///
/// `?` converts every error into it: a [`JobError`] that is passed to [`HandlerError::decided`] decides
/// itself; any other error is retried, unless [`Discard`](super::Discard), [`Snooze`](super::Snooze),
/// [`RetryAfter`](super::RetryAfter) or [`Cancelled`](super::Cancelled) is among its sources, which then decides.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerError {
    /// The attempt failed; the next one follows after the job's backoff while attempts are left.
    Retry {
        /// What went wrong.
        error: String,
        /// The shortest delay before the next attempt.
        after: Option<Duration>,
    },
    /// The job is to be run again after the delay. This is not a failure.
    Snooze(Duration),
    /// No attempt can succeed. The text says why.
    Discard(String),
    /// The handler stopped because its job is being cancelled.
    Cancelled,
}

impl HandlerError {
    /// A failure after which the job is retried.
    pub fn retry(error: impl Display) -> HandlerError {
        HandlerError::Retry { error: format!("{error:#}"), after: None }
    }

    /// A failure, with the shortest delay before the next attempt.
    pub fn retry_after(error: impl Display, after: Duration) -> HandlerError {
        HandlerError::Retry { error: format!("{error:#}"), after: Some(after) }
    }

    /// A failure that every further attempt would repeat.
    pub fn discard(error: impl Display) -> HandlerError {
        HandlerError::Discard(format!("{error:#}"))
    }

    /// The end that an error decides: `read(&url).map_err(HandlerError::decided)?`. The operator `?` alone cannot ask an
    /// error for its decision, and retries.
    pub fn decided(error: impl JobError) -> HandlerError {
        HandlerError::of(error.decision(), || causes(&error))
    }

    fn of(decision: Decision, text: impl FnOnce() -> String) -> HandlerError {
        match decision {
            Decision::Retry => HandlerError::Retry { error: text(), after: None },
            Decision::RetryAfter(after) => {
                HandlerError::Retry { error: text(), after: Some(after) }
            }
            Decision::Snooze(delay) => HandlerError::Snooze(delay),
            Decision::Discard => HandlerError::Discard(text()),
            Decision::Cancel => HandlerError::Cancelled,
        }
    }
}

/// Converts every error and text.
impl<E: Into<Box<dyn Error + Send + Sync>> + 'static> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        let mut error = Some(error);
        // As a boxed error, it would hide its contexts.
        if let Some(of_anyhow) =
            (&mut error as &mut dyn Any).downcast_mut::<Option<anyhow::Error>>()
            && let Some(error) = of_anyhow.take()
        {
            return HandlerError::of(decision_of_anyhow(&error), || causes(error.as_ref()));
        }
        match error {
            Some(error) => {
                let error: Box<dyn Error + Send + Sync> = error.into();
                HandlerError::of(decision_of(&*error), || causes(&*error))
            }
            None => HandlerError::Cancelled, // cannot happen: it was taken above, which has returned
        }
    }
}

/// The length from which on no further cause is added; descriptions are cut to less.
const LONG_TEXT: usize = 64 * 1_024;

/// Formats an error with its causes on one line. A cause that the text before it ends with is not repeated, because many
/// libraries put it into their own text.
fn causes(error: &(dyn Error + '_)) -> String {
    let mut text = error.to_string();
    let Some(source) = error.source() else { return text };
    for cause in chain(source) {
        let cause = cause.to_string();
        if text.len() > LONG_TEXT {
            break;
        }
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
