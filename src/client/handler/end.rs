//! How the run of a handler ends, the same in the server's process and in workers.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::accepted_error::IntoHandlerError;
use super::error::HandlerError;

/// How the run of a handler has ended, which a middleware can look at and replace.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerEnd {
    /// The attempt succeeded, with this result.
    Done(ResultJson),
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
    /// The handler panicked with this message. Only a middleware sees this.
    Panicked(String),
}

impl HandlerEnd {
    /// The end of a handler that returned a value. A value without a JSON form discards the job.
    pub fn done(value: &(impl Serialize + ?Sized)) -> HandlerEnd {
        match ResultJson::of(value) {
            Ok(json) => HandlerEnd::Done(json),
            Err(error) => {
                HandlerEnd::Discard(format!("the result cannot be written as JSON: {error}"))
            }
        }
    }

    /// Whether the attempt succeeded.
    pub fn is_done(&self) -> bool {
        matches!(self, HandlerEnd::Done(_))
    }

    /// Reads the result; `None` if the attempt did not succeed.
    ///
    /// # Errors
    /// The result is not of this type.
    pub fn result_as<T: DeserializeOwned>(&self) -> Option<Result<T, serde_json::Error>> {
        match self {
            HandlerEnd::Done(json) => Some(serde_json::from_str(json.as_str())),
            HandlerEnd::Retry { .. }
            | HandlerEnd::Snooze(_)
            | HandlerEnd::Discard(_)
            | HandlerEnd::Cancelled
            | HandlerEnd::Panicked(_) => None,
        }
    }

    /// What went wrong, if something did.
    pub fn error(&self) -> Option<&str> {
        match self {
            HandlerEnd::Retry { error, .. }
            | HandlerEnd::Discard(error)
            | HandlerEnd::Panicked(error) => Some(error),
            HandlerEnd::Done(_) | HandlerEnd::Snooze(_) | HandlerEnd::Cancelled => None,
        }
    }
}

impl From<HandlerError> for HandlerEnd {
    fn from(error: HandlerError) -> HandlerEnd {
        match error {
            HandlerError::Retry { error, after } => HandlerEnd::Retry { error, after },
            HandlerError::Snooze(delay) => HandlerEnd::Snooze(delay),
            HandlerError::Discard(error) => HandlerEnd::Discard(error),
            HandlerError::Cancelled => HandlerEnd::Cancelled,
        }
    }
}

/// What a handler function may return: `Result<T, E>`, where `T` can be written as JSON and `E` is
/// [`HandlerError`] or a [`JobError`](super::JobError). A [`HandlerEnd`] is accepted as well.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "a handler returns `Result<T, E>`: `T` implements `serde::Serialize`, and `E` implements \
            `cortado::JobError` or is `cortado::HandlerError`"
)]
pub trait HandlerOutput {
    /// Converts the value.
    fn into_end(self) -> HandlerEnd;
}

impl HandlerOutput for HandlerEnd {
    fn into_end(self) -> HandlerEnd {
        self
    }
}

impl<T: Serialize, E: IntoHandlerError> HandlerOutput for Result<T, E> {
    fn into_end(self) -> HandlerEnd {
        match self {
            Ok(value) => HandlerEnd::done(&value),
            Err(error) => error.into_handler_error().into(),
        }
    }
}

/// The result of a job as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultJson(String);

impl ResultJson {
    /// The deepest nesting of a result. The server accepts no more, and readers of more could overflow their stack.
    pub const MAX_DEPTH: usize = 128;
    /// How much of a result that is nested too deeply is kept.
    const KEPT_CHARS: usize = 1_000;

    /// Writes a value. The text of one that is nested too deeply is its beginning, as for other results that exceed a
    /// limit of the server.
    ///
    /// # Errors
    /// The value has no JSON form.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<ResultJson, serde_json::Error> {
        let mut out = DepthLimit::default();
        let written = serde_json::to_writer(&mut out, value);
        if out.depth > Self::MAX_DEPTH {
            return Ok(ResultJson::left_out(&String::from_utf8_lossy(&out.text)));
        }
        written?;
        String::from_utf8(out.text).map(ResultJson).map_err(serde::ser::Error::custom)
    }

    /// The result with a text that is known to be JSON.
    #[cfg(feature = "server")]
    pub(crate) fn from_written(text: &str) -> ResultJson {
        ResultJson(text.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text.
    pub fn into_string(self) -> String {
        self.0
    }

    fn left_out(text: &str) -> ResultJson {
        let beginning: String = text.chars().take(Self::KEPT_CHARS).collect();
        let message = format!("the JSON is nested deeper than {} levels", Self::MAX_DEPTH);
        let reason = serde_json::json!({
            "left_out": {"code": "json_too_deep", "message": message, "beginning": beginning}
        });
        ResultJson(reason.to_string())
    }
}

/// Whether no value of a JSON text is nested too deeply.
pub(super) fn is_depth_allowed(text: &str) -> bool {
    DepthLimit::default().feed(text.as_bytes()).is_ok()
}

/// A writer that stops a serializer when its output is nested too deeply. The serializer descends into an array or
/// object only after its bracket was written.
#[derive(Default)]
struct DepthLimit {
    text: Vec<u8>,
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
}

impl DepthLimit {
    fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        for &byte in piece {
            if self.is_in_string {
                let ends = byte == b'"' && !self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                self.is_in_string = !ends;
                continue;
            }
            match byte {
                b'"' => self.is_in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth > ResultJson::MAX_DEPTH {
                return Err(io::Error::other("it is nested too deeply"));
            }
        }
        Ok(())
    }
}

impl Write for DepthLimit {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.feed(piece)?;
        self.text.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serializer;

    use super::*;

    #[test]
    fn a_result_that_is_nested_without_end_is_replaced_by_its_beginning() {
        struct Endless;
        impl Serialize for Endless {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.collect_seq([Endless])
            }
        }
        let kept = ResultJson::of(&Endless).unwrap();
        let kept: serde_json::Value = serde_json::from_str(kept.as_str()).unwrap();
        let left_out = &kept["left_out"];
        assert_eq!(left_out["code"], "json_too_deep");
        assert_eq!(left_out["beginning"].as_str().unwrap().len(), 128);
    }

    #[test]
    fn brackets_within_texts_do_not_count_as_nesting() {
        let text = "[{\\\"".repeat(100);
        let json = ResultJson::of(&[&text, "]"]).unwrap();
        assert_eq!(serde_json::from_str::<[String; 2]>(json.as_str()).unwrap()[0], text);
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_depth_allowed(&nested(128)) && !is_depth_allowed(&nested(129)));
        assert!(is_depth_allowed(&format!("[{}]", ["[]"; 200].join(","))));
    }

    #[test]
    fn a_result_without_a_json_form_discards_the_job() {
        let end = HandlerEnd::done(&std::collections::HashMap::from([((1, 2), 3)]));
        let error = end.error().unwrap();
        assert!(error.starts_with("the result cannot be written as JSON: "), "{error}");
        assert!(matches!(end, HandlerEnd::Discard(_)));
    }
}
