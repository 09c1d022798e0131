//! How the end of a handler is reported to the server.

use std::any::Any;

use super::messages::SettleOutcome;
use crate::client::handler::HandlerEnd;

/// How a handler has ended.
pub enum HandlerReturn {
    Returned(HandlerEnd),
    /// With what was passed to the panic.
    Panicked(Box<dyn Any + Send>),
}

/// The longest description of an error that is sent.
const MAX_ERROR_CHARS: usize = 16_000;

/// Converts what a handler returned into the end of its attempt.
pub fn settle_outcome(returned: HandlerReturn) -> SettleOutcome {
    match returned {
        HandlerReturn::Returned(end) => match end {
            HandlerEnd::Done(result) => SettleOutcome::Done(Some(result.into_string())),
            HandlerEnd::Retry { error, after } => {
                SettleOutcome::Retry { error: described(error), after }
            }
            HandlerEnd::Snooze(delay) => SettleOutcome::Snooze(delay),
            HandlerEnd::Discard(error) => SettleOutcome::Discard(described(error)),
            HandlerEnd::Cancelled => SettleOutcome::Cancelled,
            HandlerEnd::Panicked(message) => panicked(&message),
        },
        HandlerReturn::Panicked(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            panicked(text.unwrap_or("no message"))
        }
    }
}

fn panicked(message: &str) -> SettleOutcome {
    let error = described(format!("the handler panicked: {message}"));
    SettleOutcome::Retry { error, after: None }
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
