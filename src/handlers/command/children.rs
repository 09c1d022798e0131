//! The processes whose exit codes are awaited: those that this kind has started, and the check before a restart, so that the reaper of orphans
//! (`src/app/reaper.rs`) leaves them alone. The register is global, as children belong to the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

static CHILDREN: LazyLock<Mutex<Children>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Children {
    /// The number of starts so far.
    starts: u64,
    /// Starts in progress: their child may exist already without being registered.
    starting: BTreeSet<u64>,
    owned: BTreeMap<i32, Care>,
}

#[derive(Clone, Copy, PartialEq)]
enum Care {
    /// A handler waits for its exit code.
    Handler,
    /// Its handler is gone, and the runtime reaps it.
    Runtime,
}

fn children() -> MutexGuard<'static, Children> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A start in progress. While it exists, no unregistered child is taken for an orphan.
pub struct StartingProcess(u64);

impl StartingProcess {
    pub fn begin() -> StartingProcess {
        let mut children = children();
        children.starts += 1;
        let number = children.starts;
        children.starting.insert(number);
        StartingProcess(number)
    }

    /// Registers the started child.
    pub fn done(self, pid: Option<u32>) -> Owned {
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            children().owned.insert(pid, Care::Handler);
        }
        Owned { pid }
    }
}

impl Drop for StartingProcess {
    fn drop(&mut self) {
        children().starting.remove(&self.0);
    }
}

/// A child whose exit code a handler waits for.
pub struct Owned {
    pid: Option<i32>,
}

impl Owned {
    /// Removes the child after it was reaped, because its id may be reused from now on.
    pub fn reaped(&mut self) {
        if let Some(pid) = self.pid.take() {
            children().owned.remove(&pid);
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            children().owned.insert(pid, Care::Runtime);
        }
    }
}

/// An unregistered process that has ended, and the number of starts when it was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    pid: i32,
    starts: u64,
}

/// What the reaper may do with a child that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildStatus {
    /// It is an orphan and can be reaped.
    Orphan,
    /// Somebody else is about to reap it.
    Owned,
    /// It may belong to a start in progress and has to be examined again.
    Unknown(Sighting),
}

/// Decides whose child an ended process is; `before` is what the previous look at it found.
pub fn child_status(pid: Pid, before: Option<Sighting>) -> ChildStatus {
    let mut children = children();
    children.forget_reaped(pid.as_raw());
    if children.owned.contains_key(&pid.as_raw()) {
        return ChildStatus::Owned;
    }
    let before = before.filter(|before| before.pid == pid.as_raw());
    let sighting = before.unwrap_or(Sighting { pid: pid.as_raw(), starts: children.starts });
    // A start that began later cannot have created a process that had ended before.
    match children.starting.first() {
        Some(earliest) if *earliest <= sighting.starts => ChildStatus::Unknown(sighting),
        Some(_) | None => ChildStatus::Orphan,
    }
}

impl Children {
    /// Removes children that the runtime has reaped, except the one that is known to exist.
    fn forget_reaped(&mut self, but: i32) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.owned.retain(|pid, care| {
            *care == Care::Handler
                || *pid == but
                || waitid(Id::Pid(Pid::from_raw(*pid)), flags) != Err(Errno::ECHILD)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_start_can_have_made_is_nobodys() {
        // Numbers that no process has: the limit of Linux is 2^22.
        let pid = |n: i32| Pid::from_raw(0x5000_0000 + n);
        let start = StartingProcess::begin();
        let ChildStatus::Unknown(seen) = child_status(pid(1), None) else {
            panic!("it may be the start's")
        };
        let later = StartingProcess::begin();
        assert_eq!(child_status(pid(1), Some(seen)), ChildStatus::Unknown(seen));
        let mut owned = start.done(Some(pid(2).as_raw() as u32));
        // Other tests of this process may have begun a start of theirs before; they end soon.
        while child_status(pid(1), Some(seen)) != ChildStatus::Orphan {
            std::thread::yield_now();
        }
        assert!(
            matches!(child_status(pid(3), Some(seen)), ChildStatus::Unknown(_)),
            "the later start's"
        );
        drop(later);
        assert_eq!(child_status(pid(2), None), ChildStatus::Owned);
        owned.reaped();
        assert_ne!(child_status(pid(2), None), ChildStatus::Owned);
    }
}
