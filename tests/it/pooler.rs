//! Servers that reach PostgreSQL through PgBouncer in transaction mode, over TLS with a checked certificate: every
//! transaction may run on another connection, nobody is notified, and the pooler may die, too.

use std::net::TcpListener;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::failover::{epoch_of, new_epoch};
use crate::support::postgres::Postgres;
use crate::support::{Client, Dir, Fold, Server, eventually};

/// A database behind a pooler, and its URL.
struct Pooled {
    postgres: Postgres,
    port: u16,
    url: String,
}

impl Pooled {
    async fn start() -> Pooled {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let postgres = Postgres::start().await;
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let own = own.signed_by(&key, &issuer).unwrap();
        std::fs::write(postgres.dir().join("pooler.pem"), own.pem()).unwrap();
        std::fs::write(postgres.dir().join("pooler.key"), key.serialize_pem()).unwrap();
        let ca = postgres.dir().join("authority.pem");
        std::fs::write(&ca, authority).unwrap();
        let url = format!(
            "postgresql://cortado@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={}",
            ca.display()
        );
        let mut pooled = Pooled { postgres, port, url };
        pooled.begin().await;
        pooled
    }

    /// Starts the pooler.
    async fn begin(&mut self) {
        self.postgres.start_pooler(self.port).await;
        let port = self.port;
        eventually("a pooler that accepts connections", || async move {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
    }

    async fn node(&self, dir: &Dir, name: &str) -> Server {
        Server::start(dir, &["--store", &self.url, "--node", name]).await
    }
}

/// Waits until a server accepts a job, which then runs.
async fn accepts_again(client: &Client) {
    let job = json!({ "kind": "echo" });
    let accepted = eventually("a server accepts jobs again", || async {
        let answer = client.try_send(Method::POST, "/api/v1/jobs", Some(&job)).await.ok()?;
        (answer.0 == 202).then(|| serde_json::from_str::<Value>(&answer.1).unwrap())
    });
    client.job_in(accepted.await["id"].as_str().unwrap(), "completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_work_together_through_a_pooler_over_tls_and_survive_it() {
    let (mut pooled, dirs) = (Pooled::start().await, [Dir::new(), Dir::new()]);
    let one = pooled.node(&dirs[0], "one").await;
    let two = pooled.node(&dirs[1], "two").await;
    let jobs = |number: usize| vec![json!({ "kind": "echo" }); number];
    let mut ids = Vec::new();
    for client in [&one.client, &two.client, &one.client] {
        let submitted = client.submit_all(jobs(50)).await;
        for (number, id) in submitted.iter().enumerate() {
            let other = if number % 2 == 0 { &one.client } else { &two.client };
            other.job(id).await; // it is there at once
        }
        ids.extend(submitted);
    }
    pooled.postgres.kill_pooler().await;
    pooled.begin().await;
    accepts_again(&one.client).await;
    accepts_again(&two.client).await;
    pooled.postgres.crash().await;
    pooled.postgres.start_again().await;
    accepts_again(&two.client).await;
    accepts_again(&one.client).await;
    for id in &ids {
        two.client.job_in(id, "completed").await;
    }
    let log = one.client.log().await;
    assert_eq!(log, two.client.log().await, "both nodes have the same log");
    Fold::of(&log).assert_agrees(&two.client.rows().await);
    let mut said = one.stop().await;
    said.extend(two.stop().await);
    let epochs = said.iter().filter(|line| line.contains("new epoch"));
    assert_eq!(epochs.count(), 0, "the server behind the pooler was always the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_behind_a_pooler_begins_a_new_epoch() {
    let (mut pooled, dirs) = (Pooled::start().await, [Dir::new(), Dir::new()]);
    pooled.postgres.add_standby().await;
    let one = pooled.node(&dirs[0], "one").await;
    let two = pooled.node(&dirs[1], "two").await;
    let id = one.client.submit(&json!({ "kind": "echo" })).await;
    two.client.job_in(&id, "completed").await;
    let before = epoch_of(&one.client.head().await);
    pooled.postgres.crash().await;
    pooled.postgres.promote_standby().await;
    pooled.postgres.move_pooler().await;
    let epochs = [new_epoch(&one.client, &before).await, new_epoch(&two.client, &before).await];
    assert_eq!(epochs[0], epochs[1], "all nodes are in the same epoch");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_of_the_pooler_has_to_be_of_its_name() {
    let (pooled, dir) = (Pooled::start().await, Dir::new());
    let url = pooled.url.replace("@localhost:", "@127.0.0.1:");
    let data = dir.data();
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap(), "--store", &url];
    let mut refused = crate::support::Command::of(env!("CARGO_BIN_EXE_cortado"), &arguments);
    assert!(!refused.exit().await.success());
    let said = refused.err.so_far().join("\n");
    assert!(said.contains("certificate"), "{said}");
}
