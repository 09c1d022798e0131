//! The nodes that share a store, on the pages of workers and of the system, and what these say about one node alone.

use super::*;
use crate::store::nodes::samples;

#[tokio::test]
async fn a_server_that_is_alone_shows_no_nodes_and_speaks_of_the_server() {
    let desk = Desk::open();
    for path in ["/workers", "/system"] {
        let page = desk.get(path).await;
        page.assert_lacks("id=\"nodes\"");
        page.assert_lacks("this node");
    }
    desk.get("/workers").await.assert_has("This server runs <span class=\"num\">0</span> jobs");
    desk.get("/queues").await.assert_has("The server runs up to");
}

#[tokio::test]
async fn every_node_is_a_row_on_the_pages_of_workers_and_of_the_system() {
    let desk = Desk::open();
    desk.store.set_nodes(samples::three());
    for path in ["/workers", "/system"] {
        let page = desk.get(path).await;
        page.assert_sound();
        assert_eq!(page.values("data-node"), ["web-1", "web-2", "web-3"]);
        for shown in [
            "<span class=\"kind\">web-1</span> <span class=\"pill active\">this node</span>",
            "cortado 1.2.3 · http://web-2:8080",
            "data-label=\"Running\">3<span class=\"of\"> of 1\u{202f}000</span>",
            "data-label=\"Subscribers\">21<",
            "data-label=\"Workers\">4<",
            "data-label=\"Heartbeat\">now<",
            "data-label=\"Lag\">2.5 s<",
            "<span class=\"pill lost\">silent</span>",
            ">90 s ago</time>",
            "The configurations of web-1 and web-2 have different limits of queues; those of web-2 apply, because it \
             was started last.",
        ] {
            page.assert_has(shown);
        }
        assert_eq!(page.text.matches("pill active\">this node").count(), 1);
    }
}

#[tokio::test]
async fn what_is_about_one_node_alone_says_so_when_there_are_several() {
    let desk = Desk::open();
    desk.store.set_nodes(samples::three());
    let system = desk.get("/system").await;
    for shown in [
        "Server <span class=\"hint\">this node</span>",
        "Execution <span class=\"hint\">this node</span>",
        "Active settings <span class=\"hint\">this node</span>",
        "<dt>Recorded starts (all nodes)</dt>",
        "<dt>Bytes written (this node)</dt>",
        "<dt>Subscribers (this node)</dt>",
        "<dt>Log head</dt>",
        "<dt>Disk usage</dt>",
    ] {
        system.assert_has(shown);
    }
    let workers = desk.get("/workers").await;
    workers.assert_has("This node runs <span class=\"num\">0</span> jobs");
    workers.assert_has("A worker that is silent here may be connected to another node.");
    workers.assert_has("of this node and its workers");
    desk.get("/queues").await.assert_has("This node runs up to");
    desk.get("/jobs/bulk").await.assert_has("the recent runs of all nodes");
}
