//! What the jobs and queues of the index were before a group, in case the group is taken back.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState as FastHash;

use super::entry::{Entry, HeldLease, LeasesByJob, Queue};
use crate::job::{JobId, QueueSettings};
use crate::store::claim_limits::ClaimLimits;

/// What the jobs and queues that a group has changed were before it.
#[derive(Default)]
pub struct IndexUndo {
    pub jobs: HashMap<JobId, JobBefore, FastHash>,
    pub queues: HashMap<u32, (QueueSettings, ClaimLimits), FastHash>,
}

/// A job before the group. One that did not exist has neither.
pub struct JobBefore {
    pub entry: Option<Entry>,
    pub lease: Option<HeldLease>,
}

impl IndexUndo {
    /// Keeps what a job is, unless the group has changed it before.
    pub fn remember_job(
        &mut self,
        id: JobId,
        entries: &BTreeMap<JobId, Entry>,
        leases: &LeasesByJob,
    ) {
        if let Slot::Vacant(slot) = self.jobs.entry(id) {
            let (entry, lease) = (entries.get(&id).cloned(), leases.get(&id).cloned());
            slot.insert(JobBefore { entry, lease });
        }
    }

    /// Keeps the settings and recent starts of a queue, unless the group has changed them before.
    pub fn remember_queue(&mut self, number: u32, queue: &Queue) {
        let before = || (queue.settings, queue.limits.clone());
        self.queues.entry(number).or_insert_with(before);
    }
}
