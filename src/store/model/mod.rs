//! Plays random scripts against two stores. Their answers and their content must be equal after every step, including
//! restarts and crashes.

use std::fmt::Debug;
use std::time::Duration;

use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;

mod differential;
mod moves;

use self::differential::Pair;
use self::moves::{Move, script};
use super::conformance::{Harness, queue};
use super::{ConfiguredLimits, Keep, Retention, StoreLimits};
use crate::job::{Concurrency, LogCaps, RateLimit};

/// Plays `cases` random scripts (or `CORTADO_MODEL_CASES` of them) against both stores.
///
/// # Panics
/// With the shortest script found on which the stores differ.
pub(crate) fn compare<A: Harness, B: Harness>(cases: u32) {
    let asked = std::env::var("CORTADO_MODEL_CASES").ok();
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    // The shrunk script is printed. A file of old failures would only become outdated.
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
        let describe = |difference| format!("step {n}, {step:?}: {difference}");
        pair.play(step).await.map_err(describe)?;
        pair.same_content().await.map_err(describe)?;
        if n % 4 == 3 {
            pair.same_log().await.map_err(describe)?; // not every time: it waits until everything is durable
        }
    }
    pair.same_log().await
}

/// Small limits, so that short scripts reach each of them.
fn limits() -> StoreLimits {
    let finished = Keep { age: Duration::from_secs(60), count: 3 };
    let retention = Retention {
        completed: finished,
        cancelled: Keep { count: 2, ..finished },
        discarded: Keep { age: Duration::from_secs(200), count: 2 },
        // A store decides how far it trims, so the logs could differ: keep all events.
        events: Keep { age: Duration::MAX, count: u64::MAX },
    };
    let log = LogCaps { lines: 4, bytes: 40 };
    let rate_limit = Some(RateLimit { starts: 4, within: Duration::from_secs(30) });
    let concurrency = Some(Concurrency::clamped(3));
    let queues = [(queue("q1"), ConfiguredLimits { concurrency, rate_limit })].into();
    StoreLimits { max_waiting: 6, max_queues: 2, queues, log, retention, ..StoreLimits::default() }
}

/// Compares two values by their `Debug` output, which shows every field.
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
