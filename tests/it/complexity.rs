//! JSON that is small to send but expensive to process: every interface rejects it with the same short error, and jobs
//! that older versions stored can still be used.

use std::sync::Arc;
use std::time::Duration;

use cortado::internal::clock::SystemClock;
use cortado::internal::job::{
    JobId, Json, Kind, Labels, NewJob, Origin, QueueName, ScheduleName, Spec, Start, Time, Verdict,
    WorkerName,
};
use cortado::internal::store::data_dir;
use cortado::internal::store::{
    Claim, ScheduleCommand, Settlement, Store, StoreLimits, WorkerPlace,
};
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

use crate::support::{Command, Dir, Server, eventually, within};

const DEEP: &str = "json_too_deep";
const MANY: &str = "json_too_many_values";

/// The text on pages for each of the two codes.
fn words(code: &str) -> &'static str {
    if code == DEEP { "more than 128 levels deep" } else { "more than 20000 JSON values" }
}

fn nested(open: &str, inner: &str, close: &str, count: usize) -> String {
    format!("{}{inner}{}", open.repeat(count), close.repeat(count))
}

fn keys(count: usize) -> String {
    let key = |n: usize| format!("\"k{n}\":{n}");
    format!("{{{}}}", (0..count).map(key).collect::<Vec<_>>().join(","))
}

/// Payloads that no interface accepts, with the code of the error.
fn hostile() -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("one level too many", nested("[", "", "]", 129), DEEP),
        ("deep arrays", nested("[", "1", "]", 20_000), DEEP),
        ("deep objects", nested("{\"a\":", "1", "}", 8_000), DEEP),
        ("deep and mixed", nested("[{\"a\": [", "1", "]}]", 3_000), DEEP),
        (
            "deep in a property",
            format!("{{\"url\":\"http://a.b/\",\"body\":{}}}", nested("[", "", "]", 3_000)),
            DEEP,
        ),
        ("never closed", "[".repeat(200_000), DEEP),
        ("one value too many", format!("[{}0]", "0,".repeat(19_999)), MANY),
        ("a wide object", keys(40_000), MANY),
        ("one key again and again", format!("{{{}\"a\":0}}", "\"a\":0,".repeat(30_000)), MANY),
        ("a wide array of arrays", format!("[{}[]]", "[],".repeat(60_000)), MANY),
    ]
}

/// Sends a request and returns the status and the body.
async fn answer(request: RequestBuilder) -> (u16, String) {
    within("an answer", async {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    })
    .await
}

/// A form submission as a browser sends it.
fn form<N: AsRef<str>, V: AsRef<str>>(
    http: &Client,
    url: String,
    fields: &[(N, V)],
) -> RequestBuilder {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    let request = http.post(url).header("content-type", "application/x-www-form-urlencoded");
    request.body(body.finish())
}

fn assert_problem((status, text): &(u16, String), code: &str, what: &str) {
    let problem: Value =
        serde_json::from_str(text).unwrap_or_else(|_| panic!("{what}: {text:.300}"));
    assert_eq!((*status, problem["code"].as_str()), (422, Some(code)), "{what}: {text:.300}");
    assert!(problem["detail"].as_str().unwrap().contains("at most"), "{what}: {text}");
    assert!(text.len() < 2_000, "{what}: an answer of {} bytes", text.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_interface_refuses_json_that_is_too_complex_in_the_same_words() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let http = cortado::internal::cli::http_client().unwrap();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let json = |request: RequestBuilder, body: String| {
        answer(request.header("content-type", "application/json").body(body))
    };
    let form = |path: &str, fields: &[(&str, &str)]| answer(form(&http, url(path), fields));
    for (name, payload, code) in hostile() {
        let job = format!("{{\"kind\":\"echo\",\"payload\":{payload}}}");
        let batch = format!("[{{\"kind\":\"echo\"}},{job}]");
        let schedule = format!("{{\"cron\":\"@daily\",\"kind\":\"echo\",\"payload\":{payload}}}");
        let any = format!("{{\"payload\":{payload}}}");
        let alone = json(http.post(url("/api/v1/jobs")), job.clone()).await;
        assert_problem(&alone, code, name);
        let among = json(http.post(url("/api/v1/jobs")), batch).await;
        assert_problem(&among, code, name);
        assert!(among.1.contains("\"[1].payload\""), "{name}: {}", among.1);
        let scheduled = json(http.put(url("/api/v1/schedules/s")), schedule).await;
        assert_problem(&scheduled, code, name);
        let id = JobId::generate();
        // The limits allow for the JSON around a payload, even at endpoints that have no payload.
        let beyond = !name.starts_with("one ");
        for path in [
            "/api/v1/bulk".to_owned(),
            "/api/v1/bulk/preview".to_owned(),
            "/api/v1/cron/preview".to_owned(),
            "/api/v1/queues/q/concurrency".to_owned(),
            "/api/v1/queues/q/rate_limit".to_owned(),
            format!("/api/v1/jobs/{id}/move"),
            format!("/api/v1/jobs/{id}/reprioritise"),
        ]
        .into_iter()
        .filter(|_| beyond)
        {
            let refused = json(http.post(url(&path)), any.clone()).await;
            assert_problem(&refused, code, &format!("{name} to {path}"));
        }
        for kind in ["echo", "http"] {
            let fields = [("kind", kind), ("view", "json"), ("shown", kind), ("payload", &payload)];
            let room = 2 * payload.len() * "&#34;".len() + 40_000;
            for (path, status) in [("/jobs", 422), ("/jobs/new", 200)] {
                let page = form(path, &fields).await;
                assert_eq!(page.0, status, "{name} to {path}");
                assert!(page.1.contains(words(code)), "{name} to {path}: {:.3000}", page.1);
                assert!(page.1.len() < room, "{name} to {path}: {} bytes", page.1.len());
            }
            if payload.len() < 20_000 {
                let asked = http.get(url("/jobs/new"));
                let page = answer(asked.query(&[("kind", kind), ("payload", &payload)])).await;
                assert!(page.0 == 200 && page.1.contains(words(code)), "{name}: {:.3000}", page.1);
                assert!(page.1.len() < room, "{name}: {} bytes", page.1.len());
            }
        }
        let by_input = [
            ("kind", "http"),
            ("view", "fields"),
            ("shown", "http"),
            ("payload.url", "http://a.b/"),
            ("payload.body", &payload),
        ];
        let page = form("/jobs", &by_input).await;
        assert_eq!(page.0, 422, "{name} in an input");
        if serde_json::from_str::<serde::de::IgnoredAny>(&payload).is_ok() {
            assert!(page.1.contains(words(code)), "{name} in an input: {:.9000}", page.1);
        }
        let planned = [("name", "s"), ("cron", "@daily"), ("kind", "echo"), ("payload", &payload)];
        let page = form("/schedules", &planned).await;
        assert!(page.0 == 422 && page.1.contains(words(code)), "{name}: {:.3000}", page.1);
        if payload.len() < 100_000 {
            let at = url("");
            let args = ["submit", "--server", &at, "echo", &payload];
            let mut command = Command::run(&args);
            assert_eq!(command.exit().await.code(), Some(2), "{name}");
            let said = command.err.so_far().join("\n");
            assert!(said.contains(code) && said.len() < 2_000, "{name}: {said}");
        }
        if beyond && payload.len() < 16_000 {
            let mut socket = server.socket("").await;
            socket.say(&format!("{{\"type\":\"ping\",\"x\":{payload}}}")).await;
            let error = socket.next_of("error").await;
            assert_eq!(error["code"], code, "{name}");
        }
    }
    assert_eq!(server.client.rows().await.len(), 0, "nothing was accepted");
    for accepted in [
        nested("[", "", "]", 128),
        format!("[{}0]", "0,".repeat(19_998)),
        format!("\"{}\"", "[".repeat(900_000)),
        "9".repeat(900_000),
        "1e999999999999".to_owned(),
        format!("{{\"{}\":1}}", "k".repeat(900_000)),
    ] {
        let job = format!("{{\"kind\":\"echo\",\"payload\":{accepted}}}");
        let taken = json(http.post(url("/api/v1/jobs")), job).await;
        assert_eq!(taken.0, 202, "{:.300}", taken.1);
        let id: Value = serde_json::from_str(&taken.1).unwrap();
        let id = id["id"].as_str().unwrap();
        job_in(&server, id, "completed").await;
        assert!(server.client.text(&format!("/jobs/{id}")).await.len() < 200_000);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_short_however_much_is_wrong() {
    let dir = Dir::new();
    let server = Server::start(&dir, &[]).await;
    let http = cortado::internal::cli::http_client().unwrap();
    let url = |path: &str| format!("http://{}{path}", server.address);
    let long = "x".repeat(1_000_000);
    let wrong = keys(15_000);
    let tags = vec!["\"a,b\""; 15_000].join(",");
    for (body, code) in [
        (format!("{{\"kind\":\"http\",\"payload\":{wrong}}}"), "invalid_payload"),
        (format!("{{\"kind\":\"http\",\"payload\":{{\"{long}\":1}}}}"), "invalid_payload"),
        (format!("{{\"kind\":\"http\",\"payload\":{{\"url\":\"{long}\"}}}}"), "invalid_payload"),
        (format!("{{\"kind\":\"echo\",\"{long}\":1}}"), "invalid_fields"),
        (format!("{{\"kind\":\"echo\",\"priority\":\"{long}\"}}"), "invalid_fields"),
        (format!("{{\"kind\":\"{long}\"}}"), "invalid_fields"),
        (format!("{{\"kind\":\"echo\",\"run_at\":\"{long}\"}}"), "invalid_fields"),
        (format!("{{\"kind\":\"echo\",\"idempotency_key\":\"{long}\"}}"), "invalid_fields"),
        (format!("{{\"kind\":\"echo\",\"tags\":[\"{long}\"]}}"), "invalid_fields"),
        (format!("{{\"kind\":\"echo\",\"tags\":[{tags}]}}"), "invalid_fields"),
        (format!("{{\"kind\":\"echo\",\"priority\":{}}}", "9".repeat(1_000_000)), "invalid_fields"),
        (format!("[{}{{\"kind\":\"echo\"}}]", "{\"kind\":\"\"},".repeat(9_000)), "invalid_fields"),
        (format!("[{}{{}}]", "{},".repeat(500_000)), "batch_too_long"),
        (format!("{{\"kind\":{long}}}"), "malformed_json"),
    ] {
        let request = http.post(url("/api/v1/jobs")).header("content-type", "application/json");
        let (status, text) = answer(request.body(body.clone())).await;
        assert!((400..500).contains(&status), "{body:.80}: {text:.300}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["code"], code, "{body:.80}: {text:.300}");
        assert!(text.len() < 25_000, "{body:.80}: {} bytes", text.len());
    }
    let many: Vec<(String, &str)> = (0..40_000).map(|n| (format!("payload.{n}"), "x")).collect();
    for path in ["/jobs", "/jobs/new"] {
        let (status, page) = answer(form(&http, url(path), &many)).await;
        assert_eq!(status, 422, "{path}");
        assert!(page.contains("the limit is 1000") && page.len() < 10_000, "{path}: {page}");
    }
    for name in [format!("payload{}", ".0".repeat(20_000)), "payload.999999999".to_owned()] {
        let asked = http.get(url("/jobs/new")).query(&[("kind", "http"), (&name, "x")]);
        let (status, page) = answer(asked).await;
        // The page repeats its own address in links to its parts.
        assert!(status == 200 && page.len() < 3 * name.len() + 40_000, "{} bytes", page.len());
    }
    let fields = [("kind", "echo"), ("payload", "1"), ("priority", &long), ("timeout", &long)];
    let (status, page) = answer(form(&http, url("/jobs"), &fields)).await;
    assert_eq!(status, 422);
    assert!(page.len() < 2 * long.len() + 60_000, "{} bytes: errors repeat it all", page.len());
    server.stop().await;
}

/// Creates a store with jobs that only an older version accepted.
async fn store_of_an_older_version(dir: &Dir) -> Vec<(JobId, usize)> {
    let store = data_dir::open(&dir.data(), StoreLimits::default(), Arc::new(SystemClock)).unwrap();
    let mut jobs = Vec::new();
    for (kind, payload) in [
        ("echo", nested("[", "1", "]", 8_000)),
        ("echo", nested("[", "1", "]", 20_000)),
        ("echo", nested("{\"a\":", "1", "}", 8_000)),
        ("echo", keys(40_000)),
        (
            "http",
            format!("{{\"url\":\"http://127.0.0.1:1/\",\"body\":{}}}", nested("[", "", "]", 8_000)),
        ),
        ("http", format!("{{\"url\":\"http://127.0.0.1:1/\",\"headers\":{}}}", keys(40_000))),
        ("http", keys(40_000)),
        ("sleep", nested("[", "1", "]", 8_000)),
    ] {
        let size = payload.len();
        let labels = Labels {
            queue: QueueName::default(),
            kind: Kind::parse(kind).unwrap(),
            tags: Box::default(),
        };
        let spec = Spec {
            payload: Json::parse(&payload).unwrap(),
            priority: 0,
            retry: Default::default(),
            timeout_ms: None,
            idempotency_key: None,
        };
        let id = JobId::generate();
        let start = Start::After(Duration::from_secs(3_600));
        let (labels, spec, omitted) = (labels.into(), spec.into(), Default::default());
        jobs.push((NewJob { id, labels, spec, start, by: None, omitted }, size));
    }
    // One job also has such a result.
    let (mut done, size) = jobs[0].clone();
    (done.id, done.start) = (JobId::generate(), Start::Now);
    let mut list: Vec<(JobId, usize)> = jobs.iter().map(|(job, size)| (job.id, *size)).collect();
    list.push((done.id, 2 * size));
    let result = done.spec.payload.clone();
    let kinds = Arc::new([done.labels.kind.clone()].into());
    store.enqueue(jobs.into_iter().map(|(job, _)| job).chain([done]).collect()).await.unwrap();
    let worker = WorkerName::parse("old").unwrap();
    let claim = Claim {
        queues: vec![QueueName::default()],
        kinds,
        max: 1,
        worker,
        place: WorkerPlace::InProcess,
        ttl: Duration::from_secs(60),
    };
    let leases = store.claim(claim).await.unwrap().leases;
    let verdict = Verdict::Completed { result };
    store.settle(vec![Settlement { lease: leases[0].key(), verdict }]).await.unwrap();
    let payload = serde_json::value::RawValue::from_string(nested("[", "1", "]", 8_000)).unwrap();
    let schedule = cortado::internal::engine::ScheduleSubmission {
        cron: "@yearly".into(),
        kind: "echo".into(),
        payload: Some(payload),
        ..Default::default()
    };
    let spec = Box::new(
        schedule
            .into_spec(Origin::Api, &cortado::internal::engine::Kinds::default(), Time::default())
            .unwrap(),
    );
    let set = ScheduleCommand::Set(ScheduleName::parse("old").unwrap(), spec);
    store.schedule(set, None).await.unwrap();
    store.close().await.unwrap();
    list
}

/// Waits until a job is in a state, and returns it as text, because its payload is too deep for the test's parser.
async fn job_in(server: &Server, id: &str, state: &str) -> String {
    let (path, state) = (format!("/api/v1/jobs/{id}"), format!("\"state\":\"{state}\""));
    eventually(&format!("job {id} with {state}"), || async {
        let text = server.client.text(&path).await;
        // The state of the job comes first, the timeline last.
        text[..500].contains(&state).then_some(text)
    })
    .await
}

/// Reads all pages and endpoints that show these jobs, and asserts that the responses are small for what is stored.
async fn look_at_everything(server: &Server, http: &Client, jobs: &[(JobId, usize)]) {
    for (id, size) in jobs {
        let page = server.client.text(&format!("/jobs/{id}")).await;
        assert!(page.contains("Only part of it is shown"), "{page:.3000}");
        assert!(page.len() < 250_000, "{} bytes for a payload of {size}", page.len());
        if *size < 50_000 {
            // Each of at most 1,000 lines has its path and what folds it.
            assert!(page.len() < 70_000, "{} bytes for a payload of {size}", page.len());
        }
        let again = server.client.text(&format!("/jobs/new?from={id}")).await;
        assert!(again.contains("would be rejected"), "{again:.3000}");
        assert!(again.len() < 5 * size + 60_000, "{} bytes for {size}", again.len());
        let whole = server.client.text(&format!("/api/v1/jobs/{id}")).await;
        assert!((*size..size + 4_000).contains(&whole.len()), "{} for {size}", whole.len());
    }
    for path in [
        "/",
        "/jobs",
        "/failures",
        "/queues",
        "/schedules",
        "/schedules/of/old",
        "/api/v1/jobs",
        "/api/v1/events",
        "/api/v1/failures",
    ] {
        let text = server.client.text(path).await;
        assert!(text.len() < 60_000, "{path} has {} bytes", text.len());
    }
    let exported = server.client.text("/api/v1/export").await;
    assert!(exported.contains("[[[[[[[["));
    // A form with such a payload is refused when it is submitted, and the stored schedule does not change.
    let deep = nested("[", "1", "]", 8_000);
    let fields = [("cron", "@daily"), ("kind", "echo"), ("payload", deep.as_str())];
    let url = format!("http://{}/schedules/of/old", server.address);
    assert_eq!(answer(form(http, url, &fields)).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_version_stored_is_shown_run_exported_imported_and_deleted() {
    let dir = Dir::new();
    let jobs = store_of_an_older_version(&dir).await;
    let http = cortado::internal::cli::http_client().unwrap();
    let mut exported = Command::run(&["export", "--data-dir", dir.data().to_str().unwrap()]);
    assert_eq!(exported.exit().await.code(), Some(0));
    let file = dir.config(&(exported.out.so_far().join("\n") + "\n"));
    let copy = Dir::new();
    let into = copy.data();
    let mut import = Command::run(&["import", "--data-dir", into.to_str().unwrap(), &file]);
    assert_eq!(import.exit().await.code(), Some(0), "{:?}", import.err.so_far());
    for dir in [dir, copy] {
        let server = Server::start(&dir, &[]).await;
        look_at_everything(&server, &http, &jobs).await;
        for (id, _) in &jobs[..6] {
            server.client.post(&format!("/api/v1/jobs/{id}/retry"), None).await;
        }
        for (id, _) in &jobs[4..6] {
            // The kind may not connect to this address.
            job_in(&server, &id.to_string(), "discarded").await;
        }
        for (id, _) in &jobs[..4] {
            let job = job_in(&server, &id.to_string(), "completed").await;
            assert!(job.contains("\"result\":{\"left_out\":{"), "{job:.300}");
            server.client.text(&format!("/jobs/{id}")).await;
        }
        server.client.post("/api/v1/schedules/old/run", None).await;
        for (id, _) in &jobs[5..] {
            let url = format!("http://{}/api/v1/jobs/{id}", server.address);
            assert_eq!(answer(http.delete(url)).await.0, 204);
        }
        server.client.text("/failures").await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_server_answers_others_while_it_looks_at_such_json() {
    let dir = Dir::new();
    let jobs = store_of_an_older_version(&dir).await;
    let server = Server::start(&dir, &[]).await;
    let http = cortado::internal::cli::http_client().unwrap();
    let base = format!("http://{}", server.address);
    let deep = nested("[", "", "]", 3_000);
    let body = format!("{{\"url\":\"http://a.b/\",\"body\":{deep}}}");
    let mut hostile = Vec::new();
    for _ in 0..8 {
        let (http, base, body, jobs) = (http.clone(), base.clone(), body.clone(), jobs.clone());
        hostile.push(tokio::spawn(async move {
            for (id, _) in jobs {
                let asked = http.get(format!("{base}/jobs/new"));
                let asked = asked.query(&[("kind", "http"), ("payload", &body)]);
                assert_eq!(answer(asked).await.0, 200);
                for path in ["jobs/", "jobs/new?from=", "api/v1/jobs/"] {
                    assert_eq!(answer(http.get(format!("{base}/{path}{id}"))).await.0, 200);
                }
                let wide = [("kind", "http"), ("payload", &*keys(40_000))];
                let wide = form(&http, format!("{base}/jobs"), &wide);
                assert_eq!(answer(wide).await.0, 422);
            }
        }));
    }
    let mut healthy = 0;
    while hostile.iter().any(|task| !task.is_finished()) || healthy == 0 {
        assert_eq!(answer(http.get(format!("{base}/healthz"))).await.0, 200);
        healthy += 1;
    }
    for task in hostile {
        task.await.unwrap();
    }
    server.stop().await;
}
