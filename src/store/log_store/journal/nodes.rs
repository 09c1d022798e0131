//! What the nodes that share a log write into the journal besides the events, so that each of them can follow what the
//! others have changed. A log that is not shared contains none of this, unless it was moved from one that was: then it
//! means nothing.

use serde::{Deserialize, Serialize};

use crate::job::JobId;

/// One run of a process that writes to a shared log. The same machine gets a new one at each start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl NodeId {
    /// Stands for the process that has written a chunk which names no node. No node has this number.
    pub const NOBODY: NodeId = NodeId(0);
}

/// What a node tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeNote {
    /// The node that has written this chunk. Every chunk of a shared log begins with it. The attempts that start in the
    /// chunk are held by this node.
    WrittenBy(NodeId),
    /// The lease of a running job is held by this node from now on.
    Holds {
        /// The job.
        job: JobId,
        /// The node.
        node: NodeId,
    },
    /// A new job waits for the end of a delay and not for a time that somebody chose, so it moves with the clock of every
    /// node.
    Delayed(JobId),
    /// Rows besides the journal have changed with this group.
    Rows(ChangedRows),
    /// The chunks below this number were removed.
    Trimmed(u64),
}

/// Which rows have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRows {
    /// The description of the store and the headers of runs.
    pub archive: bool,
    /// Schedules.
    pub schedules: bool,
    /// Declared kinds.
    pub kinds: bool,
    /// Users, tokens, sessions and share links.
    pub access: bool,
}

impl ChangedRows {
    /// All of them.
    pub const ALL: ChangedRows =
        ChangedRows { archive: true, schedules: true, kinds: true, access: true };

    /// Whether any have changed.
    pub fn any(self) -> bool {
        self != ChangedRows::default()
    }

    /// Those that have changed by either.
    pub fn or(self, other: ChangedRows) -> ChangedRows {
        ChangedRows {
            archive: self.archive || other.archive,
            schedules: self.schedules || other.schedules,
            kinds: self.kinds || other.kinds,
            access: self.access || other.access,
        }
    }
}
