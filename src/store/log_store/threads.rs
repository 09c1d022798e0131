//! Opens a store in a log and starts its threads.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::commit;
use super::read::pool::ReadPool;
use super::{LogStore, MAX_QUEUED_COMMANDS, Opening, Tuning};
use crate::clock::Clock;
use crate::store::log::Log;
use crate::store::{StoreError, StoreLimits};
use crate::supervise::{Part, PartFailures};

impl LogStore {
    /// Opens the store in a log; to run jobs, it rescues those that the previous process was running. Blocks while it reads: call
    /// it before the runtime is busy.
    ///
    /// # Errors
    /// Says what cannot be read, and where. An unreadable store is left as it is.
    pub fn open(
        log: impl FnOnce() -> Result<Box<dyn Log>, StoreError>,
        limits: StoreLimits,
        clock: Arc<dyn Clock>,
        tuning: Tuning,
        opening: Opening,
    ) -> Result<Arc<LogStore>, StoreError> {
        let core = commit::open::open(log, limits, clock, tuning, opening)?;
        let (shared, node) = (core.shared.clone(), core.shared.node);
        let failures = PartFailures::default();
        let readers = ReadPool::new(&shared.limits, failures.clone());
        let (commands, receiver) = mpsc::channel(MAX_QUEUED_COMMANDS);
        let no_thread = |error: std::io::Error| StoreError::Unavailable(error.to_string());
        let (archiver, reading) =
            commit::archiver::Archiver::start(shared.clone(), commands.downgrade(), &failures)
                .map_err(no_thread)?;
        let writer = commit::writer::Writer::start(shared.clone(), commands.downgrade(), &failures)
            .map_err(no_thread)?;
        let (its, supervisor) = (shared.clone(), failures.clone());
        let committing = failures.thread(Part::Committer, move || {
            let body = || commit::committer::run(core, receiver, &archiver, writer);
            if !supervisor.run(Part::Committer, body) {
                its.close_with(StoreError::Closed); // no command will be answered any more
            }
        });
        let committing = committing.map_err(no_thread)?;
        let (open, end) = std::sync::mpsc::channel();
        let recording =
            commit::watch::record_head(shared.clone(), end, &failures).map_err(no_thread)?;
        let (present, end) = std::sync::mpsc::channel();
        let (watched, weak) = (shared.clone(), commands.downgrade());
        let watching = match (node, opening) {
            // Whoever only maintains a shared log is no node: it says nothing about itself, and follows the others when it
            // writes.
            (Some(_), Opening::ToMaintain) => None,
            (Some(node), Opening::ToRunJobs) => {
                Some(commit::watch::follow(watched, node, weak, end, &failures))
            }
            (None, Opening::ToRunJobs | Opening::ToMaintain) => {
                Some(commit::watch::check_identity(watched, weak, end, &failures))
            }
        };
        let watching = watching.transpose().map_err(no_thread)?;
        let threads = [Some(committing), Some(reading), Some(recording), watching];
        let threads = threads.into_iter().flatten().collect();
        let (commands, open) = (Some(commands), Some([open, present]));
        Ok(Arc::new(LogStore { shared, readers, commands, open, threads, failures }))
    }
}
