//! How many remote workers there are and what they have done, for `/metrics`.

use std::ops::ControlFlow;

use super::counters::RemoteCounts;
use super::entry::WorkerState;
use crate::engine::Engine;

/// The numbers of remote workers, attempts and claims, and the counters since the start of the process.
#[derive(Debug, Clone)]
pub struct RemoteTotals {
    /// The number of workers in each state.
    pub states: [(WorkerState, u64); WorkerState::ALL.len()],
    /// The attempts that run.
    pub running: usize,
    /// The claims that wait for jobs.
    pub waiting: usize,
    /// The counters.
    pub counts: RemoteCounts,
}

impl Engine {
    /// The numbers of remote workers and of what they do.
    pub fn remote_totals(&self) -> RemoteTotals {
        let remote = &self.parts.remote;
        let mut states = WorkerState::ALL.map(|state| (state, 0));
        remote.visit(None, |_, worker| {
            states[worker.state() as usize].1 += 1;
            ControlFlow::Continue(())
        });
        RemoteTotals {
            states,
            running: remote.table().leases.len(),
            waiting: remote.waiting.count(),
            counts: remote.counters.read(),
        }
    }
}
