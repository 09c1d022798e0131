//! Handlers of programs in the engine: what they see, what their errors decide, and middleware around them.

use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::client::{
    CancelCause, Cancelled, Client, Context, Decision, Discard, HandlerEnd, HandlerError,
    HandlerFn, JobError, Layers, Next, PayloadProblem, Snooze, States, Surroundings,
};

fn surroundings() -> Arc<Surroundings> {
    let client = Client::new("http://127.0.0.1:1").unwrap();
    Arc::new(Surroundings { states: States::default(), client })
}

/// A registry with one handler of a program, of kind `work`.
fn program<M>(handler: impl HandlerFn<M>) -> Registry {
    let mut registry = Registry::default();
    let handler = handler.erase(&States::default()).unwrap();
    registry.add_of_program(KindInfo::plain(Kind::parse("work").unwrap()), handler, surroundings());
    registry
}

#[derive(Debug, thiserror::Error)]
#[error("the printer is on fire")]
struct PrinterError(Decision);

impl JobError for PrinterError {
    fn decision(&self) -> Decision {
        self.0
    }
}

fn work_with(payload: &str) -> NewJob {
    let mut job = work();
    Arc::get_mut(&mut job.spec).unwrap().payload = Json::parse(payload).unwrap();
    job
}

#[tokio::test]
async fn an_error_of_a_program_decides_what_happens_to_its_job() {
    let shop = open(program(|context: Context, case: u8| async move {
        match (case, context.attempt()) {
            (0, _) => Err(PrinterError(Decision::Discard)),
            (1, 1) => Err(PrinterError(Decision::Retry)),
            (2, _) => Err(PrinterError(Decision::Cancel)),
            (3, 1) => Err(PrinterError(Decision::RetryAfter(Duration::from_millis(5)))),
            _ => Ok(context.attempt()),
        }
    }));
    let discarded = shop.run(work_with("0")).await;
    assert_eq!((discarded.status.state, discarded.status.attempt), (State::Discarded, 1));
    assert_eq!(&*discarded.last_failure().unwrap().message, "the printer is on fire");
    let retried = shop.run(work_with("1")).await;
    assert_eq!(
        (ends(&retried), retried.result().unwrap().as_str()),
        (vec!["error".into(), "completed".into()], "2")
    );
    assert_eq!(shop.run(work_with("2")).await.status.state, State::Cancelled);
    assert_eq!(ends(&shop.run(work_with("3")).await), ["error", "completed"]);
}

#[tokio::test]
async fn a_ready_made_error_within_another_one_decides() {
    let snoozed = Arc::new(Mutex::new(false));
    let shop = open(program(move |_: Context, discards: bool| {
        let was_snoozed = std::mem::replace(&mut *snoozed.lock().unwrap(), true);
        async move {
            if discards {
                return Err(anyhow::Error::new(Discard::new("no pixels")).context("cannot resize"));
            }
            if !was_snoozed {
                return Err(Snooze(Duration::from_millis(1)).into());
            }
            anyhow::Ok(())
        }
    }));
    assert_eq!(ends(&shop.run(work_with("false")).await), ["snoozed", "completed"]);
    let job = shop.run(work_with("true")).await;
    assert_eq!(job.status.state, State::Discarded);
    assert_eq!(&*job.last_failure().unwrap().message, "cannot resize: no pixels");
}

#[tokio::test]
async fn a_long_error_is_cut_to_the_limit_of_failures() {
    let shop = open(program(|_: Context, _: ()| async { Err::<(), _>("ä".repeat(100_000)) }));
    let job = shop.run(once(work())).await;
    let length = job.last_failure().unwrap().message.len();
    assert!((4_000..=4_096).contains(&length), "{length}");
}

#[tokio::test]
async fn a_context_shows_the_job_and_stores_what_the_handler_reports() {
    let shop = open(program(|context: Context, _: ()| async move {
        context.log("one\ntwo");
        context.log_room().await;
        context.progress(1, Some(2), Some("half"));
        assert_eq!((context.attempt(), context.max_attempts(), context.priority()), (1, 3, 0));
        assert_eq!(
            (context.cancel_cause(), context.timeout()),
            (None, Some(Duration::from_secs(7)))
        );
        let tags: Vec<&str> = context.tags().collect();
        Ok::<_, String>(json!([
            context.id(),
            context.kind(),
            context.queue(),
            tags,
            context.enqueued_at()
        ]))
    }));
    let mut job = work_within(7_000);
    Arc::get_mut(&mut job.labels).unwrap().tags = [crate::job::Tag::parse("blue").unwrap()].into();
    let job = shop.run(job).await;
    let seen: serde_json::Value = job.result().unwrap().read().unwrap();
    let enqueued_at = job.enqueued_at.to_string();
    assert_eq!(seen, json!([job.id.to_string(), "work", "default", ["blue"], enqueued_at]));
    let lines: Vec<&str> = job.log.iter().map(|line| &*line.text).collect();
    assert_eq!((lines, job.progress.as_ref().map(|it| it.done)), (vec!["one", "two"], Some(1)));
}

#[tokio::test]
async fn a_handler_knows_why_it_should_stop() {
    let causes = Arc::new(Mutex::new(Vec::new()));
    let seen = causes.clone();
    let mut shop = open(program(move |context: Context, _: ()| {
        let seen = seen.clone();
        async move {
            context.cancelled().await;
            seen.lock().unwrap().push(context.cancel_cause());
            Err::<(), _>(Cancelled)
        }
    }));
    let job = shop.run(once(work_within(10))).await;
    assert_eq!(failure_class(&job), Some(FailureClass::Timeout));
    let id = shop.submit(work()).await;
    shop.started(id).await;
    shop.engine.cancel(id).await.unwrap();
    assert_eq!(shop.finish(id).await.status.state, State::Cancelled);
    let id = shop.submit(work()).await;
    shop.started(id).await;
    shop.shutdown.abort.cancel();
    shop.event(|of, change| {
        (of == id && matches!(change, Change::Interrupted { .. })).then_some(())
    })
    .await;
    let causes = causes.lock().unwrap();
    assert_eq!(
        *causes,
        [CancelCause::TimedOut, CancelCause::Cancelled, CancelCause::Stopping].map(Some)
    );
}

#[tokio::test]
async fn a_payload_of_another_type_discards_the_job_and_one_of_the_deepest_kind_is_read() {
    let shop = open(program(|_: Context, _: serde_json::Value| async { Ok::<_, String>(()) }));
    let deepest = format!("{}{}", "[".repeat(128), "]".repeat(128));
    assert_eq!(shop.run(work_with(&deepest)).await.status.state, State::Completed);
    let shop = open(program(|_: Context, _: u8| async { Ok::<_, String>(()) }));
    let job = shop.run(work_with("256")).await;
    assert_eq!((job.status.state, job.status.attempt), (State::Discarded, 1));
    let message = &job.last_failure().unwrap().message;
    assert!(
        message.starts_with("the payload does not match what the handler expects: "),
        "{message}"
    );
}

#[tokio::test]
async fn a_panic_of_a_handler_is_a_panic_also_within_middleware() {
    async fn broken(_: Context, _: ()) -> Result<(), String> {
        panic!("the {} broke", "machine")
    }
    async fn own(_: AttemptContext, _: Option<()>) -> Result<(), String> {
        panic!("the {} broke", "machine")
    }
    let mut layers = Layers::default();
    layers.add(|context: Context, next: Next| async move {
        let end = next.run(context).await;
        assert_eq!(end, HandlerEnd::Panicked("the machine broke".into()));
        end
    });
    for layers in [Layers::default(), layers] {
        let mut registry = program(broken);
        add(&mut registry, "own", own);
        registry.surround(&layers, &surroundings());
        let shop = open(registry);
        for kind in ["work", "own"] {
            let job = shop.run(once(job(kind, "default"))).await;
            assert_eq!(failure_class(&job), Some(FailureClass::Panic), "{kind}");
            assert_eq!(&*job.last_failure().unwrap().message, "the machine broke", "{kind}");
        }
    }
}

#[tokio::test]
async fn middleware_surrounds_the_handlers_of_the_crate_as_well() {
    let mut registry =
        program(|_: Context, _: Option<()>| async { Ok::<_, HandlerError>("program") });
    add(&mut registry, "own", |context: AttemptContext, _: Option<()>| async move {
        context.log("own");
        Ok::<_, String>("own")
    });
    let mut layers = Layers::default();
    layers.add(|context: Context, next: Next| async move {
        context.log(format!("before {}", context.kind()));
        let end = next.run(context.clone()).await;
        context.log(format!("after {:?}", end.result_as::<String>().unwrap().unwrap()));
        if context.attempt() == 1 {
            HandlerEnd::Retry { error: "again".into(), after: None }
        } else {
            end
        }
    });
    registry.surround(&layers, &surroundings());
    let shop = open(registry);
    for (kind, name, lines) in [("work", "program", 4), ("own", "own", 6)] {
        let done = shop.run(job(kind, "default")).await;
        assert_eq!(ends(&done), ["error", "completed"]);
        assert_eq!(done.result().unwrap().as_str(), format!("{name:?}"));
        assert_eq!(done.log.len(), lines, "{:?}", done.log);
        assert_eq!(&*done.log[0].text, format!("before {kind}"));
    }
}

#[tokio::test]
async fn a_handler_of_a_program_refuses_payloads_that_no_attempt_could_use() {
    struct Even;
    impl crate::client::Handler for Even {
        type Payload = u32;
        type Output = Result<u32, HandlerError>;
        async fn run(&self, _: Context, n: u32) -> Self::Output {
            Ok(n)
        }
        fn check(&self, n: &u32) -> Vec<PayloadProblem> {
            let odd = PayloadProblem::new("", "the number must be even");
            if n.is_multiple_of(2) { Vec::new() } else { vec![odd] }
        }
    }
    let registry = program(Even);
    let kind = Kind::parse("work").unwrap();
    let problems = |payload| registry.violations(&kind, &Json::parse(payload).unwrap()).unwrap();
    assert!(problems("2").is_empty());
    assert_eq!(problems("3")[0].message, "the number must be even");
    let shop = open(program(Even));
    let refused = shop.engine.enqueue(vec![work_with("3")]).await.unwrap_err().to_string();
    assert!(refused.contains("the number must be even"), "{refused}");
}

#[tokio::test]
async fn a_paused_engine_runs_one_job_or_all_of_them_when_it_is_asked_to() {
    let engine = Arc::new(std::sync::OnceLock::<Engine>::new());
    let of_handler = engine.clone();
    let registry = program(move |_: Context, children: u8| {
        let engine = of_handler.get().unwrap().clone();
        async move {
            for _ in 0..children {
                engine.enqueue(vec![work_with("0")]).await.map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        }
    });
    let config = EngineConfig { paused: true, ..quick() };
    let shop = open_on(memory(), registry, config);
    engine.set(shop.engine.clone()).ok();
    assert_eq!(shop.engine.run_one_job().await.unwrap(), None);
    let first = shop.submit(work_with("0")).await;
    let second = shop.submit(work_with("2")).await;
    assert_eq!(shop.engine.run_one_job().await.unwrap(), Some(first));
    let state = async |id| shop.engine.job(id).await.unwrap().0.unwrap().status.state;
    assert_eq!((state(first).await, state(second).await), (State::Completed, State::Available));
    let later = NewJob { start: Start::After(Duration::from_secs(60)), ..work_with("0") };
    let later = shop.submit(later).await;
    assert_eq!(shop.engine.run_all_jobs().await.unwrap(), 3, "two children");
    assert_eq!((state(second).await, state(later).await), (State::Completed, State::Scheduled));
    assert_eq!(shop.engine.run_all_jobs().await.unwrap(), 0);
}
