//! The heartbeats of this node on a shared log, and what it knows of the others by them.

use super::shared::Shared;
use crate::store::log::{NodeHeartbeat, NodeMessage};
use crate::store::log_store::journal::nodes::NodeId;
use crate::store::{NodeReport, StoreError};

impl Shared {
    /// Says that this node is at work, and what it does. Returns all nodes.
    pub fn heartbeat(&self, node: NodeId) -> Result<Vec<NodeHeartbeat>, StoreError> {
        let turn = self.nodes.take_turn();
        if turn.0 {
            return Err(StoreError::Closed); // or else the others would miss a node that has ended
        }
        let mut figures = self.nodes.figures();
        figures.set_digests_of(&self.limits);
        let figures = serde_json::to_string(&figures);
        let figures = figures.map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let heard = self.log.heartbeat(NodeMessage {
            node: node.0,
            reads_snapshot: self.pins.any(),
            seq: self.head().seq,
            next_chunk: self.next_chunk(),
            figures,
        })?;
        self.nodes.keep(heard.clone());
        Ok(heard)
    }

    /// The nodes by name, as of the last heartbeat; none where the log is not shared.
    pub fn node_reports(&self) -> Vec<NodeReport> {
        self.node.map_or_else(Vec::new, |own| self.nodes.reports(own, self.tuning.node_silence))
    }
}
