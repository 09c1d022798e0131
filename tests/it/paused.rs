//! A server that is started paused: nothing starts by itself until an operator resumes it, over any interface, and every
//! page and probe says so.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Command, Dir, Server, eventually};

const SCHEDULE: &str = "[schedules.often]\ncron = 'every 1s'\nkind = 'echo'\n";

/// A notice on a page.
const NOTICE: &str = "id=\"server-paused\"";

async fn events(client: &Client, kind: &str) -> usize {
    client.log().await.iter().filter(|event| event.kind == kind).count()
}

/// What the command says on a paused server, and on another one.
const RESUMED: &str = "the server was resumed; jobs and schedules start now";
const NOT_PAUSED: &str = "the server was not paused; nothing has changed";

/// Resumes over one of the interfaces. The command prints this text.
async fn resume(server: &Server, interface: &str, says: &str) {
    let address = format!("http://{}", server.address);
    match interface {
        "api" => {
            let answer =
                server.client.try_send(Method::POST, "/api/v1/resume", None).await.unwrap();
            assert_eq!(answer.0, 204, "{}", answer.1);
        }
        "page" => {
            let (_, page) =
                server.client.try_send(Method::POST, "/system/resume", None).await.unwrap();
            assert!(page.contains("The server was resumed") || !page.contains(NOTICE), "{page}");
        }
        _ => {
            let mut command = Command::run(&["resume", "--server", &address]);
            assert!(command.exit().await.success(), "{}", command.err.so_far().join("\n"));
            assert_eq!(command.out.so_far(), [says]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_starts_on_a_paused_server_until_it_is_resumed() {
    for (interface, how) in [("api", "flag"), ("page", "setting"), ("cli", "flag")] {
        let dir = Dir::new();
        let server = Server::start(&dir, &[]).await;
        let due = json!({ "kind": "echo", "delay_ms": 1 });
        server.client.post("/api/v1/queues/default/pause", None).await;
        let waiting = server.client.submit(&json!({ "kind": "echo" })).await;
        let due = server.client.submit(&due).await;
        server.client.post("/api/v1/queues/default/resume", None).await;
        let waited =
            server.client.submit(&json!({ "kind": "sleep", "payload": { "ms": 60_000 } })).await;
        server.client.job_in(&waited, "running").await;
        server.kill().await;

        let setting = if how == "setting" { "paused = true\n" } else { "" };
        let config = dir.config(&format!("{setting}{SCHEDULE}"));
        let mut args = vec!["--config", config.as_str()];
        args.extend((how == "flag").then_some("--paused"));
        let server = Server::start(&dir, &args).await;
        let client = &server.client;
        let started = events(client, "job.started").await;
        let new = client.submit(&json!({ "kind": "echo" })).await;
        // The request waits for as long as the schedule and the dispatchers would need.
        let path = format!("/api/v1/jobs/{new}?wait=3s");
        let (status, job) = client.try_send(Method::GET, &path, None).await.unwrap();
        let job: Value = serde_json::from_str(&job).unwrap();
        assert_eq!((status, &job["state"]), (202, &json!("available")), "{job}");
        assert_eq!(job["why"]["code"], "server_paused", "{job}");
        assert_eq!(events(client, "job.started").await, started, "a job was started");
        assert_eq!(events(client, "schedule.fired").await, 0, "a schedule has fired");
        assert_eq!(client.get("/readyz").await, json!({ "status": "ready", "paused": true }));
        assert_eq!(client.get("/api/v1/stats").await["paused"], true);
        assert!(client.text("/metrics").await.contains("cortado_paused 1"));
        for page in
            ["/", "/jobs", "/queues", "/schedules", "/workers", "/system", "/failures", "/jobs/new"]
        {
            assert!(client.text(page).await.contains(NOTICE), "{page}");
        }
        let page = client.text(&format!("/jobs/{new}")).await;
        assert!(
            page.contains("The server is paused. No job starts until it is resumed."),
            "{page}"
        );
        let mut stats = Command::run(&["stats", "--server", &format!("http://{}", server.address)]);
        stats.exit().await;
        assert!(stats.out.so_far()[0].contains("paused"), "{:?}", stats.out.so_far());

        // A command that waits for a job says what it waits for.
        let address = format!("http://{}", server.address);
        let mut submit = Command::run(&["submit", "echo", "--wait", "--server", &address]);
        eventually("the pause is named", || async {
            let said = submit.err.so_far().join("\n");
            said.contains("the job waits: The server is paused").then_some(())
        })
        .await;

        resume(&server, interface, RESUMED).await;
        assert!(submit.exit().await.success(), "{:?}", submit.err.so_far());
        for id in [&waiting, &due, &new] {
            client.job_in(id, "completed").await;
        }
        client.job_in(&waited, "running").await;
        eventually("the schedule", || async {
            (events(client, "schedule.fired").await > 0).then_some(())
        })
        .await;
        assert_eq!(client.get("/readyz").await, json!({ "status": "ready" }));
        assert_eq!(client.get("/api/v1/stats").await["paused"], false);
        assert!(!client.text("/").await.contains(NOTICE));
        resume(&server, interface, NOT_PAUSED).await; // once more changes nothing
        server.kill().await;
    }
}
