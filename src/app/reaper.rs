//! Reaps orphaned processes. Processes that a command leaves behind become children of this process if it is the first
//! one of its container or a subreaper. No other code waits for such children, so they would remain zombies. The reaper
//! leaves alone children whose exit codes are awaited (`handlers::command::children`).

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::handlers::command::children::{ChildStatus, Sighting, child_status};
use crate::supervise::{Part, pass};

/// The wait before the reaper examines a child again that another task is about to reap.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// How often the reaper examines children when no signal arrives.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Reaps orphans until the process ends.
pub(super) struct Reaper {
    ended: Signal,
}

impl Reaper {
    /// Makes this process a subreaper and subscribes to SIGCHLD.
    ///
    /// # Errors
    /// The system does not allow it.
    pub fn install() -> std::io::Result<Reaper> {
        let ended = signal(SignalKind::child())?;
        set_child_subreaper(true)?;
        Ok(Reaper { ended })
    }

    pub async fn run(mut self) {
        loop {
            pass(Part::Reaper);
            reap().await;
            // Several ends may be merged into one signal; the next round sees all of them.
            let _ = timeout(POLL_INTERVAL, self.ended.recv()).await;
        }
    }
}

/// Reaps all ended children.
async fn reap() {
    let mut seen: Option<Sighting> = None;
    while let Some(pid) = ended() {
        match child_status(pid, seen.take()) {
            ChildStatus::Orphan => drop(waitpid(pid, Some(WaitPidFlag::WNOHANG))),
            // The system reports the same ended child first each time, and no others until it is reaped.
            ChildStatus::Owned => sleep(RETRY_DELAY).await,
            ChildStatus::Unknown(sighting) => {
                seen = Some(sighting);
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// A child that has ended and is not reaped yet.
fn ended() -> Option<Pid> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, flags) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => return Some(pid),
            Err(Errno::EINTR) => {}
            // The child was killed by a real-time signal, which `nix` cannot represent.
            Err(Errno::EINVAL) => return zombie(),
            Ok(_) | Err(_) => return None,
        }
    }
}

/// Finds an ended child in the process table.
fn zombie() -> Option<Pid> {
    let own = std::process::id().to_string();
    // The process table may belong to another namespace, with other process ids.
    if std::fs::read_link("/proc/self").ok()?.to_str() != Some(&own) {
        return None;
    }
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| is_zombie_of(*pid, &own)).map(Pid::from_raw)
}

fn is_zombie_of(pid: i32, parent: &str) -> bool {
    // `12 (name) Z 1 …`; the name may contain anything.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut words = rest.split(' ');
    words.next() == Some("Z") && words.next() == Some(parent)
}
