//! Random verbs against two stores side by side: what they answer and what they hold must be equal
//! after every step, restarts and crashes included.

use std::fmt::Debug;
use std::time::Duration;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;

mod differential;
mod moves;

use self::differential::Pair;
use self::moves::{Move, script};
use super::conformance::Harness;
use super::{Keep, Limits, Retention};
use crate::job::LogCaps;

/// Plays `cases` random scripts (or `CORTADO_MODEL_CASES` of them) against both stores.
///
/// # Panics
/// With the shortest script found on which they differ.
pub(crate) fn compare<A: Harness, B: Harness>(cases: u32) {
    let asked = std::env::var("CORTADO_MODEL_CASES").ok();
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    // A shrunk script is printed; a file of old failures would only go stale.
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let runtime = Runtime::new().unwrap();
    let outcome = TestRunner::new(config).run(&script(), |script| {
        runtime.block_on(play::<A, B>(script)).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(difference, script)) => {
            panic!("the stores differ at {difference}\nscript: {script:?}")
        }
        Err(TestError::Abort(why)) => panic!("no script could be played: {why}"),
    }
}

async fn play<A: Harness, B: Harness>(script: Vec<Move>) -> Result<(), String> {
    let mut pair = Pair::<A, B>::open(limits()).await;
    for (n, step) in script.iter().enumerate() {
        let told = |difference| format!("step {n}, {step:?}: {difference}");
        pair.play(step).await.map_err(told)?;
        pair.same_content().await.map_err(told)?;
        if n % 4 == 3 {
            pair.same_log().await.map_err(told)?; // not always: it waits for what is not yet durable
        }
    }
    pair.same_log().await
}

/// Tight, so that short scripts reach every bound.
fn limits() -> Limits {
    let finished = Keep { age: Duration::from_secs(60), count: 3 };
    let retention = Retention {
        completed: finished,
        cancelled: Keep { count: 2, ..finished },
        discarded: Keep { age: Duration::from_secs(200), count: 2 },
        // What is trimmed beyond the bound is the store's choice, so nothing is.
        events: Keep { age: Duration::MAX, count: u64::MAX },
    };
    let log = LogCaps { lines: 4, bytes: 40 };
    Limits { max_waiting: 6, max_queues: 2, log, retention, ..Limits::default() }
}

/// Equal as people read them: nothing stored hides from `Debug`.
fn same<T: Debug>(what: &str, left: &T, right: &T) -> Result<(), String> {
    let (left, right) = (format!("{left:?}"), format!("{right:?}"));
    if left == right {
        return Ok(());
    }
    let pairs = left.chars().zip(right.chars());
    let equal = pairs.take_while(|(left, right)| left == right).count();
    let around =
        |text: &str| -> String { text.chars().skip(equal.saturating_sub(300)).take(600).collect() };
    let (left, right) = (around(&left), around(&right));
    Err(format!(
        "{what} (from just before the first difference):\n  left:  …{left}…\n  right: …{right}…"
    ))
}

mod tests {
    use super::*;
    use crate::store::memory::tests::MemoryHarness;

    #[test]
    fn a_store_equals_itself() {
        compare::<MemoryHarness, MemoryHarness>(64);
    }
}
