//! The handlers of a worker: typed async functions, one for each kind.

use std::any::Any;
use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::context::JobContext;
use super::messages::SettleOutcome;

/// How an attempt ends other than with a result.
///
/// Every error that can be displayed converts into [`HandlerError::Retry`], so `?` works in handlers.
#[derive(Debug)]
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
    /// A failure, with the shortest delay before the next attempt.
    pub fn retry_after(error: impl Display, after: Duration) -> HandlerError {
        HandlerError::Retry { error: format!("{error:#}"), after: Some(after) }
    }

    /// A failure that every further attempt would repeat.
    pub fn discard(error: impl Display) -> HandlerError {
        HandlerError::Discard(format!("{error:#}"))
    }
}

/// `{:#}` shows the causes of an `anyhow::Error` too.
impl<E: Display> From<E> for HandlerError {
    fn from(error: E) -> HandlerError {
        HandlerError::Retry { error: format!("{error:#}"), after: None }
    }
}

/// The future of an attempt. Its result is JSON text.
pub type AttemptFuture = Pin<Box<dyn Future<Output = Result<String, HandlerError>> + Send>>;

/// A handler whose types are erased.
pub trait RunAttempt: Send + Sync {
    fn start(&self, context: JobContext, payload: &RawValue) -> AttemptFuture;
}

/// A handler function with its payload type.
pub struct TypedHandler<F, P> {
    function: F,
    payload: PhantomData<fn(P)>,
}

impl<F, P> TypedHandler<F, P> {
    pub fn new(function: F) -> TypedHandler<F, P> {
        TypedHandler { function, payload: PhantomData }
    }
}

impl<F, Fut, P, T, E> RunAttempt for TypedHandler<F, P>
where
    F: Fn(JobContext, P) -> Fut + Send + Sync,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    P: DeserializeOwned,
    T: Serialize,
    E: Into<HandlerError>,
{
    fn start(&self, context: JobContext, payload: &RawValue) -> AttemptFuture {
        let payload = match serde_json::from_str(payload.get()) {
            Ok(payload) => payload,
            Err(error) => {
                let error = HandlerError::discard(format!("the payload is not valid: {error}"));
                return Box::pin(std::future::ready(Err(error)));
            }
        };
        let run = (self.function)(context, payload);
        Box::pin(async move {
            let result = run.await.map_err(Into::into)?;
            serde_json::to_string(&result).map_err(|error| {
                HandlerError::discard(format!("the result cannot be written as JSON: {error}"))
            })
        })
    }
}

/// How a handler has ended.
pub enum HandlerReturn {
    Returned(Result<String, HandlerError>),
    /// With what was passed to the panic.
    Panicked(Box<dyn Any + Send>),
}

/// The longest description of an error that is sent.
const MAX_ERROR_CHARS: usize = 16_000;

/// Converts what a handler returned into the end of its attempt.
pub fn ending(returned: HandlerReturn) -> SettleOutcome {
    match returned {
        HandlerReturn::Returned(Ok(result)) => SettleOutcome::Done(Some(result)),
        HandlerReturn::Returned(Err(HandlerError::Retry { error, after })) => {
            SettleOutcome::Retry { error: described(error), after }
        }
        HandlerReturn::Returned(Err(HandlerError::Snooze(delay))) => SettleOutcome::Snooze(delay),
        HandlerReturn::Returned(Err(HandlerError::Discard(error))) => {
            SettleOutcome::Discard(described(error))
        }
        HandlerReturn::Returned(Err(HandlerError::Cancelled)) => SettleOutcome::Cancelled,
        HandlerReturn::Panicked(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            let error = format!("the handler panicked: {}", text.unwrap_or("no message"));
            SettleOutcome::Retry { error: described(error), after: None }
        }
    }
}

/// The server requires a description.
fn described(error: String) -> String {
    if error.trim().is_empty() {
        return "the handler failed without a message".to_owned();
    }
    if error.len() <= MAX_ERROR_CHARS {
        return error;
    }
    error.chars().take(MAX_ERROR_CHARS).collect()
}
