//! Two threads beside the committer: one records how far the log is durable, and one watches the log. It checks that a
//! log of one process still exists while nothing happens in the store. Of a shared log it notices what other nodes
//! append, and which nodes are at work.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::WeakSender;

use super::command::Command;
use super::shared::Shared;
use crate::logging::RetryLog;
use crate::store::log_store::journal::nodes::NodeId;
use crate::supervise::{Part, PartFailures, pass};

/// How far the record may be behind the log. It is written off the hot path.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// The time between two checks of a store in which nothing happens: a missing directory is noticed within a second.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The longest time that an appended chunk can go unnoticed when the log cannot tell at once.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// The shortest time between two reads for the sake of following. Chunks that come in quick succession are read together.
const READ_INTERVAL: Duration = Duration::from_millis(10);

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
    failures.thread(Part::LogWatch, move || {
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(CHECK_INTERVAL) {
            pass(Part::LogWatch);
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

/// Starts the thread that notices what other nodes append, and that says regularly that this node is at work; it ends
/// when `end` loses its sender.
pub fn follow(
    shared: Arc<Shared>,
    node: NodeId,
    commands: WeakSender<Command>,
    end: Receiver<()>,
    failures: &PartFailures,
) -> io::Result<JoinHandle<()>> {
    failures.thread(Part::LogWatch, move || {
        let mut sent_at: Option<Instant> = None;
        // Since when this node has reached the log without an interruption.
        let mut reached_since: Option<Instant> = None;
        let mut pause = Duration::ZERO;
        while let Err(RecvTimeoutError::Timeout) = end.recv_timeout(pause) {
            pass(Part::LogWatch);
            if shared.check().is_err() {
                reached_since = None;
                pause = CHECK_INTERVAL; // during an outage the committer tries to reach the log
                continue;
            }
            let reached_since = *reached_since.get_or_insert_with(Instant::now);
            let next = shared.next_chunk();
            pause = Duration::ZERO;
            let is_due = |last: Instant| last.elapsed() >= shared.tuning.node_heartbeat;
            let noticed = if sent_at.is_none_or(is_due) {
                sent_at = Some(Instant::now());
                shared.heartbeat(node).map(|mut nodes| {
                    if reached_since.elapsed() < shared.tuning.node_silence {
                        // An outage of the log silences all nodes, and none of them has ended.
                        nodes.iter_mut().for_each(|node| node.silent_for = Duration::ZERO);
                    }
                    Some(Command::Nodes(nodes))
                })
            } else {
                shared.log.wait_for_chunk(next, FOLLOW_INTERVAL).map(|is_there| {
                    pause = if is_there { READ_INTERVAL } else { pause };
                    is_there.then_some(Command::Follow(next))
                })
            };
            let Some(commands) = commands.upgrade() else { return };
            let command = noticed.unwrap_or_else(|_| {
                pause = CHECK_INTERVAL;
                Some(Command::Failed)
            });
            if let Some(command) = command {
                // If the channel is full, the committer reads on anyway when it cannot append.
                let _full = commands.try_send(command);
            }
        }
    })
}
