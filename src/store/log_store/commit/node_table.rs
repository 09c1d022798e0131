//! What this node tells the other nodes of a shared log about itself, and what it has heard of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::store::log::NodeHeartbeat;
use crate::store::log_store::journal::nodes::NodeId;
use crate::store::{NodeFigures, NodeReport};

/// The nodes as of the last heartbeat of this one.
#[derive(Default)]
pub struct NodeTable {
    /// The figures of this node.
    figures: Mutex<NodeFigures>,
    /// What it says about its bulk runs, which changes at other times.
    bulk_runs: Mutex<serde_json::Value>,
    /// What the last heartbeat has shown, and when.
    heard: Mutex<Option<(Vec<NodeHeartbeat>, Instant)>>,
    /// Held while this node says that it is at work.
    turn: Mutex<HasSignedOff>,
}

/// Whether this node has signed off.
#[derive(Debug, Default)]
pub struct HasSignedOff(pub bool);

impl NodeTable {
    /// Sets the figures of this node.
    pub fn describe(&self, figures: NodeFigures) {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// Sets what this node says about its bulk runs.
    pub fn describe_bulk_runs(&self, runs: serde_json::Value) {
        *self.bulk_runs.lock().unwrap_or_else(PoisonError::into_inner) = runs;
    }

    /// The figures of this node.
    pub fn figures(&self) -> NodeFigures {
        let figures = self.figures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let bulk = self.bulk_runs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        NodeFigures { bulk, ..figures }
    }

    /// Waits for other heartbeats of this node, so that no older message follows a newer one, and none the last one.
    pub fn take_turn(&self) -> MutexGuard<'_, HasSignedOff> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what a heartbeat has shown.
    pub fn keep(&self, heard: Vec<NodeHeartbeat>) {
        let heard = Some((heard, Instant::now()));
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = heard;
    }

    /// The nodes by name, as the node `own` knows them. One that has been silent for as long as `silence` has ended.
    pub fn reports(&self, own: NodeId, silence: Duration) -> Vec<NodeReport> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((heard, at)) = heard else { return Vec::new() };
        let since = at.elapsed();
        let report = |node: NodeHeartbeat| NodeReport {
            session: node.node,
            is_own: node.node == own.0,
            is_silent: node.silent_for + since >= silence,
            silent_for: node.silent_for + since,
            // What a node of another version says can be unreadable here, and must not keep the others from being listed.
            figures: serde_json::from_str(&node.figures).unwrap_or_default(),
            name: node.name,
            version: node.version,
            started_at: node.started_at,
            seq: node.seq,
            lag: node.lag,
        };
        let mut reports: Vec<NodeReport> = heard.into_iter().map(report).collect();
        reports.sort_by(|one, two| (&one.name, one.session).cmp(&(&two.name, two.session)));
        reports
    }
}
