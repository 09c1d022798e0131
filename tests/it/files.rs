//! The limit of open files: the server raises it, or works within it where it cannot.

use nix::sys::signal::Signal::SIGTERM;
use serde_json::json;

use crate::support::{Dir, Server, Socket, many_files, within};

const CONFIG: &str = "[http]\nsubscribers_per_address = 1_000\n";

async fn limited(script: &str, dir: &Dir) -> Server {
    let config = dir.config(CONFIG);
    let process = Server::launch_by_shell(script, dir, &["--config", &config]);
    Server::unless_ended(process).await.unwrap_or_else(|_| panic!("no server after {script}"))
}

#[tokio::test]
async fn a_low_soft_limit_of_open_files_is_raised() {
    many_files();
    let dir = Dir::new();
    let server = limited("ulimit -S -n 256", &dir).await;
    assert!(within("the log", server.process.err.line_with("limit on open files")).await.is_some());
    let mut sockets = Vec::new();
    for _ in 0..400 {
        sockets.push(server.socket("").await);
    }
    let id = server.client.submit(&json!({ "kind": "echo" })).await;
    for socket in &mut sockets {
        socket.event(&id, "job.completed").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn within_a_low_hard_limit_of_open_files_jobs_and_pages_go_on_and_too_many_are_refused() {
    many_files();
    let dir = Dir::new();
    let mut server = limited("ulimit -n 256", &dir).await;
    let warned = server.process.err.line_with("limit on open files is too low");
    assert!(within("the log", warned).await.is_some());
    let mut sockets = Vec::new();
    while let Some(socket) = Socket::try_open(server.address, "").await {
        sockets.push(socket);
    }
    assert!((100..256).contains(&sockets.len()), "{}", sockets.len());
    let (status, body) =
        server.client.try_send(reqwest::Method::GET, "/api/v1/events?wait=1s", None).await.unwrap();
    assert_eq!(status, 503, "{body}");
    server.client.text("/").await;
    let program = json!({ "kind": "echo", "payload": "in a crowd" });
    let id = server.client.submit(&program).await;
    for socket in &mut sockets {
        socket.event(&id, "job.completed").await;
    }
    server.process.signal(SIGTERM);
    for socket in &mut sockets {
        assert_eq!(u16::from(socket.rest().await.2.code), 1001);
    }
    assert_eq!(server.process.exit().await.code(), Some(0));
    let log = server.process.err.so_far();
    assert!(!log.iter().any(|line| line.contains("ERROR")), "{log:#?}");
}
