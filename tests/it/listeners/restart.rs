//! Restarts under load: clients submit all the time, none of them is refused, and no acknowledged job is lost.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{address_of, launch, listening};
use crate::support::{Client, Command, Dir, eventually};

const CLIENTS: usize = 8;

/// Clients that submit until they are told to stop. Half of them use a connection for many requests, and half of them for
/// one.
struct Load {
    clients: JoinSet<Vec<String>>,
    acknowledged: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Load {
    fn start(address: SocketAddr) -> Load {
        let (acknowledged, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let mut clients = JoinSet::new();
        for n in 0..CLIENTS {
            let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
            clients.spawn(async move {
                let client =
                    crate::support::http::http_builder().no_proxy().pool_max_idle_per_host(n % 2);
                let client = client.timeout(Duration::from_secs(60)).build().unwrap();
                let mut ids = Vec::new();
                while !stop.is_cancelled() {
                    let url = format!("http://{address}/api/v1/jobs");
                    let sent = client.post(url).json(&json!({ "kind": "echo" })).send().await;
                    let response = sent.unwrap_or_else(|error| panic!("refused: {error:?}"));
                    assert_eq!(response.status(), 202);
                    let job: Value = response.json().await.unwrap();
                    ids.push(job["id"].as_str().unwrap().to_owned());
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                ids
            });
        }
        Load { clients, acknowledged, stop }
    }

    /// Waits until the server has acknowledged this many more jobs.
    async fn more(&self, jobs: usize) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        eventually("acknowledged jobs", || async {
            (self.acknowledged.load(Ordering::Relaxed) >= before + jobs).then_some(())
        })
        .await;
    }

    /// Stops the clients, and asserts that the server has every job that was acknowledged.
    async fn finish(self, address: SocketAddr) {
        self.stop.cancel();
        let acknowledged: BTreeSet<String> =
            self.clients.join_all().await.into_iter().flatten().collect();
        let stored: BTreeSet<String> = Client::new(address).rows().await.into_keys().collect();
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(
            lost.is_empty(),
            "{} of {} jobs are lost: {lost:?}",
            lost.len(),
            acknowledged.len()
        );
        assert_eq!(acknowledged.len(), stored.len(), "and none was stored twice");
    }
}

async fn stop(mut server: Command) {
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0), "{:#?}", server.err.so_far());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_with_socket_activation_refuses_nobody_and_loses_nothing() {
    let dir = Dir::new();
    let config = dir.config("log.access = 'off'");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || launch(&dir, &config, vec![socket.try_clone().unwrap().into()], &[]);
    let mut server = start();
    let load = Load::start(address);
    for _ in 0..3 {
        load.more(100).await;
        // As `systemctl restart` does.
        stop(server).await;
        server = start();
    }
    load.more(100).await;
    load.finish(address).await;
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_place_refuses_nobody_and_loses_nothing() {
    let dir = Dir::new();
    let path = dir.data().with_file_name("http.sock");
    let config = dir.config(&format!(
        "log.access = 'off'\nlisten = ['127.0.0.1:0', 'unix:{}']",
        path.display()
    ));
    let server = launch(&dir, &config, Vec::new(), &[]);
    let listeners = listening(&server, 1, 2).await;
    let address = address_of(&listeners[0]);
    let load = Load::start(address);
    for nth in 2..5 {
        load.more(100).await;
        server.signal(Signal::SIGUSR2);
        // A Unix socket is passed on, too.
        UnixStream::connect(&path).await.unwrap();
        assert_eq!(listening(&server, nth, 2).await, listeners, "the free port stays the same");
        UnixStream::connect(&path).await.unwrap();
    }
    load.more(100).await;
    load.finish(address).await;
    stop(server).await;
    assert!(!path.exists(), "the last process removes the file of its socket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_obeys_the_current_configuration_and_a_stop_overrides_it() {
    let dir = Dir::new();
    let config = dir.config("listen = '127.0.0.1:0'\n[stop]\ngrace = '50s'");
    let server = launch(&dir, &config, Vec::new(), &[]);
    let first = listening(&server, 1, 1).await;
    dir.config("listen = ['127.0.0.1:0', 'http://127.0.0.1:0']\n[stop]\ngrace = '50s'");
    server.signal(Signal::SIGUSR2);
    eventually("the restart", || async { (server.out.so_far().len() >= 5).then_some(()) }).await;
    let now: Vec<_> =
        server.out.so_far()[2..4].iter().map(|line| line.replace("listening on ", "")).collect();
    assert_eq!(now[0], first[0]);
    let client = Client::new(address_of(&now[1]));
    let id = client.submit(&json!({ "kind": "sleep", "payload": { "ms": 600_000 } })).await;
    client.job_in(&id, "running").await;
    // The restart waits for the job; a stop ends the wait for a restart, and another one the grace period.
    server.signal(Signal::SIGUSR2);
    eventually("the second restart", || async {
        let log = server.err.so_far();
        let begun = log.iter().filter(|line| line.contains("restarting: new connections wait"));
        (begun.count() == 2).then_some(())
    })
    .await;
    server.signal(Signal::SIGTERM);
    assert!(server.err.line_with("not restarting").await.is_some());
    let refused = || async { tokio::net::TcpStream::connect(address_of(&now[0])).await.err() };
    eventually("closed listeners", refused).await;
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_continues_when_its_new_configuration_would_not_start() {
    let dir = Dir::new();
    let config = dir.config("listen = '127.0.0.1:0'");
    let server = launch(&dir, &config, Vec::new(), &[]);
    let first = listening(&server, 1, 1).await;
    let client = Client::new(address_of(&first[0]));
    for (wrong, why) in [
        ("listen = ", "cannot parse the configuration file"),
        ("listen = '127.0.0.1:0'\n[engine]\nlease = '1ms'", "engine.lease: must be at least 1s"),
        ("listen = '127.0.0.1:0'\n[commands.x]\nprogram = '/nowhere'", "commands.x.program: "),
        (
            "listen = '127.0.0.1:0'\n[schedules.x]\ncron = '@daily'\nkind = 'sleep'\n\
             payload = { ms = 'soon' }",
            "schedule x cannot be declared",
        ),
    ] {
        let before = server.err.so_far().len();
        dir.config(wrong);
        server.signal(Signal::SIGUSR2);
        let said = eventually("a refused restart", || async {
            let log = server.err.from(before).join("\n");
            (log.contains("not restarting") && log.contains(why)).then_some(log)
        })
        .await;
        assert!(!said.contains("stopped listening"), "{said}");
        client.rows().await;
    }
    dir.config("listen = '127.0.0.1:0'");
    server.signal(Signal::SIGUSR2);
    assert_eq!(listening(&server, 2, 1).await, first);
    stop(server).await;
}

#[tokio::test]
async fn a_configuration_can_be_checked_without_a_start() {
    let dir = Dir::new();
    let data = dir.data();
    let check = async |toml: &str| {
        let config = dir.config(toml);
        let data = data.to_str().unwrap();
        let mut check =
            Command::run(&["serve", "--check", "--config", &config, "--data-dir", data]);
        let code = check.exit().await.code();
        (code, check.out.so_far().join("\n"), check.err.so_far().join("\n"))
    };
    let (code, out, err) = check("[engine]\nlease = '30s'").await;
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "the configuration is valid", ""));
    let (code, out, err) = check("[engine]\nlease = '1ms'").await;
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("engine.lease: must be at least 1s"), "{err}");
    assert!(!data.exists(), "nothing was opened");
}

/// Another thread that closes a file with the number of a passed socket during the restart would close that socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_descriptors_of_passed_sockets_belong_to_nothing_else() {
    let dir = Dir::new();
    let config = dir.config("listen = ['127.0.0.1:0', 'http://127.0.0.1:0']");
    let server = launch(&dir, &config, Vec::new(), &[]);
    for start in 1..=2 {
        listening(&server, start, 2).await;
        for number in 3..5 {
            let file = std::fs::read_link(format!("/proc/{}/fd/{number}", server.id())).unwrap();
            assert_eq!(file.to_str(), Some("/dev/null"), "descriptor {number}, start {start}");
        }
        server.signal(Signal::SIGUSR2);
    }
    listening(&server, 3, 2).await;
    stop(server).await;
}
