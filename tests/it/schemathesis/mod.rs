//! The OpenAPI document and the server, compared by schemathesis: it generates requests that match the document, and requests
//! that do not, and checks every answer against the document. `tests/tools.sh` installs it.
//!
//! `CORTADO_SCHEMATHESIS_EXAMPLES=100` generates more requests for each operation; `CORTADO_SCHEMATHESIS_SEED` makes other
//! random choices.

use std::path::Path;
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Dir, Server, tools, within};

const TOKEN: &str = "token-0123456789abcdef";

/// The answers are compared while they come fast: nothing waits for long, and wrong credentials, which schemathesis sends on
/// purpose, lock nobody out.
const CONFIG: &str = "
[auth]
token = 'token-0123456789abcdef'
[http]
max_wait = '50ms'
login_failures = 1_000_000
login_failures_per_user = 1_000_000
login_failures_total = 1_000_000
[access]
max_link_lifetime = '100000d'
min_password = 8
";

/// Fills a server, and returns ids of what there is: jobs, share links and leases.
async fn seeded(server: &Server) -> Value {
    // This installs the provider of TLS, which every client needs.
    cortado::internal::cli::http_client().unwrap();
    let http = crate::support::http::http_builder().no_proxy().build().unwrap();
    let send = async |method: Method, path: &str, body: Value| {
        let url = format!("http://{}{path}", server.address);
        let request = http.request(method, url).bearer_auth(TOKEN).json(&body);
        let answer = within(path, request.send()).await.unwrap();
        assert!(answer.status().is_success(), "{path} {body}: {answer:?}");
        answer.json::<Value>().await.unwrap_or_default()
    };
    let post = async |path: &str, body: Value| send(Method::POST, path, body).await;
    let user =
        |name, role| json!({"name": name, "password": "correct horse battery", "role": role});
    post("/api/v1/users", user("root", "admin")).await;
    post("/api/v1/users", user("anna", "operator")).await;
    post("/api/v1/tokens", json!({"name": "ci", "role": "submitter"})).await;
    for kind in ["resize", "free"] {
        send(Method::PUT, &format!("/api/v1/kinds/{kind}"), json!({})).await;
    }
    let schedule = json!({"cron": "every 15m", "kind": "echo"});
    send(Method::PUT, "/api/v1/schedules/nightly", schedule).await;
    let (mut jobs, mut links) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        for job in [
            json!({"kind": "echo", "payload": {"text": "hello"}, "tags": ["nightly"]}),
            json!({"kind": "free", "queue": "mail", "priority": 3}),
            json!({"kind": "echo", "delay_ms": 86_400_000}),
            json!({"kind": "resize", "payload": [1, 2], "max_attempts": 1}),
        ] {
            jobs.push(post("/api/v1/jobs", job).await["id"].clone());
        }
    }
    for about in [json!({"queue": "default"}), json!({"job": jobs[0]}), json!({"job": jobs[3]})] {
        let mut link = about;
        link["expires_in"] = "1d".into();
        let url = post("/api/v1/links", link).await["url"].as_str().unwrap().to_owned();
        links.push(url.rsplit('/').next().unwrap().to_owned());
    }
    let claim = json!({"kinds": ["resize"], "max": 10, "lease_ms": 3_600_000});
    let claimed = post("/api/v1/workers/web-1/claim", claim).await;
    let leases = claimed["leases"].as_array().unwrap().iter().map(|lease| &lease["lease"]);
    let (failed, leases) = (leases.clone().next(), leases.skip(1).collect::<Vec<_>>());
    let settle = json!([{"lease": failed, "outcome": "discard", "error": "no such picture"}]);
    post("/api/v1/leases", json!({"settle": settle})).await;
    let bulk = json!({"action": "reprioritise", "priority": 1, "filter": {"queue": "mail"}});
    post("/api/v1/bulk", bulk).await;
    json!({"id": jobs, "link": links, "lease": leases})
}

fn setting(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemathesis_finds_no_difference_between_the_document_and_the_server() {
    let dir = Dir::new();
    let server = Server::start(&dir, &["--config", &dir.config(CONFIG)]).await;
    let seeded = seeded(&server).await;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/schemathesis");
    // The directory of the server is removed afterwards, with everything that schemathesis leaves behind.
    let work = dir.data().parent().unwrap().to_owned();
    std::fs::write(work.join("seeded.json"), seeded.to_string()).unwrap();
    let mut command = tokio::process::Command::new("python3");
    command.args(["-m", "schemathesis.cli", "--config-file"]).arg(own.join("schemathesis.toml"));
    command.args(["run", &format!("http://{}/api/openapi.json", server.address)]);
    command.args(["--header", &format!("Authorization: Bearer {TOKEN}"), "--checks", "all"]);
    command.args(["--phases", "examples,coverage,fuzzing,stateful"]);
    command.args(["--max-examples", &setting("CORTADO_SCHEMATHESIS_EXAMPLES", "3")]);
    command.args(["--seed", &setting("CORTADO_SCHEMATHESIS_SEED", "1")]);
    command.env("SCHEMATHESIS_HOOKS", own.join("hooks.py")).env("PATH", tools::path());
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&work).stdin(Stdio::null());
    let output = command.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    let cases = said.lines().find(|line| line.contains(" generated, "));
    println!("schemathesis: {}", cases.expect("the number of cases").trim());
    let log = server.stop().await;
    let faults: Vec<&String> = log.iter().filter(|line| line.contains("ERROR")).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}
