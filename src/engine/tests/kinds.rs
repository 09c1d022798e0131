//! Kinds in the engine: which ones are known, their defaults and schemas, and who may change them.

use super::*;
use crate::job::{KindDefaults, KindSpec, Origin, ScheduleName};

fn kind(name: &str) -> Kind {
    Kind::parse(name).unwrap()
}

/// A declaration with the defaults of `queue`, and a schema that takes objects with a `width`.
fn declared(queue: &str) -> KindSpec {
    let text = r#"{"about": "Resizes.", "schema": {"type": "object", "required": ["width"]},
        "max_attempts": 2, "backoff": {"base_ms": 50}, "timeout_ms": 700}"#;
    let spec = KindSubmission::parse(&kind("resize"), text, Default::default()).unwrap();
    let queue = Some(QueueName::parse(queue).unwrap());
    KindSpec { defaults: KindDefaults { queue, ..spec.defaults.clone() }, ..spec }
}

fn configured(kinds: &[(&str, KindSpec)]) -> EngineConfig {
    let kinds = kinds.iter().map(|(name, spec)| (kind(name), spec.clone())).collect();
    EngineConfig { kinds: Arc::new(kinds), ..quick() }
}

/// An engine that only has a handler for `work`, and claims nothing.
fn still(config: EngineConfig) -> Shop {
    let registry = one(|_: AttemptContext, _: Option<()>| async { Ok::<_, String>(7) });
    open_on(memory(), registry, EngineConfig { paused: true, ..config })
}

fn submit(shop: &Shop, json: &str) -> NewJob {
    Submission::parse(json, shop.engine.kinds()).unwrap()
}

/// The error of a job, and of the jobs of a schedule, which are the same.
async fn refusal(shop: &Shop, json: &str) -> Option<String> {
    let job = submit(shop, json);
    let mut fields: serde_json::Value = serde_json::from_str(json).unwrap();
    fields["cron"] = "@yearly".into();
    let (kinds, now) = (shop.engine.kinds(), SystemClock.now());
    let spec = ScheduleSubmission::parse(&fields.to_string(), Origin::Api, kinds, now).unwrap();
    assert_eq!((&job.labels, &job.spec.retry), (&spec.labels, &spec.spec.retry));
    let job = shop.engine.enqueue(vec![job]).await.map_err(|error| error.to_string());
    let name = ScheduleName::parse("yearly").unwrap();
    let schedule = shop.engine.set_schedule(name, spec).await.map_err(|error| error.to_string());
    assert_eq!(job.as_ref().err(), schedule.as_ref().err());
    job.err()
}

#[tokio::test]
async fn jobs_of_a_kind_can_be_submitted_once_a_worker_has_announced_it() {
    let shop = still(quick());
    let resize = r#"{"kind":"resize"}"#;
    let refused = refusal(&shop, resize).await.unwrap();
    assert_eq!(refused, "there is no kind \"resize\"; known kinds: work");
    let announced = [kind("work"), kind("resize")];
    shop.engine.announce_kinds(&announced).await.unwrap();
    let head = shop.engine.head();
    shop.engine.announce_kinds(&announced).await.unwrap();
    assert_eq!(shop.engine.head(), head, "what is known is not announced again");
    assert_eq!(refusal(&shop, resize).await, None);
    let known: Vec<(String, KindSource)> = shop
        .engine
        .kinds()
        .all()
        .into_iter()
        .map(|known| (known.info.kind.to_string(), known.source))
        .collect();
    let expected = [("resize", KindSource::Worker), ("work", KindSource::BuiltIn)];
    assert_eq!(known, expected.map(|(name, source)| (name.to_owned(), source)));
    shop.engine.delete_kind(kind("resize")).await.unwrap();
    assert!(refusal(&shop, resize).await.is_some());
}

#[tokio::test]
async fn the_defaults_of_a_kind_apply_where_a_submission_does_not_say() {
    let work = KindSpec { about: None, schema: None, ..declared("built-in") };
    let shop = still(configured(&[("mail", declared("configured")), ("work", work)]));
    shop.engine.set_kind(kind("resize"), declared("declared")).await.unwrap();
    for (kind, queue) in [("mail", "configured"), ("work", "built-in"), ("resize", "declared")] {
        let job = submit(&shop, &format!(r#"{{"kind":"{kind}"}}"#));
        let backoff = Backoff { base_ms: 50, ..RetryPolicy::default().backoff };
        assert_eq!(job.labels.queue.as_str(), queue);
        assert_eq!(job.spec.retry, RetryPolicy { max_attempts: 2, backoff });
        assert_eq!(job.spec.timeout_ms, Some(700));
        let job = submit(
            &shop,
            &format!(
                r#"{{"kind":"{kind}","queue":"own","max_attempts":9,"timeout_ms":5,"backoff":{{"cap_ms":60}}}}"#
            ),
        );
        assert_eq!(job.labels.queue.as_str(), "own");
        let backoff = Backoff { base_ms: 50, cap_ms: 60 };
        assert_eq!(job.spec.retry, RetryPolicy { max_attempts: 9, backoff });
        assert_eq!(job.spec.timeout_ms, Some(5));
    }
}

#[tokio::test]
async fn a_payload_is_checked_against_the_schema_of_its_declared_kind() {
    let shop = still(configured(&[("mail", declared("media"))]));
    shop.engine.set_kind(kind("resize"), declared("media")).await.unwrap();
    for kind in ["mail", "resize"] {
        let with = |payload: &str| format!(r#"{{"kind":"{kind}","payload":{payload}}}"#);
        assert_eq!(refusal(&shop, &with(r#"{"width":1}"#)).await, None);
        let refused = refusal(&shop, &with("{}")).await.unwrap();
        assert!(refused.contains(&format!("the schema of kind {kind}: width")), "{refused}");
    }
}

#[tokio::test]
async fn only_what_was_declared_at_run_time_can_be_changed_there() {
    let shop = still(configured(&[("mail", declared("media"))]));
    let set = async |name| shop.engine.set_kind(kind(name), KindSpec::default()).await;
    assert_eq!(set("work").await, Err(DeclareKindError::BuiltIn));
    assert_eq!(set("mail").await, Err(DeclareKindError::Configured));
    let delete = async |name| shop.engine.delete_kind(kind(name)).await;
    assert_eq!(delete("work").await, Err(DeclareKindError::BuiltIn));
    assert_eq!(delete("mail").await, Err(DeclareKindError::Configured));
    assert_eq!(delete("resize").await, Err(KindError::NotFound.into()));
    set("resize").await.unwrap();
    delete("resize").await.unwrap();
}

#[tokio::test]
async fn a_job_of_a_kind_that_nobody_runs_says_so() {
    let registry = one(|_: AttemptContext, _: Option<()>| async { Ok::<_, String>(7) });
    let shop = open_on(memory(), registry, configured(&[("mail", KindSpec::default())]));
    shop.engine.pause(QueueName::default()).await.unwrap();
    for (kind, code) in [("mail", "no_worker"), ("work", "queue_paused")] {
        let job = shop.engine.enqueue(vec![job(kind, "default")]).await.unwrap().remove(0);
        let why = shop.engine.wait_reason(job.job()).await.unwrap().unwrap();
        assert_eq!(why.code(), code, "{why}");
    }
}

/// A program that gets a handler, or a configuration, for a kind that was declared before.
#[tokio::test]
async fn a_declaration_that_no_longer_counts_can_be_deleted() {
    let store = memory();
    let open = |kinds: EngineConfig, registry| {
        open_on(store.clone(), registry, EngineConfig { paused: true, ..kinds })
    };
    let before = open(quick(), Registry::default());
    before.engine.set_kind(kind("work"), declared("old")).await.unwrap();
    before.engine.set_kind(kind("mail"), declared("old")).await.unwrap();
    let registry = one(|_: AttemptContext, _: Option<()>| async { Ok::<_, String>(7) });
    let shop = open(configured(&[("mail", KindSpec::default())]), registry);
    for name in ["work", "mail"] {
        let known = shop.engine.kinds().find(&kind(name)).unwrap();
        assert!(known.info.schema.is_none() && known.defaults == KindDefaults::default(), "{name}");
        shop.engine.delete_kind(kind(name)).await.unwrap();
        assert!(shop.engine.kinds().knows(&kind(name)));
    }
}

#[test]
fn every_wrong_field_of_a_declaration_is_named() {
    let fields = |text: &str| -> Vec<String> {
        let wrong = KindSubmission::parse(&kind("resize"), text, Default::default()).unwrap_err();
        wrong.into_iter().map(|error| error.field.into_owned()).collect()
    };
    let wrong = r#"{"about":"","queue":"a b","max_attempts":0,"backoff":{"base_ms":9},"timeout_ms":0,
        "schema":{"type":"objekt"},"handler":1}"#;
    let expected =
        ["max_attempts", "backoff.base_ms", "timeout_ms", "handler", "about", "schema", "queue"];
    assert_eq!(fields(wrong), expected);
    let example = r#"{"schema":{"required":["width"]},"example":{}}"#;
    assert_eq!(fields(example), ["example.width"]);
    let long = format!(r#"{{"example":"{0}","schema":{{"title":"{0}"}}}}"#, "x".repeat(70_000));
    assert_eq!(fields(&long), ["schema", "example"]);
    let none = r#"{"about":null,"example":null,"schema":null,"queue":null,"backoff":null}"#;
    let spec = KindSubmission::parse(&kind("resize"), none, Default::default()).unwrap();
    assert_eq!(spec, KindSpec::default());
}
