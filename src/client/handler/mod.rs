//! Handlers run jobs: async functions that are the same in the process of the server and in workers.

mod accepted_error;
mod context;
mod end;
mod error;
mod function;
mod job_error;
mod middleware;
mod state;
pub mod testing;

#[cfg(test)]
mod tests;

pub use accepted_error::IntoHandlerError;
pub use context::{CancelCause, Context, ContextAttempt, LogStream};
pub use end::{HandlerEnd, HandlerOutput, ResultJson};
pub use error::HandlerError;
pub use function::{
    Handler, HandlerFn, HandlerFuture, PayloadProblem, PendingHandler, RunHandler, pending,
};
pub use job_error::{Cancelled, Decision, Discard, JobError, RetryAfter, Snooze};
pub use middleware::{Layers, Next};
pub use state::{State, States, Surroundings};
