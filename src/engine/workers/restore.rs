//! What a server knows of remote workers when it starts: the leases that they hold in its store. So workers that have not
//! spoken yet are listed, can be told what to do and signed off, and their attempts are ended at their timeouts.

use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;

use super::remote::RemoteWorkers;
use super::remote_leases::RemoteLease;
use crate::job::{JobQuery, State};
use crate::store::{LeaseRef, StoreError};

/// How long the leases are read at most. A lease that was not read by then is known once its worker uses it.
const MAX_TIME: Duration = Duration::from_secs(10);

impl RemoteWorkers {
    /// Reads the leases of remote workers from the store.
    pub async fn restore_leases(&self) {
        self.table().leases.begin_restoring();
        match timeout(MAX_TIME, self.read_leases()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the leases of remote workers could not be read"),
            Err(_) => debug!("the leases of remote workers were not all read in time"),
        }
        self.table().leases.end_restoring();
    }

    async fn read_leases(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let query = JobQuery {
                states: vec![State::Running],
                limit: JobQuery::MAX_LIMIT,
                after,
                ..JobQuery::default()
            };
            let page = self.store.list(query).await?;
            let when = self.read_clocks();
            let mut table = self.table();
            for job in &page.jobs {
                let Some((token, holder)) = job.lease() else { continue };
                let Some(ttl) = holder.kept_for() else { continue };
                let lease = LeaseRef { job: job.id, token };
                if let Some(mut held) = RemoteLease::of(job, lease, self.default_timeout, when) {
                    held.until = when.at.after(ttl);
                    table.restore(held, ttl, when);
                }
            }
            drop(table);
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
