//! The kind `sleep` waits and ends early when it is cancelled. A hundred thousand may run at once, so a plain one
//! holds nothing but its timer.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::done;
use crate::engine::AttemptContext;
use crate::job::Outcome;

pub(super) const ABOUT: &str =
    "Waits for the given number of milliseconds and can report progress.";
pub(super) const EXAMPLE: &str = r#"{"ms": 2000}"#;

pub(super) const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "required": ["ms"],
  "properties": {
    "ms": {"type": "integer", "title": "Milliseconds", "minimum": 0, "maximum": 604800000,
      "description": "How long to wait, at most seven days."},
    "progress": {"type": "boolean", "title": "Report progress", "default": false,
      "description": "Reports progress ten times, each time with a log line."}
  }
}"#;

/// How many times a sleep with progress reports it.
const STEPS: u32 = 10;

/// How long to sleep, and whether to report progress.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SleepPayload {
    ms: u64,
    #[serde(default)]
    progress: bool,
}

/// Waits for the given time.
pub(super) async fn sleep(context: AttemptContext, payload: SleepPayload) -> Outcome {
    if payload.progress {
        // Boxed, so that a plain sleep does not carry its state.
        return Box::pin(sleep_in_steps(context, payload.ms)).await;
    }
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(payload.ms)) => slept(payload.ms),
        () = context.cancelled() => Outcome::Cancel,
    }
}

async fn sleep_in_steps(context: AttemptContext, ms: u64) -> Outcome {
    let whole = Duration::from_millis(ms);
    let begin = tokio::time::Instant::now();
    for step in 1..=STEPS {
        let until = begin + whole.mul_f64(f64::from(step) / f64::from(STEPS));
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = context.cancelled() => {
                context.log(format!("cancelled in step {step} of {STEPS}"));
                return Outcome::Cancel;
            }
        }
        let message = format!("step {step} of {STEPS}");
        context.progress(u64::from(step), Some(u64::from(STEPS)), Some(&message));
        context.log(message);
    }
    slept(ms)
}

fn slept(ms: u64) -> Outcome {
    done(&json!({ "slept_ms": ms }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::testing::{context, discarded, result, run};

    #[tokio::test]
    async fn it_waits_as_long_as_it_is_told() {
        let begin = tokio::time::Instant::now();
        let outcome = run(&sleep, &context(r#"{"ms": 30}"#, 1)).await;
        assert_eq!(result(outcome), json!({ "slept_ms": 30 }));
        assert!(begin.elapsed() >= Duration::from_millis(30));
    }

    #[tokio::test]
    async fn a_cancelled_sleep_ends_at_once() {
        for payload in [r#"{"ms": 3600000}"#, r#"{"ms": 3600000, "progress": true}"#] {
            let context = context(payload, 1);
            let (outcome, ()) = tokio::join!(run(&sleep, &context), async {
                context.cancellation().cancel();
            });
            assert_eq!(outcome, Outcome::Cancel);
        }
    }

    #[tokio::test]
    async fn it_reports_ten_steps_only_when_asked() {
        let quiet = context(r#"{"ms": 20}"#, 1);
        run(&sleep, &quiet).await;
        assert!(quiet.take_notes().is_empty());

        let talking = context(r#"{"ms": 20, "progress": true}"#, 1);
        assert_eq!(result(run(&sleep, &talking).await), json!({ "slept_ms": 20 }));
        let notes = talking.take_notes();
        assert_eq!(notes.lines.len(), 10);
        assert_eq!(notes.progress.map(|p| (p.done, p.total)), Some((10, Some(10))));
    }

    #[tokio::test]
    async fn a_sleep_is_small_enough_for_a_hundred_thousand() {
        let context = context(EXAMPLE, 1);
        let attempt = sleep(context, SleepPayload { ms: 1, progress: false });
        assert!(size_of_val(&attempt) <= 400, "{} bytes", size_of_val(&attempt));
    }

    #[tokio::test]
    async fn a_payload_without_ms_is_discarded() {
        assert!(discarded(run(&sleep, &context("{}", 1)).await).contains("ms"));
    }
}
