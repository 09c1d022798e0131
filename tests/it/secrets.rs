//! A configuration full of secrets: no page, no answer of the API, no line of the log and no help text shows one.

use std::collections::BTreeMap;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use crate::routes::{PARAMETER, routes};
use crate::support::{Command, Dir, Server, eventually, within};

/// A part of every secret, except for the one that signs requests.
const MARK: &str = "do-not-show";
const SIGNING_SECRET: &str = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

const CONFIG: &str = r#"
base_url = "https://me:do-not-show-1@jobs.example.com"
[auth]
token = "do-not-show-token"
[handlers.http]
signing_secret = "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
allow = ["127.0.0.1:9"]
[commands.report]
program = "false"
args = ["--password=do-not-show-2", "{input}"]
env = { KEY = "do-not-show-3" }
[schedules.nightly]
cron = "0 3 1 1 *"
kind = "http"
queue = "mail"
max_attempts = 1
[schedules.nightly.payload]
url = "http://127.0.0.1:9/hook?page=2&token=do-not-show-8&X-Amz-Signature=do-not-show-9"
body = { visible = "payload" }
[schedules.nightly.payload.headers]
Authorization = "Bearer do-not-show-5"
Cookie = "do-not-show-6"
X-Api-Key = "do-not-show-7"
X-Signature = "do-not-show-10"
Accept = "visible/header"
"#;

fn has_secret(text: &str) -> bool {
    text.contains(MARK) || text.contains(SIGNING_SECRET)
}

/// The answer to a request with the token.
async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String) {
    let http = cortado::internal::cli::http_client().unwrap();
    let mut request = http.request(method, format!("{}{path}", server.client.base()));
    request = request.bearer_auth("do-not-show-token");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = within(path, request.send()).await.unwrap();
    let mut text = format!("{:?}", answer.headers());
    let status = answer.status().as_u16();
    text.push_str(&within(path, answer.text()).await.unwrap());
    (status, text)
}

async fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let http = cortado::internal::cli::http_client().unwrap();
    let request = http.post(format!("{}{path}", server.client.base()));
    let request = request.bearer_auth("do-not-show-token").json(body);
    let answer = within(path, request.send()).await.unwrap();
    (answer.status().as_u16(), within(path, answer.json()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_answer_or_log_line_shows_a_secret() {
    let dir = Dir::new();
    let args = ["--config", &dir.config(CONFIG), "--log", "debug"];
    let server = Server::start(&dir, &args).await;
    let (_, scheduled) = post(&server, "/api/v1/schedules/nightly/run", &json!({})).await;
    let command = json!({"kind": "command", "payload": {"name": "report", "args": {"input": "x"}},
                         "max_attempts": 1});
    let (_, ran) = post(&server, "/api/v1/jobs?wait=60s", &command).await;
    let id = |job: &Value| job["id"].as_str().unwrap_or_else(|| panic!("{job}")).to_owned();
    let jobs = [scheduled["last"]["job"].as_str().unwrap().to_owned(), id(&ran)];
    let failed = eventually("both jobs failed", || async {
        let (_, text) = send(&server, Method::GET, "/api/v1/stats", &[]).await;
        text.contains("\"discarded\":2").then_some(())
    });
    failed.await;

    let mut answers = BTreeMap::new();
    let html = ("accept", "text/html,application/xhtml+xml");
    for route in routes().into_iter().chain(["/jobs/new?from=JOB".into()]) {
        // They have every payload, so that nothing is lost.
        let is_everything = ["/api/v1/export", "/api/v1/backup"].contains(&&*route);
        if is_everything || route.starts_with("/static/") {
            continue;
        }
        for job in &jobs {
            let parameter =
                match route.split('/').find(|part| ["queues", "schedules"].contains(part)) {
                    Some("queues") => "mail",
                    Some(_) => "nightly",
                    None => job,
                };
            let path = route.replace(PARAMETER, parameter).replace("JOB", job);
            for headers in [&[][..], &[html]] {
                let (status, text) = send(&server, Method::GET, &path, headers).await;
                assert!(status < 500, "{path}: {status}");
                assert!(!has_secret(&text), "{path}: {text}");
                answers.insert(path.clone(), (status, text));
            }
        }
    }
    let after = "/api/v1/events?limit=1000&after=";
    let (_, stats) = send(&server, Method::GET, "/api/v1/stats", &[]).await;
    let cursor = stats.split("\"cursor\":\"").nth(1).unwrap().split(':').next().unwrap();
    let (_, events) = send(&server, Method::GET, &format!("{after}{cursor}:0"), &[]).await;
    assert!(events.contains("job.discarded") && !events.contains(MARK), "{events}");

    // What is shown in their place.
    for (path, shown) in [
        ("/system", "https://***@jobs.example.com/"),
        ("/system", "<dt><code>commands.report.args</code></dt><dd class=\"num\">(not shown)</dd>"),
        ("/system", "<dt><code>commands.report.env</code></dt><dd class=\"num\">(not shown)</dd>"),
        (
            "/system",
            "<dt><code>schedules.nightly.payload</code></dt><dd class=\"num\">(not shown)</dd>",
        ),
        ("/api/v1/schedules/nightly", "\"Authorization\":\"(not shown)\""),
        (&format!("/api/v1/jobs/{}", jobs[0]), "\"Accept\":\"visible/header\""),
        (&format!("/api/v1/jobs/{}", jobs[0]), "\"Cookie\":\"(not shown)\""),
        (&format!("/api/v1/jobs/{}", jobs[0]), "\"X-Signature\":\"(not shown)\""),
        (
            &format!("/api/v1/jobs/{}", jobs[0]),
            "http://127.0.0.1:9/hook?page=2&token=***&X-Amz-Signature=***",
        ),
        (&format!("/jobs/{}", jobs[0]), "(not shown)"),
    ] {
        let (status, text) = &answers[path];
        assert!(*status == 200 && text.contains(shown), "{path}: {shown}: {text}");
    }
    let (_, export) = send(&server, Method::GET, "/api/v1/export", &[]).await;
    assert!(export.contains("do-not-show-5"), "a backup is complete");

    // What is shown in the place of a secret cannot be submitted by mistake.
    for payload in [
        json!({"url": "https://example.com/", "headers": {"authorization": "(not shown)"}}),
        json!({"url": "https://example.com/?page=2&token=***"}),
        json!({"url": "https://***@example.com/"}),
    ] {
        let job = json!({"kind": "http", "payload": payload});
        let (status, problem) = post(&server, "/api/v1/jobs", &job).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_payload")), "{problem}");
    }

    let log = server.stop().await;
    assert!(log.len() > 20, "{log:#?}");
    assert_eq!(log.iter().find(|line| has_secret(line)), None);
}

#[tokio::test]
async fn no_help_text_shows_a_secret_from_the_environment() {
    for command in ["", "serve", "watch", "submit", "stats", "backup", "export"] {
        let mut cortado = tokio::process::Command::new(env!("CARGO_BIN_EXE_cortado"));
        cortado.args(command.split_whitespace()).arg("--help");
        cortado.env("CORTADO_AUTH_TOKEN", "do-not-show-token-0");
        cortado.env("CORTADO_SERVER", "http://me:do-not-show-1@127.0.0.1:9");
        cortado.stdin(Stdio::null());
        let output = within(command, cortado.output()).await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(text.contains("CORTADO_AUTH_TOKEN") || command.is_empty(), "{text}");
        assert!(!text.contains(MARK), "{command}: {text}");
    }
    // The address of the server occurs in the errors of client commands.
    let mut stats = Command::run(&["stats", "--server", "http://me:do-not-show-1@127.0.0.1:9"]);
    assert_ne!(stats.exit().await.code(), Some(0));
    let said = [stats.out.so_far(), stats.err.so_far()].concat().join("\n");
    assert!(!said.is_empty() && !said.contains(MARK), "{said}");
}
