//! Errors that decide what happens to their job.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::num::{ParseFloatError, ParseIntError, TryFromIntError};
use std::str::{ParseBoolError, Utf8Error};
use std::string::FromUtf8Error;
use std::time::Duration;

use crate::client::error::ClientError;

/// What happens to a job after its handler has returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Decision {
    /// The attempt has failed. The next one follows after the job's backoff, while attempts are left.
    #[default]
    Retry,
    /// The same, but the next attempt does not start before this delay.
    RetryAfter(Duration),
    /// The job runs again after the delay. This is no failure, and the attempt does not count.
    Snooze(Duration),
    /// No attempt can succeed: the job is discarded.
    Discard,
    /// The handler has stopped because its job is being cancelled.
    Cancel,
}

/// An error that decides what happens to its job. Handlers return errors that implement it, such as enums of
/// `thiserror`.
///
/// The text of the failure is that of the error and of its sources.
///
/// ```
/// use std::time::Duration;
///
/// use cortado::client::{Decision, JobError};
///
/// #[derive(Debug, thiserror::Error)]
/// enum ResizeError {
///     #[error("an image without pixels")]
///     NoPixels,
///     #[error("the image service is busy")]
///     Busy,
///     #[error("cannot read the image")]
///     Read(#[from] std::io::Error),
/// }
///
/// impl JobError for ResizeError {
///     fn decision(&self) -> Decision {
///         match self {
///             Self::NoPixels => Decision::Discard,
///             Self::Busy => Decision::Snooze(Duration::from_secs(5)),
///             Self::Read(_) => Decision::Retry,
///         }
///     }
/// }
/// ```
pub trait JobError: Error {
    /// What happens to the job; by default it is retried.
    fn decision(&self) -> Decision {
        Decision::Retry
    }
}

/// Errors of libraries do not decide themselves; one of the ready-made errors among their sources does.
macro_rules! decided_by_their_sources {
    ($($error:ty),+ $(,)?) => {$(
        impl JobError for $error {
            fn decision(&self) -> Decision {
                decision_of(self)
            }
        }
    )+};
}

decided_by_their_sources!(
    io::Error,
    serde_json::Error,
    ParseIntError,
    ParseFloatError,
    ParseBoolError,
    TryFromIntError,
    Utf8Error,
    FromUtf8Error,
    fmt::Error,
    tokio::time::error::Elapsed,
    tokio::task::JoinError,
    ClientError,
    Infallible,
);

/// An error after which the job is discarded, because no attempt can succeed.
///
/// It also decides as a source of other errors and as the context of an `anyhow::Error`:
/// `bail!(Discard::new("an image without pixels"))`, `.context(Discard::new("no such image"))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discard(pub String);

/// An error after which the job runs again after the delay, without being charged for the attempt. It decides
/// wherever [`Discard`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snooze(pub Duration);

/// A failure after which the next attempt does not start before a delay. It decides wherever [`Discard`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryAfter {
    /// What went wrong.
    pub error: String,
    /// The shortest delay before the next attempt.
    pub after: Duration,
}

/// The error of a handler that has stopped because its job is being cancelled. It decides wherever [`Discard`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled;

impl Discard {
    /// The error with the text of anything that can be displayed.
    pub fn new(error: impl Display) -> Discard {
        Discard(format!("{error:#}"))
    }
}

impl RetryAfter {
    /// The error with the text of anything that can be displayed.
    pub fn new(error: impl Display, after: Duration) -> RetryAfter {
        RetryAfter { error: format!("{error:#}"), after }
    }
}

impl Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Display for Snooze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "to be run again in {:?}", self.0)
    }
}

impl Display for RetryAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl Error for Discard {}
impl Error for Snooze {}
impl Error for RetryAfter {}
impl Error for Cancelled {}

impl JobError for Discard {
    fn decision(&self) -> Decision {
        Decision::Discard
    }
}

impl JobError for Snooze {
    fn decision(&self) -> Decision {
        Decision::Snooze(self.0)
    }
}

impl JobError for RetryAfter {
    fn decision(&self) -> Decision {
        Decision::RetryAfter(self.after)
    }
}

impl JobError for Cancelled {
    fn decision(&self) -> Decision {
        Decision::Cancel
    }
}

/// The most sources that are looked at: a chain that ends in itself has no end.
const MOST_SOURCES: usize = 64;

/// An error and its sources.
pub(super) fn chain<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source())
        .take(MOST_SOURCES)
}

/// The decision of the first ready-made error among an error and its sources.
pub(super) fn decision_of(error: &(dyn Error + 'static)) -> Decision {
    chain(error).find_map(ready_made).unwrap_or_default()
}

fn ready_made(error: &(dyn Error + 'static)) -> Option<Decision> {
    // An error within one of input and output is not its source, but the source of that is.
    if let Some(within) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        let within: &(dyn Error + 'static) = within;
        return chain(within).find_map(ready_made);
    }
    let discard = error.downcast_ref::<Discard>().map(JobError::decision);
    let snooze = || error.downcast_ref::<Snooze>().map(JobError::decision);
    let retry = || error.downcast_ref::<RetryAfter>().map(JobError::decision);
    let cancel = || error.downcast_ref::<Cancelled>().map(JobError::decision);
    discard.or_else(snooze).or_else(retry).or_else(cancel)
}

/// The decision within an `anyhow::Error`, whose contexts can be ready-made errors as well.
pub(super) fn decision_of_anyhow(error: &anyhow::Error) -> Decision {
    let discard = error.downcast_ref::<Discard>().map(JobError::decision);
    let snooze = || error.downcast_ref::<Snooze>().map(JobError::decision);
    let retry = || error.downcast_ref::<RetryAfter>().map(JobError::decision);
    let cancel = || error.downcast_ref::<Cancelled>().map(JobError::decision);
    let context = discard.or_else(snooze).or_else(retry).or_else(cancel);
    context.unwrap_or_else(|| decision_of(error.as_ref()))
}
