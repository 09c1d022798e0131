//! `GET /api/v1/nodes`: the nodes that share the store, as of the last heartbeat of this one.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::extract::NoQuery;
use crate::engine::{Disagreement, NodeReport};
use crate::http::view::{Displayed, millis};
use crate::http::{Api, Problem, json};
use crate::job::{Cursor, Time};

#[derive(Serialize)]
struct NodesView<'a> {
    nodes: Vec<NodeView<'a>>,
    /// The configurations that disagree, in sentences.
    disagreements: Vec<String>,
    cursor: Displayed<Cursor>,
}

#[derive(Serialize)]
struct NodeView<'a> {
    name: &'a str,
    version: &'a str,
    /// Whether it is the node that answers.
    own: bool,
    /// `active`, or `silent` when the others give back what it was running.
    state: &'static str,
    address: Option<&'a str>,
    started_at: Displayed<Time>,
    seen_at: Displayed<Time>,
    /// The number of the last event that it knew then.
    seq: u64,
    lag_ms: u64,
    running: u64,
    max_running: u64,
    subscribers: u64,
    workers: u64,
    /// The topics about which its configuration and that of the node that was started last disagree.
    disagrees: Vec<&'static str>,
}

/// Returns `{"nodes", "disagreements", "cursor"}`. Both lists are empty when only this server uses the store.
pub async fn list(State(api): State<Api>, _: NoQuery) -> Result<Response, Problem> {
    let (nodes, now) = (api.engine.nodes(), api.engine.now());
    let found = Disagreement::among(&nodes);
    let view = |node| NodeView::of(node, &found, now);
    Ok(json(&NodesView {
        nodes: nodes.iter().map(view).collect(),
        disagreements: found.iter().map(Disagreement::to_string).collect(),
        cursor: Displayed(api.engine.head()),
    }))
}

impl<'a> NodeView<'a> {
    fn of(node: &'a NodeReport, found: &[Disagreement], now: Time) -> Self {
        let figures = &node.figures;
        let own = found.iter().filter(|one| one.session == node.session);
        NodeView {
            name: &node.name,
            version: &node.version,
            own: node.is_own,
            state: node.state(),
            address: figures.address.as_deref(),
            started_at: Displayed(node.started_at),
            seen_at: Displayed(node.seen_at(now)),
            seq: node.seq,
            lag_ms: millis(node.lag),
            running: figures.running,
            max_running: figures.max_running,
            subscribers: figures.subscribers,
            workers: figures.workers,
            disagrees: own.map(|one| one.topic.as_str()).collect(),
        }
    }
}
