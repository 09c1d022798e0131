//! Bodies and query strings of the HTTP API.

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use super::problems::check_refusal;
use super::{NOW, choice};
use crate::engine::bulk::{Action, MAX_LISTED, Target};
use crate::engine::{KindSubmission, Kinds, ScheduleSubmission};
use crate::http::Problem;
use crate::http::api::bulk::read_request;
use crate::http::api::extract::json_text;
use crate::http::api::query;
use crate::http::api::submit::{is_batch, read_batch, read_job};
use crate::job::limits::MAX_TAGS;
use crate::job::{
    Filter, JobQuery, JsonLimits, Kind, NewJob, Origin, RetryPolicy, Spec, Start, Time,
};

/// The most jobs of a submission.
const MAX_BATCH: usize = 50;

/// The body of `POST /api/v1/jobs`. An accepted job that is written as JSON with all of its fields is the same job.
pub fn job_submission(body: &[u8]) {
    match submitted(body) {
        Ok(jobs) => {
            assert!(!jobs.is_empty() && jobs.len() <= MAX_BATCH);
            for job in &jobs {
                check_spec(&job.spec, job.labels.tags.len());
                let again = read_job(job_json(job).as_bytes(), &Kinds::default());
                let again = again.unwrap_or_else(|problem| panic!("{problem:?} {job:?}"));
                assert_eq!((&again.labels, &again.spec), (&job.labels, &job.spec));
                assert_eq!(again.start, job.start);
            }
            // An array of one job is the job.
            if let ([job], false) = (&jobs[..], is_batch(body)) {
                let array = [b"[", body, b"]"].concat();
                let jobs = submitted(&array).unwrap_or_else(|problem| panic!("{problem:?}"));
                assert_eq!((&jobs[0].labels, &jobs[0].spec), (&job.labels, &job.spec));
            }
        }
        Err(problem) => check_refusal(&problem),
    }
}

/// Reads a submission as the endpoint does.
fn submitted(body: &[u8]) -> Result<Vec<NewJob>, Problem> {
    checked(body)?;
    let kinds = Kinds::default();
    if is_batch(body) {
        read_batch(body, &kinds, MAX_BATCH)
    } else {
        Ok(vec![read_job(body, &kinds)?])
    }
}

/// The check of every body before it is parsed.
fn checked(body: &[u8]) -> Result<(), Problem> {
    JsonLimits::default().check_body(body).map_err(|(at, why)| Problem::too_complex(at, why))
}

fn check_spec(spec: &Spec, tags: usize) {
    assert!(tags <= MAX_TAGS);
    let RetryPolicy { max_attempts, backoff } = spec.retry;
    assert!((1..=1_000).contains(&max_attempts) && backoff.base_ms <= backoff.cap_ms);
    let limits = JsonLimits::default();
    assert_eq!(limits.check(spec.payload.as_str()).err(), None, "the payload breaks its limits");
}

/// Every field of a job.
fn job_json(job: &NewJob) -> String {
    let NewJob { labels, spec, start, .. } = job;
    let mut fields = json!({
        "kind": labels.kind.as_str(),
        "queue": labels.queue.as_str(),
        "tags": labels.tags,
        "priority": spec.priority,
        "max_attempts": spec.retry.max_attempts,
        "backoff": {"base_ms": spec.retry.backoff.base_ms, "cap_ms": spec.retry.backoff.cap_ms},
        "timeout_ms": spec.timeout_ms,
        "idempotency_key": spec.idempotency_key.as_ref().map(|key| key.as_str()),
    });
    match start {
        Start::Now => {}
        Start::After(delay) => fields["delay_ms"] = json!(delay.as_millis() as u64),
        Start::At(at) => fields["run_at"] = json!(at.to_string()),
    }
    let text = fields.to_string();
    // The payload is kept as it was typed, which a parsed value would not do.
    format!("{},\"payload\":{}}}", &text[..text.len() - 1], spec.payload.as_str())
}

/// The bodies of other requests. The first line says which one it is.
pub fn request_body(input: &[u8]) {
    let Some((request, body)) = choice(input) else { return };
    let refused = match request {
        "bulk" => bulk(body),
        "schedule" => schedule(body),
        "kind" => kind(body),
        _ => return,
    };
    if let Err(problem) = refused {
        check_refusal(&problem);
    }
}

/// An accepted action on jobs, written again, means the same.
fn bulk(body: &[u8]) -> Result<(), Problem> {
    checked(body)?;
    let (action, target) = read_request(body, NOW)?;
    let mut fields = json!({"action": action.as_str()});
    match &action {
        Action::Move(queue) => fields["queue"] = json!(queue.as_str()),
        Action::Reprioritise(priority) => fields["priority"] = json!(priority),
        Action::Retry | Action::Cancel | Action::Delete => {}
    }
    match &target {
        Target::Jobs(ids) => {
            assert!(!ids.is_empty() && ids.len() <= MAX_LISTED);
            fields["ids"] = json!(ids);
        }
        Target::Matching(query) => fields["filter"] = Value::Object(filter_json(query)),
        Target::FailureGroup(_) => panic!("no body selects a failure group"),
    }
    let again = read_request(fields.to_string().as_bytes(), NOW);
    let again = again.unwrap_or_else(|problem| panic!("{problem:?} {fields}"));
    assert_eq!(again, (action, target), "{fields}");
    Ok(())
}

/// The fields of a filter in a body.
fn filter_json(query: &JobQuery) -> serde_json::Map<String, Value> {
    let mut fields = serde_json::Map::new();
    for (name, value) in parameters(query) {
        let values = fields.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(Value::String(value));
        }
    }
    fields
}

/// The conditions of a query as the parameters of a query string.
fn parameters(query: &JobQuery) -> Vec<(&'static str, String)> {
    let texts = |name, texts: Vec<String>| texts.into_iter().map(move |text| (name, text));
    let time = |name, at: Option<Time>| at.map(|at| (name, at.to_string()));
    let mut all: Vec<(&'static str, String)> = Vec::new();
    all.extend(texts("state", query.states.iter().map(ToString::to_string).collect()));
    all.extend(texts("queue", query.queues.iter().map(ToString::to_string).collect()));
    all.extend(texts("kind", query.kinds.iter().map(ToString::to_string).collect()));
    all.extend(texts("tag", query.tags.iter().map(ToString::to_string).collect()));
    all.extend(texts("q", query.terms.iter().map(ToString::to_string).collect()));
    all.extend(time("since", query.since));
    all.extend(time("until", query.until));
    all.extend(time("ended_since", query.ended_since));
    all.extend(time("ended_until", query.ended_until));
    all
}

fn schedule(body: &[u8]) -> Result<(), Problem> {
    checked(body)?;
    let text = json_text(body)?;
    let spec = ScheduleSubmission::parse(text, Origin::Api, &Kinds::default(), NOW);
    let spec = spec.map_err(Problem::invalid_fields)?;
    check_spec(&spec.spec, spec.labels.tags.len());
    assert_eq!(spec.spec.idempotency_key, None);
    assert!(spec.cron.next_after(NOW).is_some_and(|next| next > NOW));
    Ok(())
}

/// An accepted schema accepts the example beside it, and its check of any payload ends.
fn kind(body: &[u8]) -> Result<(), Problem> {
    checked(body)?;
    let text = json_text(body)?;
    let Ok(kind) = Kind::parse("mail") else { return Ok(()) };
    let spec = KindSubmission::parse(&kind, text, JsonLimits::default());
    let spec = spec.map_err(Problem::invalid_fields)?;
    if let (Some(schema), Some(example)) = (&spec.schema, &spec.example) {
        assert!(schema.check(example).is_empty(), "{spec:?}");
    }
    Ok(())
}

/// The query strings of the API. The first line says of which address. An accepted list of jobs or filter on events that
/// is written again is the same.
pub fn query_string(input: &[u8]) {
    let Some((address, query)) = choice(input) else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    let query = Some(query);
    let refused = match address {
        "jobs" => query::job_query(query, NOW).map(|read| jobs_again(&read)),
        "events" => query::stream_query(query).map(|read| {
            assert!(read.limit.is_none_or(|limit| (1..=query::MAX_EVENTS).contains(&limit)));
            events_again(&read.filter);
        }),
        "workers" => query::worker_query(query).map(|read| {
            assert!((1..=query::MAX_WORKERS).contains(&read.limit));
        }),
        "history" => query::history_query(query).map(drop),
        "log" => query::log_query(query).map(drop),
        "job" => query::wait_query(query).map(drop),
        "limit" => query::limit_query(query, 50, 500).map(|limit| {
            assert!((1..=500).contains(&limit));
        }),
        "nothing" => query::no_query(query),
        _ => return,
    };
    if let Err(problem) = refused {
        check_refusal(&problem);
    }
}

fn jobs_again(read: &JobQuery) {
    assert!((1..=JobQuery::MAX_LIMIT).contains(&read.limit));
    let mut text = Serializer::new(String::new());
    text.extend_pairs(parameters(read)).append_pair("limit", &read.limit.to_string());
    if let Some(after) = read.after {
        text.append_pair("after", &after.to_string());
    }
    let text = text.finish();
    let again = query::job_query(Some(&text), NOW);
    let again = again.unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
    assert_eq!(again, *read, "{text}");
}

fn events_again(filter: &Filter) {
    let mut text = Serializer::new(String::new());
    for (name, values) in filter_values(filter) {
        text.extend_pairs(values.iter().map(|value| (name, value)));
    }
    let text = text.finish();
    let again = query::stream_query(Some(&text));
    let again = again.unwrap_or_else(|problem| panic!("{text}: {problem:?}"));
    assert_eq!(again.filter, *filter, "{text}");
}

/// The values of each field of a filter on events.
pub fn filter_values(filter: &Filter) -> [(&'static str, Vec<String>); 6] {
    let Filter { queues, kinds, jobs, tags, types, by } = filter;
    [
        ("queue", queues.iter().map(ToString::to_string).collect()),
        ("kind", kinds.iter().map(ToString::to_string).collect()),
        ("job", jobs.iter().map(ToString::to_string).collect()),
        ("tag", tags.iter().map(ToString::to_string).collect()),
        ("type", types.iter().map(ToString::to_string).collect()),
        ("by", by.iter().map(ToString::to_string).collect()),
    ]
}
