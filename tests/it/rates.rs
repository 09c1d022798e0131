//! How often a queue may start attempts, as the configuration says.

use serde_json::json;

use crate::support::{Dir, Server};

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
    // Another queue has no part in it.
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
    assert!(page.contains("Queue mail starts 2/1h at most, and has: the next at 2"), "{page}");
    let page = client.text("/queues/mail").await;
    assert!(page.contains("The configuration lets 2 in any 1 h begin"), "{page}");
    server.stop().await;
}
