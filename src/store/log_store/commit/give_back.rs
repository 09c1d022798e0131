//! Gives back what a node was running that has ended or is silent: the attempts in its process are lost, and the leases
//! of remote workers that it held move to this node.

use std::collections::BTreeSet;

use super::core::Core;
use super::entry::{HeldLease, LeaseKeeper};
use super::group::CommitGroup;
use crate::job::{Interruption, JobId};
use crate::store::StoreError;
use crate::store::log::{Mark, NodeHeartbeat};
use crate::store::log_store::journal::nodes::NodeId;

impl Core {
    /// Says that this node has ended, so that the others need not wait until it has been silent for long.
    pub fn sign_off(&self) -> Result<(), StoreError> {
        let Some(node) = self.shared.node else { return Ok(()) };
        let mut turn = self.shared.nodes.take_turn();
        turn.0 = true;
        self.shared.log.sign_off(node.0)
    }

    /// Whether another node reads a snapshot, so that nothing may be removed. A node says so before it captures the state,
    /// so whoever captured an older one is among those that are asked here.
    pub fn others_read_snapshots(&self) -> Result<bool, StoreError> {
        let Some(node) = self.shared.node else { return Ok(false) };
        let silence = self.shared.tuning.node_silence;
        let reads = |heartbeat: &NodeHeartbeat| {
            heartbeat.node != node.0 && heartbeat.reads_snapshot && heartbeat.silent_for < silence
        };
        Ok(self.shared.heartbeat(node)?.iter().any(reads))
    }

    /// The other nodes that hold leases although they have ended or are silent.
    pub fn gone_nodes(&self, heartbeats: &[NodeHeartbeat]) -> Vec<NodeId> {
        let silence = self.shared.tuning.node_silence;
        let is_at_work = |node: NodeId| {
            heartbeats
                .iter()
                .any(|heartbeat| heartbeat.node == node.0 && heartbeat.silent_for < silence)
        };
        let holders = self.index.leases.values().filter_map(|held| match held.keeper {
            LeaseKeeper::Node(node) => Some(node),
            LeaseKeeper::Here(_) => None,
        });
        let holders: BTreeSet<NodeId> = holders.collect();
        holders
            .into_iter()
            .filter(|node| Some(*node) != self.shared.node && !is_at_work(*node))
            .collect()
    }
}

impl CommitGroup<'_> {
    /// Gives back everything that these nodes hold, in one group.
    pub fn give_back(&mut self, nodes: &[NodeId]) -> Result<(), StoreError> {
        let leases = self.core.index.leases.iter();
        let mut held: Vec<(JobId, HeldLease)> = leases
            .filter(|(_, held)| matches!(held.keeper, LeaseKeeper::Node(n) if nodes.contains(&n)))
            .map(|(id, held)| (*id, held.clone()))
            .collect();
        held.sort_unstable_by_key(|(id, _)| *id);
        for (id, lease) in held {
            let Some(ttl) = lease.kept_for else {
                self.writes.mark(Mark::Rescue);
                self.rescue(id, Interruption::Crash)?;
                continue;
            };
            let keeper = LeaseKeeper::Here(self.steady.after(ttl));
            self.note_holder(id, keeper)?;
            self.core.index.put_lease(id, HeldLease { keeper, ..lease });
            self.core.expect_tick(self.now.after(ttl));
        }
        Ok(())
    }
}
