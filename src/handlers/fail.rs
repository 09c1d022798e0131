//! The kind `fail` fails its first attempts and then succeeds. It is for demos and tests of retries.

use serde::Deserialize;
use serde_json::json;

use super::{done, retry};
use crate::engine::AttemptContext;
use crate::job::Outcome;

pub(super) const ABOUT: &str = "Fails the given number of times, then succeeds.";
pub(super) const EXAMPLE: &str = r#"{"times": 2, "message": "not yet"}"#;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["times"],
  "properties": {
    "times": {"type": "integer", "title": "Failures", "minimum": 0, "maximum": 18446744073709551615,
      "description": "How many attempts fail before one succeeds."},
    "message": {"type": ["string", "null"], "title": "Error",
      "description": "The error message of the failing attempts."}
  }
}"#;

/// How often to fail, and with which message.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailPayload {
    times: u64,
    message: Option<String>,
}

/// Fails while the attempt's number is at most `times`.
pub(super) async fn fail(context: AttemptContext, payload: FailPayload) -> Outcome {
    let attempt = context.attempt();
    if u64::from(attempt) > payload.times {
        return done(&json!({ "succeeded_in_attempt": attempt }));
    }
    retry(
        payload.message.unwrap_or_else(|| {
            format!("failed as requested (attempt {attempt} of {})", payload.times)
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{context, result, retried, run};

    #[tokio::test]
    async fn the_first_attempts_fail_and_the_next_succeeds() {
        for attempt in [1, 2] {
            let (error, after) = retried(run(&fail, &context(EXAMPLE, attempt)).await);
            assert_eq!((error.as_str(), after), ("not yet", None));
        }
        let outcome = run(&fail, &context(EXAMPLE, 3)).await;
        assert_eq!(result(outcome), json!({ "succeeded_in_attempt": 3 }));
    }

    #[tokio::test]
    async fn it_names_the_attempt_when_it_has_no_words_of_its_own() {
        let (error, _) = retried(run(&fail, &context(r#"{"times": 1}"#, 1)).await);
        assert!(error.contains("attempt 1"), "{error}");
    }
}
