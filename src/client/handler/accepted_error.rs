//! The errors that a handler may return.

use std::error::Error;

use super::error::HandlerError;
use super::job_error::JobError;

/// The error that a handler may return: [`HandlerError`], every [`JobError`], `anyhow::Error`,
/// `Box<dyn Error + Send + Sync>` and texts.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return the error `{Self}`",
    label = "this error does not say what happens to its job",
    note = "write `impl cortado::JobError for {Self} {{}}`, which retries the job after this error, or return \
            `cortado::HandlerError`, into which `?` converts every error"
)]
pub trait IntoHandlerError {
    /// Converts the error.
    fn into_handler_error(self) -> HandlerError;
}

impl IntoHandlerError for HandlerError {
    fn into_handler_error(self) -> HandlerError {
        self
    }
}

impl<E: JobError> IntoHandlerError for E {
    fn into_handler_error(self) -> HandlerError {
        HandlerError::decided(self)
    }
}

macro_rules! into_handler_error_as_with_the_question_mark {
    ($($error:ty),+) => {$(
        impl IntoHandlerError for $error {
            fn into_handler_error(self) -> HandlerError {
                HandlerError::from(self)
            }
        }
    )+};
}

into_handler_error_as_with_the_question_mark!(
    anyhow::Error,
    Box<dyn Error + Send + Sync>,
    String,
    &'static str
);
