//! Invalid input: every endpoint refuses it with the same code and words, and names every fault.

use serde_json::json;

use super::support::{Answer, Server, Setup, errors, store_with};
use crate::job::{JobId, Kind, Labels, NewJob, QueueName, Spec, Start};
use crate::store::{Store, StoreLimits};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Every endpoint with a JSON object as its body.
const BODIES: [(&str, &str); 10] = [
    ("POST", "/api/v1/jobs"),
    ("POST", "/api/v1/jobs/019ab001-7c3e-7d10-8a55-0242ac120002/move"),
    ("POST", "/api/v1/jobs/019ab001-7c3e-7d10-8a55-0242ac120002/reprioritise"),
    ("POST", "/api/v1/bulk"),
    ("POST", "/api/v1/bulk/preview"),
    ("POST", "/api/v1/queues/mail/concurrency"),
    ("POST", "/api/v1/queues/mail/rate_limit"),
    ("PUT", "/api/v1/schedules/nightly"),
    ("POST", "/api/v1/cron/preview"),
    ("POST", "/api/v1/jobs"),
];

#[track_caller]
fn refused(answer: &Answer, expected: &[&str]) {
    let problem = answer.is_problem(422, "invalid_fields");
    assert_eq!(errors(&problem), expected);
    // The detail is shortened, and begins with the first error.
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(expected[0].trim_start_matches(": ")), "{detail}");
}

/// Words of the parser, which no answer may have.
fn has_own_words(answer: &Answer) -> bool {
    let foreign = [
        "invalid type",
        "invalid value",
        "missing field",
        "unknown field",
        "duplicate field",
        "EOF",
        "trailing",
    ];
    !foreign.iter().any(|words| answer.body.contains(words))
}

#[tokio::test]
async fn every_body_is_one_object_with_known_members() {
    let server = Server::start().await;
    for (method, path) in BODIES {
        let send = async |body: &str| server.send(method, path, &JSON, body).await;
        let is_array_of_jobs = path == "/api/v1/jobs";
        for (body, found) in [
            ("7", "7"),
            ("null", "null"),
            ("true", "true"),
            ("\"x\"", "a string"),
            ("\"\"", "an empty string"),
            ("[1]", "an array"),
        ] {
            if body.starts_with('[') && is_array_of_jobs {
                continue;
            }
            refused(&send(body).await, &[&format!(": must be an object, but is {found}")]);
        }
        for body in ["", " ", "{", "[", "{\"a\":}", "{} x", "nonsense", "NaN", "{\"a\":NaN}"] {
            let answer = send(body).await;
            answer.is_problem(400, "malformed_json");
            assert!(has_own_words(&answer), "{path}: {answer:?}");
        }
        let answer = send("{}").await;
        let problem = answer.is_problem(422, "invalid_fields");
        assert!(
            errors(&problem).iter().any(|error| error.contains("is required")),
            "{path}: {problem}"
        );
        let answer = send(r#"{"colour":"red","colour":1,"":2}"#).await;
        let problem = answer.is_problem(422, "invalid_fields");
        let all = errors(&problem);
        assert!(
            all.iter().any(|one| one.starts_with("colour: is not known; expected one of ")),
            "{all:?}"
        );
        assert!(
            all.iter().any(|one| one.starts_with(": is not known; expected one of ")),
            "{all:?}"
        );
        assert!(has_own_words(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn every_member_of_the_wrong_type_is_named_with_its_element() {
    let server = Server::start().await;
    let wrong = r#"{"kind":7,"queue":[],"priority":"x","delay_ms":-1,"run_at":5,"max_attempts":0,
        "backoff":{"base_ms":"1","cap":2},"timeout_ms":1.5,"idempotency_key":{},"tags":["a",1,"b,c"]}"#;
    let of_a_job = [
        "kind: must be a string, but is 7",
        "queue: must be a string, but is an empty array",
        "priority: must be an integer from -32768 to 32767, but is a string",
        "max_attempts: must be an integer from 1 to 1000, but is 0",
        "backoff.base_ms: must be an integer from 10 to 604800000, but is a string",
        "backoff.cap: is not known; expected one of base_ms, cap_ms",
        "timeout_ms: must be an integer from 1 to 604800000, but is 1.5",
        "tags[1]: must be a string, but is 1",
        "delay_ms: must be an integer from 0 to 315532800000, but is -1",
        "run_at: must be a string, but is 5",
        "idempotency_key: must be a string, but is an empty object",
        "tags[2]: tag \"b,c\" is not valid: use 1 to 100 characters without commas, characters that cannot be seen, or spaces at the ends",
    ];
    refused(&server.post("/api/v1/jobs", wrong).await, &of_a_job);
    let batch = format!(r#"[{{"kind":"echo"}},{wrong},7,{{"kind":"echo","priority":1e400}}]"#);
    let answer = server.post("/api/v1/jobs", &batch).await;
    let in_batch: Vec<String> = of_a_job.iter().map(|error| format!("[1].{error}")).collect();
    let all = errors(&answer.is_problem(422, "invalid_fields"));
    assert_eq!(all[..in_batch.len()], in_batch);
    assert_eq!(
        all[in_batch.len()..],
        [
            "[2]: must be an object, but is 7",
            "[3].priority: must be an integer from -32768 to 32767, but is 1e400"
        ]
    );
    let schedule = r#"{"cron":5,"zone":[],"kind":7,"queue":[],"priority":"x","max_attempts":0,"overlap":"maybe",
        "max_late_ms":10,"delay_ms":1,"backoff":{}}"#;
    let answer = server.send("PUT", "/api/v1/schedules/s", &JSON, schedule).await;
    let all = errors(&answer.is_problem(422, "invalid_fields"));
    for same in &of_a_job[..4] {
        assert!(all.iter().any(|error| error == same), "{same}: {all:?}");
    }
    for more in [
        "backoff: must have base_ms or cap_ms, but is an empty object",
        "cron: must be a string, but is 5",
        "zone: must be a string, but is an empty array",
        "overlap: must be allow or skip, but is \"maybe\"",
        "max_late_ms: must be an integer from 1000 to 315532800000, but is 10",
    ] {
        assert!(all.iter().any(|error| error == more), "{more}: {all:?}");
    }
    assert!(all.iter().any(|error| error.starts_with("delay_ms: is not known")), "{all:?}");

    let id = server.job("").await["id"].as_str().unwrap().to_owned();
    let reprioritise = format!("/api/v1/jobs/{id}/reprioritise");
    let bulk = "/api/v1/bulk/preview";
    for (value, found) in [
        ("\"x\"", "a string"),
        ("40000", "40000"),
        ("1.5", "1.5"),
        ("{}", "an empty object"),
        ("[]", "an empty array"),
    ] {
        let words = format!("priority: must be an integer from -32768 to 32767, but is {found}");
        let job = format!(r#"{{"kind":"echo","priority":{value}}}"#);
        refused(&server.post("/api/v1/jobs", &job).await, &[&words]);
        let body = format!(r#"{{"priority":{value}}}"#);
        refused(&server.post(&reprioritise, &body).await, &[&words]);
        let body = format!(r#"{{"action":"reprioritise","ids":["{id}"],"priority":{value}}}"#);
        let answer = server.post(bulk, &body).await;
        assert_eq!(errors(&answer.is_problem(422, "invalid_fields"))[0], words);
    }
}

#[tokio::test]
async fn a_limit_is_a_number_or_null_and_never_missing() {
    let server = Server::start().await;
    let post = async |name: &str, body: &str| {
        server.post(&format!("/api/v1/queues/mail/{name}"), body).await
    };
    for (value, found) in [
        ("0", "0; pause a queue to stop it"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("1000001", "1000001"),
        ("18446744073709551616", "18446744073709551616"),
        ("1e-2", "1e-2"),
        ("\"3\"", "a string"),
        ("\"\"", "an empty string"),
        ("{}", "an empty object"),
        ("{\"limit\":3}", "an object"),
        ("[]", "an empty array"),
        ("true", "true"),
    ] {
        let words = format!("concurrency: must be an integer from 1 to 1000000, but is {found}");
        let answer = post("concurrency", &format!(r#"{{"concurrency":{value}}}"#)).await;
        refused(&answer, &[&words]);
    }
    for value in ["0/1m", "-1/1m", "1/0s", "0/0s", "1.5/1m", "NaN/1m", "100", "", " "] {
        let body = json!({ "rate_limit": value }).to_string();
        let all = errors(&post("rate_limit", &body).await.is_problem(422, "invalid_fields"));
        assert!(all.len() == 1 && all[0].contains("is not a rate limit"), "{value}: {all:?}");
    }
    for (value, found) in [
        ("5", "5"),
        ("{}", "an empty object"),
        ("[]", "an empty array"),
        ("{\"starts\":1}", "an object"),
    ] {
        let answer = post("rate_limit", &format!(r#"{{"rate_limit":{value}}}"#)).await;
        refused(&answer, &[&format!("rate_limit: must be a string, but is {found}")]);
    }
    for name in ["concurrency", "rate_limit"] {
        refused(&post(name, "{}").await, &[&format!("{name}: is required")]);
        let twice = format!(r#"{{"{name}":null,"{name}":null}}"#);
        refused(&post(name, &twice).await, &[&format!("{name}: occurs more than once")]);
        let null = format!(r#"{{"{name}":null}}"#);
        assert_eq!(post(name, &null).await.status, 204, "null restores the configured limit");
    }
    assert_eq!(server.get("/api/v1/queues").await.json()["queues"], json!([]));
}

#[tokio::test]
async fn an_empty_filter_value_is_refused_and_only_an_empty_object_selects_every_job() {
    let server = Server::start().await;
    server.job("").await;
    let empty = "must not be empty: give it a value, or leave it out";
    let list = |found: &str| format!("must be a string or an array of strings, but is {found}");
    let mut cases = Vec::new();
    for name in ["state", "queue", "kind", "tag", "q", "since", "until"] {
        for value in ["\"\"", "\" \"", "\"\\t\""] {
            cases.push((format!(r#"{{"{name}":{value}}}"#), format!("filter.{name}: {empty}")));
        }
        let valid = if name == "state" { "running" } else { "1h" };
        for (at, value) in [(0, "[\"\"]".to_owned()), (1, format!("[\"{valid}\",\" \"]"))] {
            cases.push((
                format!(r#"{{"{name}":{value}}}"#),
                format!("filter.{name}[{at}]: {empty}"),
            ));
        }
        cases.push((
            format!(r#"{{"{name}":[]}}"#),
            format!("filter.{name}: must have a value, but is an empty array"),
        ));
        for (value, found) in
            [("null", "null"), ("{}", "an empty object"), ("7", "7"), ("true", "true")]
        {
            cases.push((
                format!(r#"{{"{name}":{value}}}"#),
                format!("filter.{name}: {}", list(found)),
            ));
        }
        cases.push((
            format!(r#"{{"{name}":[null]}}"#),
            format!("filter.{name}[0]: must be a string, but is null"),
        ));
    }
    for (filter, found) in
        [("null", "null"), ("[]", "an empty array"), ("\"\"", "an empty string"), ("7", "7")]
    {
        cases.push((filter.into(), format!("filter: must be an object, but is {found}")));
    }
    cases.push((
        r#"{"state":"running","state":"running"}"#.into(),
        "filter.state: occurs more than once".into(),
    ));
    let known = "is not known; expected one of q, state, queue, kind, tag, since, until, ended_since, ended_until";
    cases.push((r#"{"stat":"running"}"#.into(), format!("filter.stat: {known}")));
    cases.push((r#"{"after":"x"}"#.into(), format!("filter.after: {known}")));
    for path in ["/api/v1/bulk/preview", "/api/v1/bulk"] {
        for (filter, words) in &cases {
            let body = format!(r#"{{"action":"delete","filter":{filter}}}"#);
            refused(&server.post(path, &body).await, &[words]);
        }
        for list in ["\",\"", "\" , \""] {
            let body = format!(r#"{{"action":"delete","filter":{{"queue":{list}}}}}"#);
            server.post(path, &body).await.is_problem(422, "invalid_fields");
        }
        for (more, words) in [
            ("", "filter: is required, unless there are ids"),
            (r#","ids":[]"#, "ids: must have at least one id, but is an empty array"),
            (r#","ids":{}"#, "ids: must be an array of strings, but is an empty object"),
            (r#","ids":"x""#, "ids: must be an array of strings, but is a string"),
            (r#","ids":["x"]"#, "ids[0]: job id \"x\" is not valid: expected a UUID"),
            (r#","ids":[7]"#, "ids[0]: must be a string, but is 7"),
            (r#","ids":[],"filter":{}"#, "filter: either ids or filter is required, and not both"),
        ] {
            refused(&server.post(path, &format!(r#"{{"action":"delete"{more}}}"#)).await, &[words]);
        }
    }
    assert_eq!(server.get("/api/v1/bulk").await.json(), json!({"runs":[]}), "nothing was begun");
    let everything = r#"{"action":"delete","filter":{}}"#;
    assert_eq!(server.post("/api/v1/bulk/preview", everything).await.json()["count"], 1);
    let some =
        r#"{"action":"delete","filter":{"state":["scheduled","running"],"queue":"default,x"}}"#;
    assert_eq!(server.post("/api/v1/bulk/preview", some).await.json()["count"], 1);
}

#[tokio::test]
async fn a_subscription_is_checked_like_a_query() {
    let server = Server::start().await;
    let mut socket = server.socket("").await;
    socket.next_of("hello").await;
    let empty = "must not be empty: give it a value, or leave it out";
    for (message, code, words) in [
        (r#"{"type":"subscribe","id":"x","filter":{"queue":""}}"#, "invalid_parameter", empty),
        (r#"{"type":"subscribe","id":"x","filter":{"queue":" "}}"#, "invalid_parameter", empty),
        (
            r#"{"type":"subscribe","id":"x","filter":{"queue":[]}}"#,
            "invalid_parameter",
            "must have a value",
        ),
        (
            r#"{"type":"subscribe","id":"x","filter":{"queue":null}}"#,
            "invalid_parameter",
            "but is null",
        ),
        (
            r#"{"type":"subscribe","id":"x","filter":{"queue":{}}}"#,
            "invalid_parameter",
            "but is an empty object",
        ),
        (r#"{"type":"subscribe","id":"x","filter":{"queue":"a b"}}"#, "invalid_parameter", "a-z"),
        (
            r#"{"type":"subscribe","id":"x","filter":{"queues":"a"}}"#,
            "invalid_parameter",
            "expected one of queue, kind",
        ),
        (
            r#"{"type":"subscribe","id":"x","filter":null}"#,
            "malformed_message",
            "filter: must be an object, but is null",
        ),
        (
            r#"{"type":"subscribe","id":"x","filter":[]}"#,
            "malformed_message",
            "filter: must be an object",
        ),
        (r#"{"type":"subscribe","id":7}"#, "malformed_message", "id: must be a string, but is 7"),
        (
            r#"{"type":"subscribe","id":"x","stats":"yes"}"#,
            "malformed_message",
            "stats: must be true or false",
        ),
        (
            r#"{"type":"subscribe","id":"x","id":"y"}"#,
            "malformed_message",
            "id: occurs more than once",
        ),
        (
            r#"{"type":"subscribe","more":1}"#,
            "malformed_message",
            "id: is required; more: is not known",
        ),
        (
            r#"{"type":"dance"}"#,
            "malformed_message",
            "type: is not known; expected one of ping, subscribe, unsubscribe",
        ),
        (
            r#"{"type":"subscribe","id":"x","filter":{"queue":"a","queue":"b"}}"#,
            "invalid_parameter",
            "filter.queue: occurs more than once",
        ),
        (
            r#"{"type":"subscribe","id":"x","filter":{},"filter":{}}"#,
            "malformed_message",
            "filter: occurs more than once",
        ),
        (r#"{"type":"ping","type":"ping"}"#, "malformed_message", "type: occurs more than once"),
        (
            r#"{"type":"unsubscribe","id":"x","id":"x"}"#,
            "malformed_message",
            "id: occurs more than once",
        ),
        ("{", "malformed_message", "the message ends before its JSON is complete"),
        ("7", "malformed_message", "must be an object, but is 7"),
    ] {
        socket.say(message).await;
        let error = socket.next_of("error").await;
        assert_eq!(error["code"], code, "{message}: {error}");
        assert!(error["message"].as_str().unwrap().contains(words), "{message}: {error}");
    }
    for query in [
        "queue=",
        "queue=+",
        "queue=,",
        "after=&after=",
        "bogus=1",
        "queue=a&bogus=1",
        "stats&stats",
        "type=",
    ] {
        for path in ["/api/v1/events", "/api/v1/ws"] {
            server.get(&format!("{path}?{query}")).await.is_problem(400, "invalid_parameter");
        }
        let accept = [("accept", "text/event-stream")];
        let answer = server.send("GET", &format!("/api/v1/events?{query}"), &accept, "").await;
        answer.is_problem(400, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_queue_that_an_older_version_named_like_a_path_can_be_managed_and_no_new_one_is_created()
{
    let store = store_with(StoreLimits::default());
    let labels = |queue: &str| Labels {
        queue: QueueName::stored(queue).unwrap(),
        kind: Kind::parse("echo").unwrap(),
        tags: Box::default(),
    };
    let old = |queue: &str| NewJob {
        id: JobId::generate(),
        labels: labels(queue).into(),
        spec: Spec {
            payload: crate::job::Json::null(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: None,
        }
        .into(),
        start: Start::After(std::time::Duration::from_secs(3_600)),
        by: None,
        omitted: Default::default(),
    };
    store.enqueue(vec![old(".."), old(".hidden")]).await.unwrap();
    let server = Server::with(Setup { store, ..Setup::default() }).await;
    let paused = async |name: &str| {
        let queues = server.get("/api/v1/queues").await.json();
        let queues = queues["queues"].as_array().unwrap().clone();
        queues.iter().find(|queue| queue["name"] == name).map(|queue| queue["paused"] == true)
    };
    for (path, name) in [("~..", ".."), (".hidden", ".hidden")] {
        assert_eq!(server.post(&format!("/api/v1/queues/{path}/pause"), "").await.status, 204);
        assert_eq!(paused(name).await, Some(true), "{name}");
        let limit = server
            .post(&format!("/api/v1/queues/{path}/concurrency"), r#"{"concurrency":1}"#)
            .await;
        assert_eq!(limit.status, 204, "{limit:?}");
        let found = server.get(&format!("/api/v1/jobs?queue={name}")).await.json();
        assert_eq!(found["jobs"].as_array().unwrap().len(), 1, "{name}");
        let moved = format!(r#"{{"action":"move","queue":"mail","filter":{{"queue":"{name}"}}}}"#);
        assert_eq!(server.post("/api/v1/bulk/preview", &moved).await.json()["count"], 1, "{name}");
    }
    for path in ["~.", ".other", "other."] {
        server
            .post(&format!("/api/v1/queues/{path}/pause"), "")
            .await
            .is_problem(400, "invalid_parameter");
    }
    for name in ["..", ".", ".hidden", "a/b", "%2e%2e", "a b", "", "q\u{202e}", &"q".repeat(65)] {
        let words =
            "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end";
        let job = json!({ "kind": "echo", "queue": name });
        let bad_kind = json!({ "kind": name });
        let schedule = json!({ "cron": "@daily", "kind": "echo", "queue": name });
        let id = JobId::generate();
        for (method, path, body) in [
            ("POST", "/api/v1/jobs".to_owned(), job.clone()),
            ("POST", "/api/v1/jobs".to_owned(), json!([job])),
            ("POST", "/api/v1/jobs".to_owned(), bad_kind),
            ("PUT", "/api/v1/schedules/s".to_owned(), schedule),
            ("POST", format!("/api/v1/jobs/{id}/move"), json!({ "queue": name })),
            (
                "POST",
                "/api/v1/bulk".to_owned(),
                json!({ "action": "move", "queue": name, "filter": {} }),
            ),
        ] {
            let answer = server.send(method, &path, &JSON, &body.to_string()).await;
            let problem = answer.is_problem(422, "invalid_fields");
            assert!(errors(&problem)[0].ends_with(words), "{path} {body}: {problem}");
        }
    }
    for name in ["%2e%2e%2e", ".nightly", "nightly.", "a%20b", "a%2fb"] {
        let path = format!("/api/v1/schedules/{name}");
        let body = r#"{"cron":"@daily","kind":"echo"}"#;
        server.send("PUT", &path, &JSON, body).await.is_problem(400, "invalid_parameter");
    }
}
