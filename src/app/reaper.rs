//! Reaps orphans. What a command leaves behind when it ends becomes a child of this process, when that is the
//! first of its container or says that it takes such children. Nobody else waits for them, so that each would
//! stay a zombie. Children whose exit codes somebody waits for are left alone (`handlers::command::children`).

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

use crate::handlers::command::children::{Sighting, Whose, whose};
use crate::supervise::{Part, pass};

/// The wait before a child is looked at again that somebody else is about to reap.
const AGAIN: Duration = Duration::from_millis(10);
/// How long no signal may come before it is looked all the same.
const SILENCE: Duration = Duration::from_secs(5);

/// Reaps orphans for ever.
pub(super) struct Reaper {
    ended: Signal,
}

impl Reaper {
    /// Makes this process the parent of orphans, and listens for their ends.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn install() -> std::io::Result<Reaper> {
        let ended = signal(SignalKind::child())?;
        set_child_subreaper(true)?;
        Ok(Reaper { ended })
    }

    pub async fn run(mut self) {
        loop {
            pass(Part::Reaper);
            reap().await;
            // Many ends may be one signal; the next round sees all of them.
            let _ = timeout(SILENCE, self.ended.recv()).await;
        }
    }
}

/// Reaps until no child is left that has ended.
async fn reap() {
    let mut seen: Option<Sighting> = None;
    while let Some(pid) = ended() {
        match whose(pid, seen.take()) {
            Whose::Nobody => drop(waitpid(pid, Some(WaitPidFlag::WNOHANG))),
            // The system shows one that has ended, always the same: the others are behind it.
            Whose::Another => sleep(AGAIN).await,
            Whose::Unknown(sighting) => {
                seen = Some(sighting);
                sleep(AGAIN).await;
            }
        }
    }
}

/// A child that has ended and is not reaped, if there is one.
fn ended() -> Option<Pid> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::All, flags) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => return Some(pid),
            Err(Errno::EINTR) => {}
            // Ended by a real-time signal, which `nix` has no name for.
            Err(Errno::EINVAL) => return zombie(),
            Ok(_) | Err(_) => return None,
        }
    }
}

/// The same, found in the table of processes.
fn zombie() -> Option<Pid> {
    let own = std::process::id().to_string();
    // The table may be another namespace's, where numbers mean other processes.
    if std::fs::read_link("/proc/self").ok()?.to_str() != Some(&own) {
        return None;
    }
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| is_zombie_of(*pid, &own)).map(Pid::from_raw)
}

fn is_zombie_of(pid: i32, parent: &str) -> bool {
    // `12 (name) Z 1 …`; the name may hold anything.
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut words = rest.split(' ');
    words.next() == Some("Z") && words.next() == Some(parent)
}
