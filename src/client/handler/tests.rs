//! What handlers may be and return, and what their errors decide, without a server.

use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::testing::{Run, TestJob, TestedAttempt, run};
use super::*;
use crate::client::{ClientError, JobProgress};

const DELAY: Duration = Duration::from_secs(5);

fn retry(error: &str) -> HandlerError {
    HandlerError::Retry { error: error.to_owned(), after: None }
}

#[derive(Debug, thiserror::Error)]
enum ResizeError {
    #[error("an image without pixels")]
    NoPixels,
    #[error("the service is busy")]
    Busy,
    #[error("the service asks for a pause")]
    Limited,
    #[error("stopped")]
    Stopped,
    #[error("cannot read the image")]
    Read(#[source] io::Error),
}

impl JobError for ResizeError {
    fn decision(&self) -> Decision {
        match self {
            ResizeError::NoPixels => Decision::Discard,
            ResizeError::Busy => Decision::Snooze(DELAY),
            ResizeError::Limited => Decision::RetryAfter(DELAY),
            ResizeError::Stopped => Decision::Cancel,
            ResizeError::Read(_) => Decision::Retry,
        }
    }
}

#[tokio::test]
async fn an_error_of_the_program_decides_what_happens_to_its_job() {
    let resize = |_: Context, case: u8| async move {
        Err::<(), _>(match case {
            0 => ResizeError::NoPixels,
            1 => ResizeError::Busy,
            2 => ResizeError::Limited,
            3 => ResizeError::Stopped,
            _ => ResizeError::Read(io::Error::other("no such file")),
        })
    };
    for (case, end) in [
        HandlerEnd::Discard("an image without pixels".into()),
        HandlerEnd::Snooze(DELAY),
        HandlerEnd::Retry { error: "the service asks for a pause".into(), after: Some(DELAY) },
        HandlerEnd::Cancelled,
        HandlerEnd::Retry { error: "cannot read the image: no such file".into(), after: None },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(run(resize, &case).await.outcome(), &end);
    }
}

#[test]
fn ready_made_errors_decide_from_within_other_errors() {
    type Boxed = Box<dyn Error + Send + Sync>;
    let discarded = |text: &str| HandlerError::Discard(text.to_owned());
    let discard = || Discard::new("no pixels");
    assert_eq!(HandlerError::from(discard()), discarded("no pixels"));
    assert_eq!(HandlerError::from(Boxed::from(discard())), discarded("no pixels"));
    assert_eq!(HandlerError::from(io::Error::other(discard())), discarded("no pixels"));
    assert_eq!(io::Error::other(discard()).into_handler_error(), discarded("no pixels"));
    let of_anyhow = anyhow::Error::from(discard()).context("cannot resize");
    assert_eq!(HandlerError::from(of_anyhow), discarded("cannot resize: no pixels"));
    let inner = anyhow::Error::msg("404").context(discard()).context("cannot resize");
    assert_eq!(inner.into_handler_error(), discarded("cannot resize: no pixels: 404"));
    let deep = anyhow::Error::new(ResizeError::Read(io::Error::other(discard())));
    let text = "cannot read the image: no pixels";
    assert_eq!(HandlerError::from(deep), discarded(text));

    let of = |error: anyhow::Error| HandlerError::from(error.context("a").context("b"));
    assert_eq!(of(Snooze(DELAY).into()), HandlerError::Snooze(DELAY));
    assert_eq!(of(Cancelled.into()), HandlerError::Cancelled);
    let limited = HandlerError::Retry { error: "b: a: 429".into(), after: Some(DELAY) };
    assert_eq!(of(RetryAfter::new("429", DELAY).into()), limited);
    // The outermost one counts.
    let both = anyhow::Error::new(Snooze(DELAY)).context(discard());
    assert!(matches!(HandlerError::from(both), HandlerError::Discard(_)));
}

#[test]
fn the_question_mark_retries_after_every_other_error_and_keeps_its_causes() {
    fn read() -> Result<u32, HandlerError> {
        let number: u32 = "x".parse()?;
        Ok(number)
    }
    fn text() -> Result<(), HandlerError> {
        Err("just a text")?
    }
    fn long() -> Result<(), HandlerError> {
        Err(format!("{}", 7))?
    }
    fn own() -> Result<(), HandlerError> {
        Err(ResizeError::Read(io::Error::other("gone")))?
    }
    fn decided() -> Result<(), HandlerError> {
        let refused: Result<(), ResizeError> = Err(ResizeError::NoPixels);
        refused.map_err(HandlerError::decided)
    }
    assert_eq!(read().unwrap_err(), retry("invalid digit found in string"));
    assert_eq!(text().unwrap_err(), retry("just a text"));
    assert_eq!(long().unwrap_err(), retry("7"));
    assert_eq!(own().unwrap_err(), retry("cannot read the image: gone"));
    assert_eq!(decided().unwrap_err(), HandlerError::Discard("an image without pixels".into()));
}

#[test]
fn a_cause_that_the_text_of_an_error_has_already_is_not_repeated() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot start: {0}")]
    struct Failed(#[source] io::Error);
    let error = HandlerError::from(Failed(io::Error::other("no such file")));
    assert_eq!(error, retry("cannot start: no such file"));
}

#[test]
fn a_chain_of_sources_without_an_end_is_cut() {
    #[derive(Debug, thiserror::Error)]
    #[error("round and round")]
    struct Circle;
    #[derive(Debug)]
    struct Endless;
    impl std::fmt::Display for Endless {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("again ")
        }
    }
    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&Endless)
        }
    }
    assert_eq!(HandlerError::from(Endless), retry("again "));
    assert_eq!(HandlerError::from(Circle), retry("round and round"));
}

#[tokio::test]
async fn errors_of_libraries_are_accepted_as_they_are() {
    async fn ended<E: IntoHandlerError>(error: E) -> HandlerError {
        error.into_handler_error()
    }
    let elapsed = tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await;
    assert_eq!(ended(elapsed.unwrap_err()).await, retry("deadline has elapsed"));
    let joined = tokio::spawn(async { panic!("broken") }).await;
    let HandlerError::Retry { error, .. } = ended(joined.unwrap_err()).await else { panic!() };
    assert!(error.contains("panicked"), "{error}");
    assert_eq!(ended("x").await, retry("x"));
    assert_eq!(ended("x".to_owned()).await, retry("x"));
    assert_eq!(ended(anyhow::anyhow!("b").context("a")).await, retry("a: b"));
    assert_eq!(ended(Box::<dyn Error + Send + Sync>::from("x")).await, retry("x"));
    assert_eq!(ended(ClientError::InvalidToken).await, {
        retry("the token contains characters that cannot be sent in a header")
    });
    ended("x".parse::<f64>().unwrap_err()).await;
    ended(String::from_utf8(vec![0xff]).unwrap_err()).await;
    ended(serde_json::from_str::<u8>("x").unwrap_err()).await;
    ended(HandlerError::Cancelled).await;
    let never = |_: Context, _: ()| async { Ok::<_, std::convert::Infallible>(7) };
    assert_eq!(run(never, &()).await.result::<u8>(), 7);
}

#[derive(Clone)]
struct Pool(&'static str);

#[tokio::test]
async fn a_handler_gets_up_to_four_states_by_their_types() {
    async fn none(_: Context, n: u32) -> Result<u32, HandlerError> {
        Ok(n)
    }
    async fn one(_: Context, n: u32, State(pool): State<Pool>) -> Result<String, HandlerError> {
        Ok(format!("{n} {}", pool.0))
    }
    async fn two(_: Context, _: (), a: State<Pool>, b: State<u8>) -> Result<String, String> {
        Ok(format!("{} {}", a.0.0, b.0))
    }
    async fn three(
        _: Context,
        _: (),
        a: State<u8>,
        b: State<u16>,
        c: State<u32>,
    ) -> Result<u32, String> {
        Ok(u32::from(a.0) + u32::from(b.0) + c.0)
    }
    async fn four(
        context: Context,
        _: (),
        State(a): State<Arc<str>>,
        State(b): State<u16>,
        State(c): State<u32>,
        State(d): State<Pool>,
    ) -> anyhow::Result<String> {
        assert_eq!(context.state::<u16>(), Some(&b));
        assert!(context.state::<u64>().is_none());
        Ok(format!("{a} {b} {c} {}", d.0))
    }
    assert_eq!(run(none, &5).await.result::<u32>(), 5);
    assert_eq!(Run::new(one).state(Pool("p")).payload(&5).await.result::<String>(), "5 p");
    let two = Run::new(two).state(Pool("p")).state(8_u8);
    assert_eq!(two.payload(&()).await.result::<String>(), "p 8");
    let three = Run::new(three).state(1_u8).state(2_u16).state(3_u32);
    assert_eq!(three.payload(&()).await.result::<u32>(), 6);
    let four = Run::new(four).state(Arc::<str>::from("a")).state(2_u16).state(3_u32);
    assert_eq!(four.state(Pool("p")).payload(&()).await.result::<String>(), "a 2 3 p");
}

#[tokio::test]
#[should_panic(expected = "the handler of kind test needs a State<Pool>, add it with .state(…)")]
async fn a_handler_whose_state_is_missing_does_not_run() {
    async fn needs(_: Context, _: (), _: State<Pool>) -> Result<(), String> {
        Ok(())
    }
    run(needs, &()).await;
}

#[tokio::test]
async fn a_type_with_fields_is_a_handler_and_checks_payloads() {
    #[derive(Serialize, Deserialize)]
    struct Size {
        width: u32,
    }
    struct Resizer {
        largest: u32,
    }
    impl Handler for Resizer {
        type Payload = Size;
        type Output = Result<u32, ResizeError>;
        async fn run(&self, _: Context, size: Size) -> Self::Output {
            Ok(self.largest - size.width)
        }
        fn check(&self, size: &Size) -> Vec<PayloadProblem> {
            let wrong = PayloadProblem::new("width", "is too large");
            if size.width > self.largest { vec![wrong] } else { Vec::new() }
        }
    }
    let resizer = || Resizer { largest: 100 };
    assert_eq!(run(resizer(), &Size { width: 40 }).await.result::<u32>(), 60);
    let refused = run(resizer(), &Size { width: 101 }).await;
    assert_eq!(refused.outcome(), &HandlerEnd::Discard("width: is too large".into()));
    let erased = resizer().erase(&States::default()).unwrap();
    assert_eq!(erased.check(r#"{"width": 100}"#), []);
    assert_eq!(erased.check(r#"{"width": 101}"#), [PayloadProblem::new("width", "is too large")]);
    assert!(erased.check(r#"{"w": 1}"#)[0].message.contains("missing field `width`"));
}

#[tokio::test]
async fn a_payload_of_another_type_discards_the_job() {
    let double = |_: Context, n: u32| async move { Ok::<_, String>(n * 2) };
    let attempt = Run::new(double).json(r#""two""#).await;
    let error = attempt.error().unwrap();
    assert!(error.starts_with("the payload does not match what the handler expects: "), "{error}");
    assert!(matches!(attempt.outcome(), HandlerEnd::Discard(_)));
    let trailing = Run::new(double).json("1 2").await;
    assert!(trailing.error().is_some());
}

/// The lines that middleware and handlers have written.
type Calls = Arc<Mutex<Vec<String>>>;

fn traced(
    calls: &Calls,
    name: &'static str,
) -> impl Fn(Context, Next) -> HandlerFuture + Send + Sync + use<> {
    let calls = Arc::clone(calls);
    move |context: Context, next: Next| {
        let calls = Arc::clone(&calls);
        Box::pin(async move {
            calls.lock().unwrap().push(format!("{name} before {}", context.attempt()));
            let end = next.run(context).await;
            calls.lock().unwrap().push(format!("{name} after {:?}", end.error()));
            end
        })
    }
}

#[tokio::test]
async fn the_first_middleware_is_the_outermost() {
    let calls = Calls::default();
    let seen = Arc::clone(&calls);
    let handler = move |_: Context, _: ()| {
        seen.lock().unwrap().push("handler".to_owned());
        async { Err::<(), _>("no") }
    };
    let run = Run::new(handler).middleware(traced(&calls, "a")).middleware(traced(&calls, "b"));
    let attempt = run.attempt(2).payload(&()).await;
    assert_eq!(attempt.error(), Some("no"));
    let all =
        ["a before 2", "b before 2", "handler", r#"b after Some("no")"#, r#"a after Some("no")"#];
    assert_eq!(*calls.lock().unwrap(), all);
}

#[tokio::test]
async fn a_middleware_replaces_the_end_and_may_keep_the_handler_from_running() {
    let handler = |_: Context, n: u32| async move {
        assert_ne!(n, 0, "it must not run");
        Ok::<_, String>(n)
    };
    let doubled = |context: Context, next: Next| async move {
        let end = next.run(context).await;
        HandlerEnd::done(&(end.result_as::<u32>().unwrap().unwrap() * 2))
    };
    assert_eq!(Run::new(handler).middleware(doubled).payload(&4).await.result::<u32>(), 8);
    let closed = |_: Context, _: Next| async { HandlerEnd::Snooze(DELAY) };
    let attempt = Run::new(handler).middleware(closed).payload(&0).await;
    assert_eq!(attempt.outcome(), &HandlerEnd::Snooze(DELAY));
}

#[tokio::test]
async fn a_middleware_sees_a_panic_which_goes_on_unless_it_is_replaced() {
    async fn breaks(_: Context, early: bool) -> Result<(), String> {
        if !early {
            tokio::task::yield_now().await;
        }
        panic!("the {} broke", "machine")
    }
    for early in [true, false] {
        let calls = Calls::default();
        let caught = |context: Context, next: Next| async move {
            match next.run(context).await {
                HandlerEnd::Panicked(message) => HandlerEnd::Discard(message),
                end => end,
            }
        };
        let caught = Run::new(breaks).middleware(caught).middleware(traced(&calls, "inner"));
        let attempt = caught.payload(&early).await;
        assert_eq!(attempt.outcome(), &HandlerEnd::Discard("the machine broke".into()));
        assert_eq!(calls.lock().unwrap()[1], r#"inner after Some("the machine broke")"#);

        let passed = Run::new(breaks).middleware(traced(&Calls::default(), "a"));
        let passed = tokio::spawn(passed.json(early.to_string())).await;
        let panic = passed.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "the machine broke");
    }
}

#[tokio::test]
async fn a_test_sees_the_log_and_the_progress() {
    let report = |context: Context, _: ()| async move {
        context.log("one\r\ntwo\n");
        context.log_room().await;
        context.log_on(LogStream::Stderr, "three");
        context.progress(1, None, None);
        context.progress(2, Some(3), Some("encoding"));
        Ok::<_, String>(())
    };
    let attempt: TestedAttempt = run(report, &()).await;
    assert_eq!(attempt.log(), ["one", "two", "three"]);
    assert_eq!(attempt.log_with_streams()[2].0, LogStream::Stderr);
    let newest = JobProgress { done: 2, total: Some(3), message: Some("encoding".into()) };
    assert_eq!((attempt.progress(), attempt.progress_reports().len()), (Some(newest), 2));
}

#[tokio::test]
async fn a_test_sets_what_the_context_shows() {
    let job = TestJob::new().id("7").kind("resize").queue("images").attempt(3).max_attempts(4);
    let job = job.timeout(DELAY).priority(-2).tag("a").tag("b").enqueued_at("then").state(9_u8);
    let context = job.context();
    assert_eq!((context.id(), context.kind(), context.queue()), ("7", "resize", "images"));
    assert_eq!((context.attempt(), context.max_attempts()), (3, 4));
    assert_eq!((context.timeout(), context.priority()), (Some(DELAY), -2));
    assert_eq!(context.tags().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((context.enqueued_at(), context.state::<u8>()), ("then", Some(&9)));
    let plain = Context::for_test();
    assert_eq!((plain.attempt(), plain.kind(), plain.cancel_cause()), (1, "test", None));
    assert!(plain.client().get("x").await.is_err(), "there is no server");
    plain.cancellation().cancel();
    assert_eq!(plain.cancel_cause(), Some(CancelCause::Cancelled));
}

#[tokio::test]
async fn a_test_cancels_a_run_from_outside() {
    let waits = |context: Context, _: ()| async move {
        context.cancelled().await;
        assert_eq!(context.cancel_cause(), Some(CancelCause::Stopping));
        Err::<(), _>(Cancelled)
    };
    let run = Run::new(waits);
    let cancel = run.canceller();
    let (attempt, ()) = tokio::join!(run.payload(&()), async {
        cancel.cancel(CancelCause::Stopping);
        cancel.cancel(CancelCause::Lost);
    });
    assert_eq!(attempt.outcome(), &HandlerEnd::Cancelled);
    let attempt = Run::new(waits).cancelled(CancelCause::Stopping).payload(&()).await;
    assert_eq!(attempt.outcome(), &HandlerEnd::Cancelled);
}

#[tokio::test]
async fn handlers_may_return_an_end_instead_of_a_result() {
    let ends = |_: Context, done: bool| async move {
        if done { HandlerEnd::done(&json!({"a": 1})) } else { HandlerError::Cancelled.into() }
    };
    assert_eq!(run(ends, &true).await.result::<serde_json::Value>(), json!({"a": 1}));
    assert_eq!(run(ends, &false).await.outcome(), &HandlerEnd::Cancelled);
}
