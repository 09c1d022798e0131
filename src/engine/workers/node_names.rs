//! The names of the workers in the processes of the nodes. No worker in another process may have one of them on any node,
//! because commands and lists name workers, and a worker can be connected to any node.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use super::worker_error::WorkerError;
use crate::job::WorkerName;
use crate::store::NodeReport;

/// The names, which workers in other processes may not have.
pub struct NodeNames {
    /// That of this process.
    own: WorkerName,
    /// Those of the other nodes, each with the name of its node, as of the last heartbeats.
    others: RwLock<BTreeMap<String, String>>,
}

impl NodeNames {
    /// The names while no other node is known.
    pub fn new(own: WorkerName) -> NodeNames {
        NodeNames { own, others: RwLock::default() }
    }

    /// Takes note of the nodes that are known now.
    pub fn hear(&self, nodes: &[NodeReport]) {
        let others = nodes.iter().filter(|node| !node.is_own);
        let names =
            others.filter_map(|node| Some((node.figures.worker.clone()?, node.name.clone())));
        let names: BTreeMap<String, String> = names.collect();
        *self.others.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Refuses a name that the worker in the process of a node has.
    ///
    /// # Errors
    /// It is one of them.
    pub fn check(&self, worker: &WorkerName) -> Result<(), WorkerError> {
        if *worker == self.own {
            return Err(WorkerError::OwnName(worker.clone()));
        }
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        match others.get(worker.as_str()) {
            Some(node) => Err(WorkerError::NameOfNode(worker.clone(), node.clone())),
            None => Ok(()),
        }
    }
}
