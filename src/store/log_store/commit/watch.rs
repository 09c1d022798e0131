//! Two threads beside the committer: one records how far the log is durable, and one checks that the log still exists
//! while nothing happens in the store.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::WeakSender;

use super::command::Command;
use super::shared::Shared;
use crate::logging::RetryLog;
use crate::supervise::{Part, PartFailures, pass};

/// How far the record may be behind the log. It is written off the hot path.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// The time between two checks of a store in which nothing happens: a missing directory is noticed within a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Starts the thread that records the head of the log; it ends when `end` loses its sender.
pub fn record_head(
    shared: Arc<Shared>,
    end: Receiver<()>,
    failures: &PartFailures,
) -> io::Result<JoinHandle<()>> {
    failures.thread(Part::HeadFile, move || {
        // A failed write is repeated in the next round.
        let mut retry = RetryLog::new("writing the head file", RECORD_INTERVAL, RECORD_INTERVAL);
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(RECORD_INTERVAL) {
            pass(Part::HeadFile);
            if shared.check().is_err() {
                continue; // what was durable before stays recorded
            }
            match shared.log.record_head(shared.head()) {
                Ok(()) => retry.worked(),
                Err(error) => {
                    retry.failed(&error);
                }
            }
        }
    })
}

/// Starts the thread that checks that the log still exists; it ends when `end` loses its sender.
pub fn check_identity(
    shared: Arc<Shared>,
    commands: WeakSender<Command>,
    end: Receiver<()>,
    failures: &PartFailures,
) -> io::Result<JoinHandle<()>> {
    failures.thread(Part::DirWatch, move || {
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(CHECK_INTERVAL) {
            pass(Part::DirWatch);
            // During an outage the committer checks by itself.
            if shared.check().is_ok()
                && shared.log.check_identity().is_err()
                && let Some(commands) = commands.upgrade()
            {
                // The committer starts the outage, so that outages begin and end in one place. If its channel is full, it
                // will check anyway with its next group.
                let _full = commands.try_send(Command::Failed);
            }
        }
    })
}
