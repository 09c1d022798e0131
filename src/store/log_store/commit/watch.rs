//! Two threads beside the committer: one records how far the log is durable, one looks whether the log is still
//! there while nothing happens in the store.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::WeakSender;

use super::command::Command;
use super::shared::Shared;
use crate::logging::RetryLog;
use crate::supervise::{Failures, Part, pass};

/// How far the record may be behind the log. It is written off the hot path.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// The time between two checks of a store in which nothing happens: a missing directory is noticed within a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Starts the thread that records the head of the log; it ends when `end` loses its sender.
pub fn record_head(
    shared: Arc<Shared>,
    end: Receiver<()>,
    failures: &Failures,
) -> io::Result<JoinHandle<()>> {
    failures.thread(Part::HeadFile, move || {
        // The next pass is the next try.
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

/// Starts the thread that looks whether the log is still there; it ends when `end` loses its sender.
pub fn check_identity(
    shared: Arc<Shared>,
    commands: WeakSender<Command>,
    end: Receiver<()>,
    failures: &Failures,
) -> io::Result<JoinHandle<()>> {
    failures.thread(Part::DirWatch, move || {
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(CHECK_INTERVAL) {
            pass(Part::DirWatch);
            // During an outage the committer looks for itself.
            if shared.check().is_ok()
                && shared.log.check_identity().is_err()
                && let Some(commands) = commands.upgrade()
            {
                // The committer decides, so that an outage begins and ends in one place. When its channel is
                // full, it looks anyway, with its next group.
                let _full = commands.try_send(Command::Failed);
            }
        }
    })
}
