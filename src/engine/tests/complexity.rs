//! Payloads and results that are nested too deeply or have too many values.

use serde_json::Value;

use super::*;
use crate::job::TooComplex;

fn nested(depth: usize) -> Json {
    Json::parse(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))).unwrap()
}

fn wide(values: usize) -> Json {
    Json::of(&vec![0; values - 1]).unwrap()
}

fn with(payload: Json) -> NewJob {
    let mut job = work();
    Arc::get_mut(&mut job.spec).unwrap().payload = payload;
    job
}

#[tokio::test]
async fn a_payload_beyond_a_limit_is_refused_and_one_at_the_limit_runs() {
    let shop =
        open(one(|_: AttemptContext, payload: Value| async move { Ok::<_, String>(payload) }));
    for payload in [nested(128), wide(20_000)] {
        let job = shop.run(with(payload.clone())).await;
        assert_eq!((job.status.state, job.result()), (State::Completed, Some(&payload)));
    }
    let (deep, many) = (TooComplex::Deep { limit: 128 }, TooComplex::Many { limit: 20_000 });
    for (payload, expected) in [(nested(129), deep), (nested(300_000), deep), (wide(20_001), many)]
    {
        let batch = vec![work(), with(payload.clone())];
        let refused = shop.engine.enqueue(batch).await.unwrap_err();
        let SubmitError::Payload(PayloadError::TooComplex { at: Some(1), why }) = refused else {
            panic!("{refused}")
        };
        assert_eq!(why, expected);
        let alone = shop.engine.enqueue(vec![with(payload)]).await.unwrap_err();
        let alone_is_refused =
            matches!(alone, SubmitError::Payload(PayloadError::TooComplex { at: None, .. }));
        assert!(alone_is_refused, "{alone}");
    }
    assert_eq!(shop.engine.stats().await.unwrap().queues.len(), 1, "nothing else was accepted");
}

#[tokio::test]
async fn a_result_beyond_a_limit_is_left_out_and_the_work_is_done_all_the_same() {
    /// Serializes as arrays nested one level deeper than its number, without building a tree of values.
    struct Deep(usize);
    impl serde::Serialize for Deep {
        fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
            out.collect_seq(self.0.checked_sub(1).map(Deep))
        }
    }
    let shop = open(one(|_: AttemptContext, how: String| async move {
        match how.as_str() {
            "deep" => Outcome::Done(nested(50_000)),
            "endless" => Ok::<_, String>(Deep(usize::MAX)).into_outcome(),
            "wide" => Ok::<_, String>(vec![1; 50_000]).into_outcome(),
            _ => Ok::<_, String>(Deep(127)).into_outcome(),
        }
    }));
    for (how, code) in [
        ("deep", Some("json_too_deep")),
        ("endless", Some("json_too_deep")),
        ("wide", Some("json_too_many_values")),
        ("deepest", None),
    ] {
        let job = shop.run(with(Json::of(how).unwrap())).await;
        assert_eq!((job.status.state, job.status.attempt), (State::Completed, 1), "{how}");
        let result = job.result().unwrap();
        assert!(result.as_str().len() < 4_000, "{how}");
        let result: Value = result.read().unwrap();
        assert_eq!(result["left_out"]["code"].as_str(), code, "{how}");
    }
}

#[tokio::test]
async fn a_job_of_an_older_version_runs_and_can_be_controlled_with_any_payload() {
    let store = memory();
    for payload in [nested(200_000), wide(300_000)] {
        store.enqueue(vec![with(payload)]).await.unwrap();
    }
    let mut registry = Registry::default();
    add(&mut registry, "work", |context: AttemptContext, _: serde::de::IgnoredAny| async move {
        Outcome::Done(context.job().spec.payload.clone())
    });
    let shop = open_on(store, registry, quick());
    let page = shop.engine.jobs(JobQuery { limit: 10, ..JobQuery::default() }).await.unwrap();
    assert_eq!(page.jobs.len(), 2);
    for job in &page.jobs {
        let done = shop.finish(job.id).await;
        assert_eq!(done.status.state, State::Completed);
        assert!(done.result().unwrap().as_str().contains("left_out"));
        shop.engine.retry(job.id).await.unwrap();
        shop.finish(job.id).await;
        shop.engine.delete(job.id).await.unwrap();
    }
    // A handler that parses a payload that is too deep into a tree fails with that error, and nothing breaks.
    let shop = open(one(|_: AttemptContext, _: Value| async { Ok::<_, String>(()) }));
    let mut old = with(nested(200_000));
    Arc::get_mut(&mut old.spec).unwrap().retry.max_attempts = 1;
    let id = old.id;
    shop.engine.parts.store.enqueue(vec![old]).await.unwrap();
    let job = shop.finish(id).await;
    assert_eq!(job.status.state, State::Discarded);
    assert!(job.last_failure().unwrap().message.contains("recursion limit"));
}
