//! The loop that revokes the share links to jobs that are gone. Such a link opens nothing more, so without the loop only
//! what it has opened before would stay open.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::stream::batch::Batch;
use crate::access::{AccessCommand, AccessTable, ShareLink};
use crate::job::{AccessChange, AccessSubject, Change, Event, Fact, JobId, LinkId, LinkSubject};
use crate::logging::RetryLog;
use crate::store::{AccessError, Store, StoreError};
use crate::supervise::{Part, pass};

/// How often some links are looked at: a job that is removed at the end of its retention has no event.
const SWEEP: Duration = Duration::from_secs(1);
/// The most links that one sweep looks at. Each is a read of its job.
const MAX_SWEPT: usize = 32;
/// The longest wait after the store has failed.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The loop.
pub(super) struct LinkKeeper {
    pub store: Arc<dyn Store>,
    pub table: watch::Receiver<Arc<AccessTable>>,
}

impl LinkKeeper {
    /// Runs until the channel of events ends or the store is closed.
    pub async fn run(self, mut live: Receiver<Arc<Batch>>) {
        let mut retry = RetryLog::new("revoking links to deleted jobs", SWEEP, LONGEST_WAIT);
        let mut sweep_at = Instant::now();
        let mut swept = None;
        loop {
            pass(Part::LinkKeeper);
            let links = tokio::select! {
                batch = live.recv() => match batch {
                    Ok(batch) => self.links_of(&batch.events),
                    Err(RecvError::Lagged(_)) => continue, // the next sweeps find them
                    Err(RecvError::Closed) => return,
                },
                () = sleep_until(sweep_at) => {
                    sweep_at = Instant::now() + SWEEP;
                    self.next_links(&mut swept)
                }
            };
            match self.revoke_dead(links).await {
                // Without a write, nothing shows that the store works again.
                Ok(0) => {}
                Ok(_) => retry.worked(),
                Err(StoreError::Closed) => return,
                Err(error) => sweep_at = Instant::now() + retry.failed(&error),
            }
        }
    }

    /// The links to jobs that were deleted, and those that were added, perhaps after their job was deleted.
    fn links_of(&self, events: &[Event]) -> Vec<Arc<ShareLink>> {
        let table = self.table.borrow().clone();
        if table.links().next().is_none() {
            return Vec::new();
        }
        let jobs: HashSet<JobId> = events.iter().filter_map(job_to_look_for).collect();
        if jobs.is_empty() {
            return Vec::new();
        }
        let is_of_them = |link: &&Arc<ShareLink>| job_of(link).is_some_and(|id| jobs.contains(&id));
        table.links().filter(is_of_them).cloned().collect()
    }

    /// The links after those of the last sweep; at the end it begins again.
    fn next_links(&self, last: &mut Option<LinkId>) -> Vec<Arc<ShareLink>> {
        let table = self.table.borrow().clone();
        let later = |link: &&Arc<ShareLink>| last.as_ref().is_none_or(|last| link.id > *last);
        let of_jobs = table.links().filter(|link| job_of(link).is_some());
        let next: Vec<_> = of_jobs.filter(later).take(MAX_SWEPT).cloned().collect();
        let is_full = next.len() == MAX_SWEPT;
        *last = next.last().filter(|_| is_full).map(|link| link.id.clone());
        next
    }

    /// Revokes those of the links whose jobs are gone. Returns how many.
    async fn revoke_dead(&self, links: Vec<Arc<ShareLink>>) -> Result<usize, StoreError> {
        let mut count = 0;
        for link in links {
            let Some(id) = job_of(&link) else { continue };
            if self.store.get(id).await?.0.is_some() {
                continue;
            }
            let revoked = self.store.access(AccessCommand::RevokeLink(link.id.clone()), None).await;
            match revoked {
                Ok(_) => count += 1,
                // Somebody else has revoked it meanwhile.
                Err(AccessError::Refused(_)) => {}
                Err(AccessError::Store(error)) => return Err(error),
            }
        }
        Ok(count)
    }
}

fn job_of(link: &ShareLink) -> Option<JobId> {
    match &link.subject {
        LinkSubject::Job(id) => Some(*id),
        LinkSubject::Queue(_) => None,
    }
}

/// The job after whose event the links to it are looked at.
fn job_to_look_for(event: &Event) -> Option<JobId> {
    match &event.fact {
        Fact::Job { id, change: Change::Deleted, .. } => Some(*id),
        Fact::Access {
            subject: AccessSubject::Link { to: LinkSubject::Job(id), .. },
            change: AccessChange::LinkAdded { .. },
        } => Some(*id),
        Fact::Job { .. }
        | Fact::Access { .. }
        | Fact::Queue { .. }
        | Fact::Schedule { .. }
        | Fact::Kind { .. }
        | Fact::Worker { .. } => None,
    }
}
