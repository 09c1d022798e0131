//! The rate limit of a queue, set in the configuration or at run time.

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Dir, Server, eventually, tools};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_keeps_its_rate_and_says_so_everywhere() {
    let dir = Dir::new();
    let config = dir.config("[queues.mail]\nrate_limit = \"2/1h\"\n");
    let server = Server::start(&dir, &["--config", &config]).await;
    let client = &server.client;
    let mut mails = Vec::new();
    for _ in 0..3 {
        mails.push(client.submit(&json!({ "kind": "echo", "queue": "mail" })).await);
    }
    for mail in &mails[..2] {
        client.job_in(mail, "completed").await;
    }
    // Another queue is not limited.
    let other = client.submit(&json!({ "kind": "echo" })).await;
    client.job_in(&other, "completed").await;
    client.job_in(&mails[2], "available").await;

    let queues = client.get("/api/v1/queues").await["queues"].clone();
    let limits = |name: &str| {
        let queue = queues.as_array().unwrap().iter().find(|queue| queue["name"] == name);
        queue.unwrap()["rate_limit"].clone()
    };
    assert_eq!((limits("mail"), limits("default")), (json!("2/1h"), json!(null)));
    let page = client.text(&format!("/jobs/{}", mails[2])).await;
    assert!(
        page.contains("Queue mail is limited to 2 starts per hour. It is next. Next start <time"),
        "{page}"
    );
    let page = client.text("/queues/mail").await;
    assert!(page.contains("Limited to 2 starts per hour."), "{page}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_that_was_set_and_what_it_has_let_begin_survive_a_kill() {
    let dir = Dir::new();
    let config = dir.config("[queues.mail]\nrate_limit = \"1/1h\"\n");
    let args = ["--config", config.as_str()];
    let server = Server::start(&dir, &args).await;
    let mail = json!({ "kind": "echo", "queue": "mail" });
    let mut mails = Vec::new();
    for _ in 0..5 {
        mails.push(server.client.submit(&mail).await);
    }
    server.client.job_in(&mails[0], "completed").await;
    let set = async |server: &Server, rate: Value| {
        server
            .client
            .post("/api/v1/queues/mail/rate_limit", Some(&json!({ "rate_limit": rate })))
            .await
    };
    set(&server, json!("3/1h")).await;
    for mail in &mails[1..3] {
        server.client.job_in(mail, "completed").await;
    }
    server.kill().await;

    let server = Server::start(&dir, &args).await;
    let full = async || {
        let page = server.client.text(&format!("/jobs/{}", mails[3])).await;
        page.contains("Queue mail is limited to 3 starts per hour. It is next. Next start <time")
            .then_some(())
    };
    eventually("a job that waits for its queue's rate", full).await;
    set(&server, json!("4/1h")).await;
    server.client.job_in(&mails[3], "completed").await;
    server.client.job_in(&mails[4], "available").await;
    set(&server, json!("none")).await;
    server.client.job_in(&mails[4], "completed").await;
    set(&server, json!(null)).await;
    let sixth = server.client.submit(&mail).await;
    server.client.job_in(&sixth, "completed").await;

    // The command in the documentation works.
    let docs = include_str!("../../docs/queues.md");
    let command = docs.lines().find(|line| line.starts_with("curl ")).unwrap();
    let command = command.replace("http://127.0.0.1:8080", server.client.base());
    let mut shell = Command::new("sh");
    let answer = shell.args(["-c", &command]).env("PATH", tools::path()).output().await.unwrap();
    assert!(answer.status.success() && answer.stdout.is_empty(), "{answer:?}");
    assert_eq!(server.client.get("/api/v1/queues").await["queues"][0]["rate_limit"], "100/1m");
    server.stop().await;
}
