//! Leases that this process does not know, because it was restarted, are looked up in the store.

use std::collections::HashMap;
use std::time::Duration;

use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use super::updates::{WorkerNote, WorkerSettle};
use crate::job::{Job, JobId};
use crate::store::{LeaseRef, StoreError};

/// How many leases are looked up at once, because their records are read with the payloads.
const LEASES_PER_READ: usize = 256;

impl RemoteWorkers {
    /// The lease, if it is held. A lease that this process does not know is looked up in the store.
    pub async fn find(&self, lease: LeaseRef) -> Result<Option<RemoteLease>, StoreError> {
        if let Some(held) = self.table().leases.get(lease) {
            return Ok(Some(held.clone()));
        }
        let Some(job) = self.store.get(lease.job).await?.0 else { return Ok(None) };
        let held = RemoteLease::of(&job, lease, self.default_timeout, self.read_clocks());
        if let Some(held) = &held {
            self.table().take(held.clone());
            self.deadline_changed.notify_one();
        }
        Ok(held)
    }

    /// Looks up the leases of a report that this process does not know, as after a restart, and are held.
    pub async fn learn_named(
        &self,
        notes: &[WorkerNote],
        settles: &[WorkerSettle],
    ) -> Result<(), StoreError> {
        let notes = notes.iter().map(|note| &note.lease);
        let texts = notes.chain(settles.iter().map(|settle| &settle.lease));
        let named: Vec<LeaseRef> = texts.filter_map(|text| self.tokens.read(text)).collect();
        let unknown: Vec<LeaseRef> = {
            let table = self.table();
            named.into_iter().filter(|lease| table.leases.get(*lease).is_none()).collect()
        };
        // A single one is looked up when it is needed.
        if unknown.len() > 1 { self.learn(&unknown).await } else { Ok(()) }
    }

    /// Adds those of these leases to the table that are held.
    pub async fn learn(&self, leases: &[LeaseRef]) -> Result<(), StoreError> {
        for some in leases.chunks(LEASES_PER_READ) {
            let jobs = self.store.running(some.iter().map(|lease| lease.job).collect()).await?;
            let (by_job, when): (HashMap<JobId, Job>, _) =
                (jobs.into_iter().map(|job| (job.id, job)).collect(), self.read_clocks());
            let held = some.iter().filter_map(|lease| {
                RemoteLease::of(by_job.get(&lease.job)?, *lease, self.default_timeout, when)
            });
            let mut table = self.table();
            held.for_each(|held| table.take(held));
            drop(table);
            self.deadline_changed.notify_one();
        }
        Ok(())
    }

    /// Extends all leases so that they last through a stop with this grace period: workers may not reach the server
    /// meanwhile. The next process keeps them for their usual time.
    pub async fn keep_through_stop(&self, grace: Duration) -> Result<(), StoreError> {
        let now = self.clock.now();
        let (leases, longest) = {
            let table = self.table();
            let longest = table.leases.all().map(|held| held.until.since(now)).max();
            let leases: Vec<LeaseRef> = table.leases.all().map(|held| held.lease).collect();
            (leases, longest.unwrap_or_default())
        };
        if !leases.is_empty() {
            self.store.extend(leases, longest + grace).await?;
        }
        Ok(())
    }
}
