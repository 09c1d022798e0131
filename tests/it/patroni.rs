//! Failovers that Patroni carries out when the machine of the primary dies. They take as long as the lease of Patroni's
//! leader, 20 seconds, so they are part of `./test soak` only.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::failover::{epoch_of, new_epoch};
use crate::support::{Client, Dir, Fold, Server, eventually, tools, within};

/// Two PostgreSQL servers under Patroni; see `tests/patroni.sh`.
struct Patroni {
    _supervisor: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    ports: Vec<u16>,
}

/// Whether commits wait for the standby.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replication {
    Asynchronous,
    Synchronous,
}

impl Patroni {
    async fn start(replication: Replication) -> Patroni {
        let dir = tempfile::Builder::new().prefix("cortado-pg.").tempdir_in("/tmp").unwrap();
        let dir = dir.keep(); // the script removes it
        // All of them are bound at once, so that they differ.
        let free: Vec<TcpListener> =
            (0..7).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = free.iter().map(|port| port.local_addr().unwrap().port());
        let ports: Vec<u16> = ports.collect();
        drop(free);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let programs = std::env::split_paths(&tools::path()).find(|it| it.join("initdb").exists());
        let synchronous = (replication == Replication::Synchronous).to_string();
        let mut supervisor = Command::new("sh")
            .arg(root.join("tests/patroni.sh"))
            .args([dir, programs.expect("run tests/tools.sh"), root.join("target/tools")])
            .args([PathBuf::from(synchronous)])
            .args(ports.iter().map(u16::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = supervisor.stdin.take().unwrap();
        let output = BufReader::new(supervisor.stdout.take().unwrap()).lines();
        let mut patroni = Patroni { _supervisor: supervisor, input, output, ports };
        patroni.hear_done().await;
        patroni
    }

    fn url(&self) -> String {
        let [one, two] = [self.ports[0], self.ports[1]];
        format!("postgresql://cortado@127.0.0.1:{one},127.0.0.1:{two}/postgres")
    }

    /// Kills the primary and its Patroni.
    async fn kill_primary(&mut self) {
        self.input.write_all(b"kill\n").await.unwrap();
        self.hear_done().await;
    }

    async fn hear_done(&mut self) {
        let line = within("Patroni", self.output.next_line()).await.unwrap();
        assert_eq!(line.as_deref(), Some("done"), "Patroni does not start its servers");
    }
}

/// Submits jobs until one is refused, and returns those that were accepted.
async fn submit_until_refused(client: Client) -> Vec<String> {
    let (mut accepted, job) = (Vec::new(), json!({ "kind": "echo" }));
    while let Ok((202, text)) = client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await {
        let job: Value = serde_json::from_str(&text).unwrap();
        accepted.push(job["id"].as_str().unwrap().to_owned());
    }
    accepted
}

async fn fail_over(replication: Replication) {
    let (mut patroni, dirs) = (Patroni::start(replication).await, [Dir::new(), Dir::new()]);
    let url = patroni.url();
    let one = Server::start(&dirs[0], &["--store", &url, "--node", "one"]).await;
    let two = Server::start(&dirs[1], &["--store", &url, "--node", "two"]).await;
    let before = epoch_of(&one.client.head().await);
    let submitting =
        [&one, &two].map(|node| tokio::spawn(submit_until_refused(node.client.clone())));
    eventually("jobs are completed", || async {
        (one.client.count("completed").await > 100).then_some(())
    })
    .await;
    patroni.kill_primary().await;
    let mut accepted = Vec::new();
    for submitting in submitting {
        accepted.extend(submitting.await.unwrap());
    }
    let epochs = [new_epoch(&one.client, &before).await, new_epoch(&two.client, &before).await];
    assert_eq!(epochs[0], epochs[1], "all nodes are in the same epoch");
    let mut lost = 0;
    for id in &accepted {
        let path = format!("/api/v1/jobs/{id}");
        let (status, _) = two.client.try_send(Method::GET, &path, None).await.unwrap();
        match status {
            200 => drop(one.client.job_in(id, "completed").await),
            _ => lost += 1,
        }
    }
    println!("patroni: {} jobs were accepted, {lost} of them were lost", accepted.len());
    assert!(replication == Replication::Asynchronous || lost == 0, "{lost} jobs were lost");
    let log = one.client.log().await;
    assert_eq!(log, two.client.log().await, "both nodes have the same log");
    Fold::of(&log).assert_agrees(&two.client.rows().await);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs Patroni and a minute: ./test soak"]
async fn a_failover_by_patroni_to_an_asynchronous_standby_begins_a_new_epoch() {
    fail_over(Replication::Asynchronous).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs Patroni and a minute: ./test soak"]
async fn a_failover_by_patroni_to_a_synchronous_standby_loses_nothing() {
    fail_over(Replication::Synchronous).await;
}
