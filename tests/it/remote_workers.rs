//! Workers in other processes against the real server: their leases survive its death, and a service that is only called
//! reports through its callback.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::process::lasting_address;
use crate::support::{Dir, Server, within};

async fn claim(server: &Server, more: Value) -> Value {
    let mut body = json!({"kinds": ["resize"], "wait_ms": 20000});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.client.post("/api/v1/workers/web-1/claim", Some(&body)).await
}

#[tokio::test]
async fn a_lease_survives_the_death_of_the_server() {
    let (dir, address) = (Dir::new(), lasting_address());
    let server = Server::start_on(address, &dir.data(), &[]).await;
    // The worker announces its kind, so that jobs of it can be submitted.
    claim(&server, json!({"wait_ms": 0})).await;
    let id = server.client.submit(&json!({"kind": "resize", "payload": {"width": 640}})).await;
    let claimed = claim(&server, json!({})).await;
    let lease = claimed["leases"][0]["lease"].as_str().unwrap().to_owned();
    assert_eq!(claimed["leases"][0]["job"]["id"], json!(id));
    server.kill().await;
    let server = Server::start_on(address, &dir.data(), &[]).await;
    assert_eq!(server.client.job(&id).await["state"], "running");
    let extended = server.client.post("/api/v1/leases", Some(&json!({"extend": [lease]}))).await;
    assert_eq!(extended["extend"][0]["status"], "kept");
    let end = json!({"settle": [{"lease": lease, "outcome": "done", "result": 7}]});
    for _ in 0..2 {
        let settled = server.client.post("/api/v1/leases", Some(&end)).await;
        assert_eq!(settled["settle"][0]["state"], "completed");
    }
    let job = server.client.job(&id).await;
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job}");
    server.stop().await;
}

/// Reads one request, and answers it with 202.
async fn accept(mut stream: TcpStream) -> String {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut bytes = [0; 1_024];
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "the request ended early");
        head.extend_from_slice(&bytes[..count]);
    }
    stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_service_that_accepts_a_job_settles_it_through_its_callback() {
    let (dir, address) = (Dir::new(), lasting_address());
    let config = dir.config(&format!(
        "base_url = 'http://{address}'\n[handlers.http]\nallow = ['127.0.0.1/32']\n"
    ));
    let args = ["--config", &config, "--log", "debug"];
    let server = Server::start_on(address, &dir.data(), &args).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let id = server.client.submit(&json!({"kind": "http", "payload": {"url": url}})).await;
    let request =
        within("a request", async { accept(listener.accept().await.unwrap().0).await }).await;
    let callback =
        request.lines().find_map(|line| line.strip_prefix("cortado-callback: ")).unwrap();
    let path = callback.strip_prefix(&format!("http://{address}")).unwrap();
    let asked = server.client.post(path, Some(&json!({"extend": true}))).await;
    assert_eq!(asked, json!({"extend": "kept"}));
    assert_eq!(server.client.job(&id).await["state"], "running");
    let end = json!({"settle": {"outcome": "done", "result": {"bytes": 5120}}});
    let settled = server.client.post(path, Some(&end)).await;
    assert_eq!(settled, json!({"settle": {"status": "settled", "state": "completed"}}));
    assert_eq!(server.client.job(&id).await["result"], json!({"bytes": 5120}));
    let logs = server.stop().await;
    let lease = path.strip_prefix("/api/v1/leases/").unwrap();
    assert!(logs.iter().any(|line| line.contains("/api/v1/leases/(not shown)")), "{logs:#?}");
    for line in &logs {
        assert!(!line.contains(lease), "a lease in the log: {line}");
    }
}

#[tokio::test]
async fn the_leases_of_workers_are_kept_while_the_server_stops() {
    let (dir, address) = (Dir::new(), lasting_address());
    let server = Server::start_on(address, &dir.data(), &[]).await;
    claim(&server, json!({"wait_ms": 0})).await;
    let slow = server.client.submit(&json!({"kind": "sleep", "payload": {"ms": 8_000}})).await;
    server.client.job_in(&slow, "running").await;
    let id = server.client.submit(&json!({"kind": "resize", "payload": {"width": 640}})).await;
    // The lease is shorter than the stop, which waits for the other job.
    let claimed = claim(&server, json!({"lease_ms": 3000})).await;
    let lease = claimed["leases"][0]["lease"].as_str().unwrap().to_owned();
    server.stop().await;
    let server = Server::start_on(address, &dir.data(), &[]).await;
    assert_eq!(server.client.job(&slow).await["state"], "completed");
    let end = json!({"settle": [{"lease": lease, "outcome": "done"}]});
    let settled = server.client.post("/api/v1/leases", Some(&end)).await;
    assert_eq!(settled["settle"][0]["state"], "completed", "{settled}");
    let job = server.client.job(&id).await;
    assert_eq!(job["attempts"].as_array().unwrap().len(), 1, "{job}");
    server.stop().await;
}
