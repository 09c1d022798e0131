//! One table of invalid input for every interface that accepts jobs: the API with one job and with an array, schedules
//! over the API and as a form, the form for a job, the command line, and Rust programs. All of them refuse it in the same
//! words, and the API always with the same code.

use cortado::internal::engine::{BackoffFields, Kinds, Submission};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Command, Dir, Server, within};

/// One invalid field.
struct InvalidInput {
    /// The field of the API, and its JSON.
    field: &'static str,
    json: &'static str,
    /// The field of the form and its text.
    form: (&'static str, &'static str),
    /// The flag of `cortado submit` and its value, if there is one.
    flag: Option<(&'static str, &'static str)>,
    /// What a Rust program sets.
    set: fn(&mut Submission),
    /// Whether schedules have the field, too.
    of_schedules: bool,
    /// The words of the error.
    words: &'static str,
}

const NAME: &str = "use 1 to 64 of the characters a-z A-Z 0-9 _ . : -, without a dot at either end";

#[rustfmt::skip]
fn table() -> Vec<InvalidInput> {
    let row = |field, json, form, flag, set, of_schedules, words| {
        InvalidInput { field, json, form, flag, set, of_schedules, words }
    };
    vec![
        row("priority", "32768", ("priority", "32768"), Some(("--priority", "32768")),
            |job| job.priority = Some(32_768), true, "must be an integer from -32768 to 32767, but is 32768"),
        row("priority", "-32769", ("priority", "-32769"), Some(("--priority", "-32769")),
            |job| job.priority = Some(-32_769), true, "must be an integer from -32768 to 32767, but is -32769"),
        row("max_attempts", "0", ("max_attempts", "0"), Some(("--max-attempts", "0")),
            |job| job.max_attempts = Some(0), true, "must be an integer from 1 to 1000, but is 0"),
        row("max_attempts", "1001", ("max_attempts", "1001"), Some(("--max-attempts", "1001")),
            |job| job.max_attempts = Some(1_001), true, "must be an integer from 1 to 1000, but is 1001"),
        row("timeout_ms", "0", ("timeout", "0s"), Some(("--timeout", "0s")),
            |job| job.timeout_ms = Some(0), true, "must be an integer from 1 to 604800000, but is 0"),
        row("timeout_ms", "604800001", ("timeout", "604800001ms"), Some(("--timeout", "604800001ms")),
            |job| job.timeout_ms = Some(604_800_001), true, "must be an integer from 1 to 604800000, but is 604800001"),
        row("delay_ms", "315532800001", ("delay", "315532800001ms"), Some(("--delay", "315532800001ms")),
            |job| job.delay_ms = Some(315_532_800_001), false, "must be an integer from 0 to 315532800000, but is 315532800001"),
        row("backoff.base_ms", r#"{"base_ms":604800001}"#, ("backoff_base", "604800001ms"), None,
            |job| job.backoff = Some(BackoffFields { base_ms: Some(604_800_001), cap_ms: None }),
            true, "must be an integer from 10 to 604800000, but is 604800001"),
        row("queue", "\"..\"", ("queue", ".."), Some(("--queue", "..")),
            |job| job.queue = Some("..".into()), true, NAME),
        row("queue", "\".mail\"", ("queue", ".mail"), Some(("--queue", ".mail")),
            |job| job.queue = Some(".mail".into()), true, NAME),
        row("queue", "\"a/b\"", ("queue", "a/b"), Some(("--queue", "a/b")),
            |job| job.queue = Some("a/b".into()), true, NAME),
        row("queue", "\"%2e%2e\"", ("queue", "%2e%2e"), Some(("--queue", "%2e%2e")),
            |job| job.queue = Some("%2e%2e".into()), true, NAME),
        row("queue", "\"m\u{430}il\"", ("queue", "m\u{430}il"), Some(("--queue", "m\u{430}il")),
            |job| job.queue = Some("m\u{430}il".into()), true, NAME),
        row("kind", "\"..\"", ("kind", ".."), None, |job| job.kind = "..".into(), true, NAME),
        row("tags[0]", "[\"a\u{202e}b\"]", ("tags", "a\u{202e}b"), Some(("--tag", "a\u{202e}b")),
            |job| job.tags = Some(vec!["a\u{202e}b".into()]), true, "without commas, characters that cannot be seen"),
        row("idempotency_key", "\"a\u{200b}b\"", ("idempotency_key", "a\u{200b}b"), Some(("--key", "a\u{200b}b")),
            |job| job.idempotency_key = Some("a\u{200b}b".into()), false, "without characters that cannot be seen"),
    ]
}

impl InvalidInput {
    /// The members of a JSON object: the fields, with a valid kind unless the kind is invalid.
    fn members(&self) -> String {
        let name = self.field.split(['.', '[']).next().unwrap();
        let kind = if name == "kind" { "" } else { r#""kind":"echo","# };
        format!(r#"{kind}"{name}":{}"#, self.json)
    }

    /// The words as a page shows them: a sentence, with escaped quotes.
    fn on_page(&self) -> String {
        let rest: String = self.words.chars().skip(1).collect();
        rest.replace('"', "&#34;")
    }
}

async fn send(server: &Server, method: Method, path: &str, body: String) -> (StatusCode, Value) {
    let url = format!("{}{path}", server.client.base());
    let request = cortado::internal::cli::http_client().unwrap().request(method, url);
    let request = request.header("content-type", "application/json").body(body);
    let answer = within(path, request.send()).await.unwrap();
    let status = answer.status();
    (status, serde_json::from_str(&within(path, answer.text()).await.unwrap()).unwrap())
}

async fn form(server: &Server, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
    let url = format!("{}{path}", server.client.base());
    let request = cortado::internal::cli::http_client().unwrap().post(url);
    let encoded =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(encoded);
    let answer = within(path, request.send()).await.unwrap();
    (answer.status(), within(path, answer.text()).await.unwrap())
}

#[track_caller]
fn names((status, problem): (StatusCode, Value), field: &str, words: &str, what: &str) {
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (422, &json!("invalid_fields")),
        "{what}: {problem}"
    );
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!((errors.len(), &errors[0]["field"]), (1, &json!(field)), "{what}: {problem}");
    assert!(errors[0]["message"].as_str().unwrap().contains(words), "{what}: {problem}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_interface_refuses_the_same_input_in_the_same_words() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    for row in table() {
        let (field, words, members) = (row.field, row.words, row.members());
        let what = format!("{field} {}", row.json);
        let job = format!("{{{members}}}");
        let one = send(&server, Method::POST, "/api/v1/jobs", job.clone()).await;
        names(one, field, words, &what);
        let batch = format!("[{{\"kind\":\"echo\"}},{job}]");
        let many = send(&server, Method::POST, "/api/v1/jobs", batch).await;
        names(many, &format!("[1].{field}"), words, &what);

        let mut submission = Submission { kind: "echo".into(), ..Submission::default() };
        (row.set)(&mut submission);
        let wrong = submission.into_new_job(&Kinds::default()).unwrap_err();
        assert_eq!((wrong.len(), &*wrong[0].field), (1, field), "{what}: {wrong:?}");
        assert!(wrong[0].message.contains(words), "{what}: {wrong:?}");

        let kind = if field == "kind" { ".." } else { "echo" };
        let mut typed = vec![("kind", kind), ("view", "json"), ("payload", "1"), row.form];
        if field == "kind" {
            typed.remove(0);
        }
        let (status, page) = form(&server, "/jobs", &typed).await;
        assert_eq!(status, 422, "{what}: {page}");
        assert!(page.contains(&row.on_page()), "{what}: {page}");

        if row.of_schedules {
            let body = format!("{{\"cron\":\"@daily\",{members}}}");
            let schedule = send(&server, Method::PUT, "/api/v1/schedules/s", body).await;
            names(schedule, field, words, &what);
            typed.extend([("name", "s"), ("cron", "@daily")]);
            let (status, page) = form(&server, "/schedules", &typed).await;
            assert_eq!(status, 422, "{what}: {page}");
            assert!(page.contains(&row.on_page()), "{what}: {page}");
        }
        if let Some((flag, value)) = row.flag {
            let (at, flag) = (server.client.base().to_owned(), format!("{flag}={value}"));
            let mut command = Command::run(&["submit", "--server", &at, "echo", "1", &flag]);
            assert_eq!(command.exit().await.code(), Some(2), "{what}");
            let said = command.err.so_far().join("\n");
            assert!(said.contains(words), "{what}: {said}");
        }
    }
    assert_eq!(server.client.rows().await.len(), 0, "nothing was accepted");
    server.stop().await;
}

/// Payloads that match no schema, or with which no attempt could succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_can_never_succeed_is_refused_when_it_is_submitted() {
    let dir = Dir::new();
    let config = dir.config("[commands.say]\nprogram = \"echo\"\nargs = [\"{text}\", \"{n}\"]\n");
    let server = Server::start(&dir, &["--config", &config]).await;
    let http = |more: &str| format!(r#"{{"url":"http://a.example/"{more}}}"#);
    let many: String = (0..101).map(|n| format!(r#","x-{n}":"1""#)).collect();
    let many = format!(r#","headers":{{"x":"1"{many}}}"#);
    for (kind, payload, field, words) in [
        ("http", http(r#","timeout_ms":0"#), "timeout_ms", "1"),
        ("http", http(r#","timeout_ms":604800001"#), "timeout_ms", "604800000"),
        ("http", http(r#","timeout_ms":-1"#), "timeout_ms", "expected"),
        ("http", r#"{"url":"ftp://a.example/"}"#.into(), "url", "only http and https are allowed"),
        (
            "http",
            r#"{"url":"file:///etc/passwd"}"#.into(),
            "url",
            "only http and https are allowed",
        ),
        ("http", r#"{"url":"http://a.example:0/"}"#.into(), "url", "port 0 cannot be connected to"),
        ("http", r#"{"url":"http://a.example:99999/"}"#.into(), "url", ""),
        ("http", r#"{"url":"http://"}"#.into(), "url", ""),
        ("http", r#"{"url":"http://:80/"}"#.into(), "url", ""),
        ("http", r#"{"url":"a.example"}"#.into(), "url", ""),
        ("http", r#"{"url":""}"#.into(), "url", ""),
        ("http", r#"{"url":"http://me:secret@a.example/"}"#.into(), "url", "credentials"),
        ("http", http(r#","method":"CONNECT""#), "method", "opens a tunnel"),
        ("http", http(r#","method":"GET /""#), "method", ""),
        ("http", http(r#","method":"""#), "method", ""),
        ("http", http(r#","headers":{"a b":"1"}"#), "headers.a b", "is not a header name"),
        ("http", http(r#","headers":{"":"1"}"#), "headers.", "is not a header name"),
        ("http", http(r#","headers":{"x":"a\nb"}"#), "headers.x", "not allowed in headers"),
        ("http", http(r#","headers":{"Host":"x"}"#), "headers.Host", "is set by the server itself"),
        ("http", http(r#","headers":{"x":5}"#), "headers.x", "must be a string, but is 5"),
        ("http", http(&many), "headers", "at most 100 are accepted"),
        ("sleep", r#"{"ms":604800001}"#.into(), "ms", "604800000"),
        ("command", r#"{"name":"rm"}"#.into(), "name", "expected one of"),
        ("command", r#"{"name":"say"}"#.into(), "args", "missing"),
        (
            "command",
            r#"{"name":"say","args":{"text":"x","n":1,"more":1}}"#.into(),
            "args",
            "is not a placeholder",
        ),
        (
            "command",
            r#"{"name":"say","args":{"text":"-x","n":1}}"#.into(),
            "args",
            "must not begin with",
        ),
        (
            "command",
            r#"{"name":"say","args":{"text":null,"n":1}}"#.into(),
            "args",
            "must be a string",
        ),
    ] {
        let what = format!("{kind} {payload:.100}");
        let job = format!(r#"{{"kind":"{kind}","payload":{payload}}}"#);
        let schedule = format!(r#"{{"cron":"@daily","kind":"{kind}","payload":{payload}}}"#);
        for (method, path, body, prefix) in [
            (Method::POST, "/api/v1/jobs", job.clone(), "payload."),
            (Method::POST, "/api/v1/jobs", format!("[{job}]"), "[0].payload."),
            (Method::PUT, "/api/v1/schedules/s", schedule, "payload."),
        ] {
            let (status, problem) = send(&server, method, path, body).await;
            assert_eq!(
                (status.as_u16(), &problem["code"]),
                (422, &json!("invalid_payload")),
                "{what}: {problem}"
            );
            let error = &problem["errors"][0];
            assert_eq!(error["field"], format!("{prefix}{field}"), "{what}: {problem}");
            assert!(error["message"].as_str().unwrap().contains(words), "{what}: {problem}");
        }
        let typed = [("kind", kind), ("view", "json"), ("payload", &*payload)];
        let (status, page) = form(&server, "/jobs", &typed).await;
        assert_eq!(status, 422, "{what}: {page}");
        assert!(page.contains(words), "{what}: {page}");
        let typed = [
            ("name", "s"),
            ("cron", "@daily"),
            ("kind", kind),
            ("view", "json"),
            ("payload", &*payload),
        ];
        assert_eq!(form(&server, "/schedules", &typed).await.0, 422, "{what}");
        let mut command =
            Command::run(&["submit", "--server", server.client.base(), kind, &payload]);
        assert_eq!(command.exit().await.code(), Some(2), "{what}");
    }
    let typed = [
        ("kind", "http"),
        ("view", "fields"),
        ("shown", "http"),
        ("payload.url", "ftp://a.example/"),
    ];
    let (status, page) = form(&server, "/jobs", &typed).await;
    assert!(status == 422 && page.contains("only http and https are allowed"), "{page}");
    assert_eq!(server.client.rows().await.len(), 0, "nothing was accepted");
    server.stop().await;

    let declared = "[schedules.s]\ncron = \"@daily\"\nkind = \"http\"\npayload = { url = \"ftp://a.example/\" }\n";
    let config = dir.config(declared);
    let data = dir.data();
    let mut serve = Command::run(&[
        "--config",
        &config,
        "--data-dir",
        data.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ]);
    assert!(!serve.exit().await.success());
    assert!(
        serve.err.so_far().join("\n").contains("only http and https are allowed"),
        "{:?}",
        serve.err.so_far()
    );
}

/// The limits of queues, in the configuration, as flags and as variables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_refuses_limits_and_names_in_the_same_words() {
    let dir = Dir::new();
    let range = "must be an integer from 1 to 1000000, but is ";
    let words = |found: &str| format!("{range}{found}");
    let data = dir.data();
    let data = data.to_str().unwrap();
    for (value, found) in [
        ("0", "0; pause a queue to stop it"),
        ("-1", "-1"),
        ("1000001", "1000001"),
        ("1.5", "1.5"),
        ("\"3\"", "a string"),
        ("true", "true"),
        ("[]", "an array"),
        ("nan", "NaN"),
    ] {
        for config in [
            format!("[engine]\nconcurrency = {value}\n"),
            format!("[queues.mail]\nconcurrency = {value}\n"),
        ] {
            let config = dir.config(&config);
            let mut serve =
                Command::run(&["--config", &config, "--data-dir", data, "--listen", "127.0.0.1:0"]);
            assert!(!serve.exit().await.success(), "{value}");
            let said = serve.err.so_far().join("\n");
            assert!(said.contains(&words(found)), "{value}: {said}");
        }
    }
    for value in ["0", "-1", "1000001", "1.5", "x"] {
        let flag = format!("--concurrency={value}");
        let mut serve = Command::run(&["--data-dir", data, &flag]);
        assert_eq!(serve.exit().await.code(), Some(2), "{value}");
        assert!(serve.err.so_far().join("\n").contains(range), "{value}: {:?}", serve.err.so_far());
        let program = env!("CARGO_BIN_EXE_cortado");
        let variable = format!("CORTADO_CONCURRENCY={value}");
        let mut serve = Command::of("env", &[&variable, program, "--data-dir", data]);
        assert_eq!(serve.exit().await.code(), Some(2), "{value}");
        assert!(serve.err.so_far().join("\n").contains(range), "{value}: {:?}", serve.err.so_far());
    }
    for (config, words) in [
        ("[queues.\"..\"]\nweight = 2\n", NAME),
        ("[queues.\"a/b\"]\nweight = 2\n", NAME),
        ("[commands.\"..\"]\nprogram = \"echo\"\n", NAME),
        ("[schedules.\"..\"]\ncron = \"@daily\"\nkind = \"echo\"\n", NAME),
        ("[engine]\nworker = \"a\u{202e}b\"\n", "characters that cannot be seen"),
        ("[queues.mail]\nrate_limit = \"0/0s\"\n", "is not a rate limit"),
    ] {
        let config = dir.config(config);
        let mut serve =
            Command::run(&["--config", &config, "--data-dir", data, "--listen", "127.0.0.1:0"]);
        assert!(!serve.exit().await.success(), "{words}");
        let said = serve.err.so_far().join("\n");
        assert!(said.contains(words), "{words}: {said}");
    }
}
