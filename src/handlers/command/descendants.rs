//! The processes that an attempt has started outside of its process group, in a session of their own. They inherit the
//! variables that name the server, the job and the attempt, and are found by them in `/proc`. When the attempt has to
//! end, they end with it, so that they do not run beside the next attempt.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::survivors::{SignalledProcesses, of_attempt};
use crate::engine::AttemptContext;
use crate::job::JobId;

/// How soon after the first search the processes are looked for again. Each interval is twice as long as the one before.
const FIRST_INTERVAL: Duration = Duration::from_millis(10);
/// The longest time between two searches.
const LONGEST_INTERVAL: Duration = Duration::from_millis(160);

/// The processes of a running attempt outside of its group. When this is dropped before [`Descendants::keep`], they are
/// killed.
pub(super) struct Descendants {
    search: DescendantSearch,
    on_drop: OnDrop,
}

#[derive(Clone, Copy, PartialEq)]
enum OnDrop {
    Kill,
    Keep,
}

/// A search for the processes, and what it has found so far.
#[derive(Clone)]
struct DescendantSearch {
    job: JobId,
    attempt: u16,
    /// The group of the first process, which is signalled as a whole.
    own_group: Option<i32>,
    processes: SignalledProcesses,
}

impl Descendants {
    /// The processes of an attempt whose first process was just started.
    pub fn of(context: &AttemptContext, first: Option<u32>) -> Descendants {
        let search = DescendantSearch {
            job: context.id(),
            attempt: context.attempt(),
            own_group: first.and_then(|pid| i32::try_from(pid).ok()),
            processes: SignalledProcesses::default(),
        };
        Descendants { search, on_drop: OnDrop::Kill }
    }

    /// Leaves the processes alone, because the attempt has ended by itself or none is left.
    pub fn keep(&mut self) {
        self.on_drop = OnDrop::Keep;
    }

    /// Signals every process once, and resolves when none runs. A process may start others until it has ended.
    pub async fn signal_until_gone(&mut self, signal: Signal) {
        let mut interval = FIRST_INTERVAL;
        loop {
            let mut search = self.search.clone();
            let step = spawn_blocking(move || {
                search.signal(signal);
                search
            });
            // It fails only when the runtime shuts down.
            let Ok(search) = step.await else { return };
            self.search = search;
            if self.running() == 0 {
                return;
            }
            sleep(interval).await;
            interval = LONGEST_INTERVAL.min(interval * 2);
        }
    }

    /// How many processes ran at the last search.
    pub fn running(&self) -> usize {
        self.search.processes.running()
    }
}

impl Drop for Descendants {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Keep {
            return;
        }
        let mut search = self.search.clone();
        // The process table is too long to be read on a thread of the runtime. When the runtime shuts down, the next start
        // finds the processes.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || search.kill()));
        }
    }
}

impl DescendantSearch {
    /// Looks for the processes, and signals those that have not had the signal.
    fn signal(&mut self, signal: Signal) {
        let found = of_attempt(self.job, self.attempt);
        self.processes.signal(&found, self.own_group, signal);
    }

    fn kill(&mut self) {
        let mut interval = FIRST_INTERVAL;
        loop {
            self.signal(Signal::SIGKILL);
            // A killed process that waits for a device ends later by itself.
            if self.processes.running() == 0 || interval > LONGEST_INTERVAL {
                return;
            }
            std::thread::sleep(interval);
            interval *= 2;
        }
    }
}
