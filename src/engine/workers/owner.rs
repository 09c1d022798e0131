//! Who may use the name of a worker. A name belongs to those who connected it while it is connected or holds leases:
//! restricted credentials of somebody else cannot connect, claim, report or sign off with it.

use super::registration::WorkerCaller;
use super::remote::RemoteWorkers;
use super::table::WorkerTable;
use super::worker_error::WorkerError;
use crate::job::{Change, LeaseHolder, WorkerName};
use crate::store::StoreError;

/// Whose attempt a lease is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseHolderKind {
    /// It is of a worker in another process, which has credentials of its own.
    Worker,
    /// It is of this process, so that the lease is the credential of a callback. The attempt may have ended.
    Callback,
}

impl WorkerTable {
    /// Whether a caller may act as a worker. Without restrictions, everybody with the role may. After a restart, nobody is
    /// known to have connected a worker that has not spoken yet; it is then open to those who may claim all that it runs.
    pub fn may_use(&self, name: &WorkerName, caller: &WorkerCaller) -> bool {
        let Some(scope) = &caller.restriction else { return true };
        let worker = self.get(name).filter(|worker| !worker.is_silent || worker.held > 0);
        match worker.and_then(|worker| worker.by.as_ref()) {
            Some(owner) => caller.actor.as_ref() == Some(owner),
            None => self.leases.of_worker(name).all(|held| {
                scope.allows_job(&held.labels.queue, &held.labels.kind, held.lease.job)
            }),
        }
    }
}

impl RemoteWorkers {
    /// Refuses a report about leases whose workers the caller may not act as.
    pub fn check_leases<'a>(
        &self,
        texts: impl Iterator<Item = &'a str>,
        caller: &WorkerCaller,
    ) -> Result<(), WorkerError> {
        if caller.restriction.is_none() {
            return Ok(());
        }
        let leases: Vec<_> = texts.filter_map(|text| self.tokens.read(text)).collect();
        let table = self.table();
        for held in leases.into_iter().filter_map(|lease| table.leases.get(lease)) {
            if !table.may_use(&held.worker, caller) {
                return Err(WorkerError::OfAnother(held.worker.clone()));
            }
        }
        Ok(())
    }

    /// Whose attempt a text names as its lease; `None` if it is not a lease that this server has issued.
    pub async fn holder_of(&self, text: &str) -> Result<Option<LeaseHolderKind>, StoreError> {
        let Some(lease) = self.tokens.read(text) else { return Ok(None) };
        if self.callbacks.get(lease).is_some() {
            return Ok(Some(LeaseHolderKind::Callback));
        }
        if self.table().leases.get(lease).is_some() {
            return Ok(Some(LeaseHolderKind::Worker));
        }
        let job = self.store.get(lease.job).await?.0;
        let history = job.iter().flat_map(|job| job.history.iter());
        let is_remote = history.filter(|moment| moment.seq == lease.token).any(|moment| {
            matches!(moment.change, Change::Started { worker: LeaseHolder::Remote { .. } })
        });
        // Nothing is left of an attempt that is not stored any more, for anybody.
        Ok(Some(if is_remote { LeaseHolderKind::Worker } else { LeaseHolderKind::Callback }))
    }
}
