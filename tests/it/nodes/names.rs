//! The names of workers in other processes: none may be that of the worker in the process of a node, on whatever node it
//! connects.

use reqwest::Method;
use serde_json::json;

use super::{Nodes, eventually};
use crate::support::Client;

/// The status and the text of the answer to a claim under a name.
async fn claim(client: &Client, name: &str) -> (u16, String) {
    let body = json!({ "kinds": ["resize"], "wait_ms": 0 });
    let path = format!("/api/v1/workers/{name}/claim");
    client.try_send(Method::POST, &path, Some(&body)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_with_the_name_of_a_node_is_refused_by_all_nodes() {
    let cluster = Nodes::new(2).await;
    let config = cluster.dirs[1].config("[engine]\nworker = 'second'\n");
    let one = cluster.node(0).await;
    let two = cluster.node_with(1, &["--config", &config]).await;
    for (server, other) in [(&one, "second"), (&two, "node-0")] {
        let refused = eventually("the other node has told its name", || async {
            let answer = claim(&server.client, other).await;
            (answer.0 != 200).then_some(answer)
        });
        let (status, text) = refused.await;
        assert!(status == 400 && text.contains("in the process of the node"), "{text}");
        // The page and the API refuse a command to it for the same reason.
        let quiet = format!("/workers/{other}/quiet");
        let answer = server.client.try_send(Method::POST, &quiet, None).await.unwrap();
        assert!(answer.0 == 409 && answer.1.contains("This worker is a node itself"), "{answer:?}");
        // A node may have another name than its worker.
        assert_eq!(claim(&server.client, "node-1").await.0, 200);
    }
    assert_eq!(claim(&one.client, "node-0").await.0, 400);
    assert_eq!(claim(&two.client, "second").await.0, 400);
    two.stop().await;
    eventually("the name is free again", || async {
        (claim(&one.client, "second").await.0 == 200).then_some(())
    })
    .await;
    one.stop().await;
}
