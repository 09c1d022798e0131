//! The kind `echo` returns its payload unchanged. It is for demos, tests and first steps.

use serde::de::IgnoredAny;

use crate::engine::AttemptContext;
use crate::job::Outcome;

pub(super) const ABOUT: &str = "Returns its payload, which can be any JSON, unchanged.";
pub(super) const EXAMPLE: &str = r#"{"hello": "world"}"#;
/// Accepts any JSON.
pub(super) const SCHEMA: &str = "{}";

/// Returns the stored text itself, so that large integers and the order of keys are preserved.
pub(super) async fn echo(context: AttemptContext, _checked: IgnoredAny) -> Outcome {
    Outcome::Done(context.job().spec.payload.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{context, run};

    #[tokio::test]
    async fn any_json_comes_back_as_typed() {
        for payload in
            [EXAMPLE, "null", "12345678901234567890123", r#"{"b":1.0,"a":[true]}"#, r#""ä""#]
        {
            let Outcome::Done(result) = run(&echo, &context(payload, 1)).await else {
                panic!("{payload} should be echoed");
            };
            assert_eq!(result.as_str(), payload);
        }
    }
}
