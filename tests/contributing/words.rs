//! The kind `words`: counts the words of a text.

use serde::Deserialize;
use serde_json::json;

use super::done;
use crate::engine::AttemptContext;
use crate::job::Outcome;

pub(super) const ABOUT: &str = "Counts the words of a text.";
pub(super) const EXAMPLE: &str = r#"{"text": "one small coffee"}"#;
pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["text"],
  "properties": {
    "text": {"type": "string", "title": "Text", "description": "The text whose words are counted."}
  }
}"#;

/// The payload of a `words` job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Payload {
    text: String,
}

/// Counts words as `wc -w` does: they are separated by white space.
pub(super) async fn words(context: AttemptContext, payload: Payload) -> Outcome {
    let count = payload.text.split_whitespace().count();
    context.log(format!("counted {count} words"));
    done(&json!({ "words": count }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{context, result, run};

    #[tokio::test]
    async fn words_are_separated_by_white_space() {
        let outcome = run(&words, &context(EXAMPLE, 1)).await;
        assert_eq!(result(outcome), json!({ "words": 3 }));
    }
}
