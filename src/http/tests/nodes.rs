//! The list of the nodes that share a store.

use serde_json::json;

use super::support::{Server, Setup, store_with};
use crate::store::StoreLimits;
use crate::store::nodes::samples;

#[tokio::test]
async fn a_server_that_is_alone_lists_no_nodes() {
    let server = Server::start().await;
    let answer = server.get("/api/v1/nodes").await.json();
    assert_eq!((&answer["nodes"], &answer["disagreements"]), (&json!([]), &json!([])));
    assert!(answer["cursor"].is_string(), "{answer}");
    server.get("/api/v1/nodes?limit=1").await.is_problem(400, "invalid_parameter");
    server.stop().await;
}

#[tokio::test]
async fn nodes_are_listed_with_what_they_do_and_what_their_configurations_disagree_about() {
    let store = store_with(StoreLimits::default());
    store.set_nodes(samples::three());
    let server = Server::with(Setup { store, ..Setup::default() }).await;
    let answer = server.get("/api/v1/nodes").await.json();
    let nodes = answer["nodes"].as_array().unwrap();
    let of = |key: &str| nodes.iter().map(|node| node[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["web-1", "web-2", "web-3"]);
    assert_eq!(of("own"), [true, false, false]);
    assert_eq!(of("state"), ["active", "active", "silent"]);
    assert_eq!(of("lag_ms"), [0, 2_500, 0]);
    assert_eq!(of("disagrees"), [json!(["queues"]), json!([]), json!([])]);
    let first = &nodes[0];
    for (key, value) in [
        ("version", json!("1.2.3")),
        ("address", json!("http://web-1:8080")),
        ("started_at", json!("1970-01-01T00:00:01.000Z")),
        ("seq", json!(17)),
        ("running", json!(3)),
        ("max_running", json!(1_000)),
        ("subscribers", json!(21)),
        ("workers", json!(4)),
    ] {
        assert_eq!(first[key], value, "{key}");
    }
    assert!(first["seen_at"].as_str() > nodes[2]["seen_at"].as_str(), "{answer}");
    let text = answer["disagreements"][0].as_str().unwrap();
    assert!(text.contains("web-1 and web-2 have different limits of queues"), "{text}");
    server.stop().await;
}

/// Whether a job can run is answered for all nodes.
#[tokio::test]
async fn a_kind_that_only_another_node_runs_has_a_worker() {
    let store = store_with(StoreLimits::default());
    let server = Server::with(Setup { store: store.clone(), ..Setup::default() }).await;
    let json = [("content-type", "application/json")];
    assert_eq!(server.send("PUT", "/api/v1/kinds/resize", &json, "{}").await.status, 200);
    let job = server.post("/api/v1/jobs", r#"{"kind":"resize"}"#).await.json();
    let why = async || {
        let path = format!("/api/v1/jobs/{}", job["id"].as_str().unwrap());
        server.get(&path).await.json()["why"]["code"].clone()
    };
    assert_eq!(why().await, "no_worker");
    let mut nodes = samples::three();
    nodes[1].figures.kinds = Some([crate::job::Kind::parse("resize").unwrap()].into());
    nodes[0].figures.kinds = Some(Default::default());
    store.set_nodes(nodes.clone());
    assert_eq!(why().await, "waits");
    nodes[1].is_silent = true;
    store.set_nodes(nodes);
    assert_eq!(why().await, "no_worker");
    server.stop().await;
}
