//! The schemas of texts and numbers accept what the code accepts, and refuse what it refuses.

use serde_json::{Value, json};

use super::{Described, document, faults};
use crate::job::{Actor, IdempotencyKey, JobId, Tag, WorkerName};

/// Texts that names and ids may be, or may not be.
const TEXTS: [&str; 30] = [
    "a",
    "a b",
    " a",
    "a ",
    "a,b",
    "größe",
    "日本",
    "a\u{200b}b",
    "a\u{2028}b",
    "\u{feff}a",
    "a\u{202e}b",
    "a\tb",
    "a\u{85}b",
    "019ab001-7c3e-7d10-8a55-0242ac120002",
    "019AB001-7C3E-7D10-8A55-0242AC120002",
    "019ab001-7c3e-7d10-8a55",
    "user:anna@example.com",
    "user:.anna",
    "user:anna.",
    "user:a b",
    "user:a:b",
    "user:",
    "anna",
    "token:ci:deploy",
    "token:.ci",
    "token:a@b",
    "schedule:nightly",
    "link:2f9c",
    "link:",
    "server:x",
];

/// The schema of a parameter of an operation.
fn parameter(document: &Value, path: &str, name: &str) -> Value {
    let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
    let found = parameters.iter().find(|parameter| parameter["name"] == name);
    found.unwrap_or_else(|| panic!("{path} has no {name}"))["schema"].clone()
}

fn long(length: usize) -> String {
    "ü".repeat(length)
}

#[test]
fn the_patterns_of_texts_are_the_rules_of_the_code() {
    let document = document();
    let submission = &document["components"]["schemas"]["JobSubmission"]["properties"];
    let compare = |what: &str, schema: &Value, is_accepted: &dyn Fn(&str) -> bool| {
        let longer = [99, 100, 101, 199, 200, 201].map(long);
        for text in TEXTS.into_iter().chain(longer.iter().map(String::as_str)) {
            let is_valid = faults(&document, schema, &json!(text)).is_empty();
            assert_eq!(is_valid, is_accepted(text), "{what}: {text:?} by {schema}");
        }
    };
    compare("tag", &submission["tags"]["items"], &|text| Tag::parse(text).is_ok());
    let key = |text: &str| IdempotencyKey::parse(text).is_ok();
    compare("key", &submission["idempotency_key"], &key);
    let by = parameter(&document, "/api/v1/events", "by")["items"].clone();
    compare("by", &by, &|text| text.parse::<Actor>().is_ok());
    let jobs = parameter(&document, "/api/v1/jobs", "after");
    compare("after of jobs", &jobs, &|text| text.parse::<JobId>().is_ok());
    let workers = parameter(&document, "/api/v1/workers", "after");
    compare("after of workers", &workers, &|text| WorkerName::parse(text).is_ok());
    for after in [jobs, workers] {
        assert!(faults(&document, &after, &json!("")).is_empty(), "the first page: {after}");
    }
}

#[tokio::test]
async fn bodies_are_accepted_and_refused_as_their_schemas_say() {
    let described = Described::start().await;
    let job = described.job(r#"{"kind":"echo","delay_ms":3600000}"#).await;
    described.call("PUT", "/api/v1/kinds/{kind}", "/api/v1/kinds/resize", "{}").await;
    let lease = described.lease().await;
    let settle = |fields: &str| format!(r#"{{"settle":[{{"lease":"{lease}",{fields}}}]}}"#);
    let note = |fields: &str| format!(r#"{{"note":[{{"lease":"{lease}",{fields}}}]}}"#);
    let claim = |fields: &str| format!(r#"{{"kinds":["none"],{fields}}}"#);
    let host = |host: &str| claim(&format!(r#""about":{{"host":"{host}"}}"#));
    let (jobs, leases, claims) = ("/api/v1/jobs", "/api/v1/leases", "/api/v1/workers/{name}/claim");
    let claim_path = "/api/v1/workers/web-1/claim".to_owned();
    let (move_route, kind) = ("/api/v1/jobs/{id}/reprioritise", "/api/v1/kinds/{kind}");
    let reprioritise = format!("/api/v1/jobs/{job}/reprioritise");
    let kind_path = "/api/v1/kinds/resize".to_owned();
    let user = ("/api/v1/users/{name}", "/api/v1/users/root".to_owned());
    for (method, route, path, body, is_accepted) in [
        ("POST", jobs, jobs.into(), r#"{"kind":"echo","priority":5.0}"#.into(), true),
        ("POST", jobs, jobs.into(), r#"{"kind":"echo","priority":5.5}"#.into(), false),
        ("POST", jobs, jobs.into(), r#"{"kind":"echo","timeout_ms":3e4}"#.into(), true),
        ("POST", jobs, jobs.into(), r#"{"kind":"echo","backoff":{}}"#.into(), false),
        ("POST", jobs, jobs.into(), r#"{"kind":"echo","backoff":{"base_ms":null}}"#.into(), false),
        ("POST", jobs, jobs.into(), r#"{"kind":"echo","backoff":{"base_ms":900.0}}"#.into(), true),
        (
            "POST",
            jobs,
            jobs.into(),
            r#"{"kind":"echo","backoff":{"base_ms":null,"cap_ms":9000}}"#.into(),
            true,
        ),
        ("POST", move_route, reprioritise.clone(), r#"{"priority":-1.0}"#.into(), true),
        ("POST", move_route, reprioritise, r#"{"priority":null}"#.into(), false),
        ("POST", claims, claim_path.clone(), claim(r#""lease_ms":30000.0"#), true),
        ("POST", claims, claim_path.clone(), r#"{"kinds":null}"#.into(), false),
        ("POST", claims, claim_path.clone(), host(&long(200)), true),
        ("POST", claims, claim_path.clone(), host(&long(201)), false),
        ("POST", claims, claim_path, host(r"a\tb"), false),
        ("POST", leases, leases.into(), note(r#""progress":{"done":null}"#), false),
        ("POST", leases, leases.into(), note(r#""progress":{"done":1.0}"#), true),
        ("POST", leases, leases.into(), settle(r#""outcome":"snooze","delay_ms":null"#), false),
        ("POST", leases, leases.into(), settle(r#""outcome":"discard","error":null"#), false),
        ("POST", leases, leases.into(), settle(r#""outcome":"returned","error":null"#), false),
        ("POST", leases, leases.into(), settle(r#""outcome":"cancelled","delay_ms":1"#), false),
        ("POST", leases, leases.into(), settle(r#""outcome":"snooze","delay_ms":1e3"#), true),
        ("PUT", kind, kind_path.clone(), format!(r#"{{"about":"{}"}}"#, long(1_000)), true),
        ("PUT", kind, kind_path.clone(), format!(r#"{{"about":"{}"}}"#, long(1_001)), false),
        ("PUT", kind, kind_path, r#"{"about":" "}"#.into(), false),
        ("PUT", user.0, user.1.clone(), "{}".into(), false),
        ("PUT", user.0, user.1.clone(), r#"{"role":null,"disabled":null}"#.into(), false),
        ("PUT", user.0, user.1.clone(), r#"{"role":null,"disabled":false}"#.into(), true),
        ("PUT", user.0, user.1, r#"{"password":"1234567"}"#.into(), false),
    ] {
        let operation = &described.document["paths"][route][method.to_lowercase()];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let wrong = faults(&described.document, schema, &serde_json::from_str(&body).unwrap());
        assert_eq!(wrong.is_empty(), is_accepted, "{route}: {body}: {wrong:?}");
        let answer = described.call(method, route, &path, &body).await;
        assert_eq!(answer.status < 300, is_accepted, "{route}: {body}: {answer:?}");
    }
}

#[tokio::test]
async fn keys_in_the_header_are_accepted_and_refused_as_their_schema_says() {
    let described = Described::start().await;
    let jobs = "/api/v1/jobs";
    let parameters = described.document["paths"][jobs]["post"]["parameters"].as_array().unwrap();
    let header = parameters.iter().find(|parameter| parameter["in"] == "header").unwrap();
    let schema = &header["schema"];
    let of_length = |length: usize| "k".repeat(length);
    let (longest, too_long) = (of_length(200), of_length(201));
    let quoted = format!("\"{longest}\"");
    for (key, is_accepted) in [
        ("a", true),
        ("a b", true),
        ("a=b:c/d[e]", true),
        (r#""a b""#, true),
        (r#""a,b;c""#, true),
        (r#""a\"b\\""#, true),
        (longest.as_str(), true),
        (quoted.as_str(), true),
        (too_long.as_str(), false),
        (r#"a"b"#, false),
        (r#""a"#, false),
        (r#""a"b"#, false),
        (r#""a\b""#, false),
        (r#""""#, false),
        (r#"" a""#, false),
        ("a;b", false),
        ("a,b", false),
        (r"a\b", false),
    ] {
        let is_valid = faults(&described.document, schema, &json!(key)).is_empty();
        assert_eq!(is_valid, is_accepted, "{key} by {schema}");
        let headers = [("idempotency-key", key)];
        let answer = described.call_with("POST", jobs, jobs, &headers, r#"{"kind":"echo"}"#).await;
        assert_eq!(answer.status < 300, is_accepted, "{key}: {answer:?}");
    }
}
