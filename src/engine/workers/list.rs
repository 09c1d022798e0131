//! Lists of remote workers. A list reads the table in steps, so that it locks it only for a moment at a time however many
//! workers are connected, and copies only what it returns.

use std::ops::{ControlFlow, Range};

use super::entry::{WorkerEntry, WorkerState};
use super::remote::RemoteWorkers;
use super::report::WorkerReport;
use crate::engine::Engine;
use crate::job::{Kind, WorkerName};

/// How many workers are examined before the table is unlocked.
const STEP: usize = 256;
/// The number of ranks.
const RANKS: usize = 5;

/// Which workers a list has. An empty condition selects all.
#[derive(Debug, Clone, Default)]
pub struct WorkerQuery {
    /// A text that the name, the host or the client contains, in upper or lower case.
    pub text: String,
    /// The kinds of which the worker runs at least one.
    pub kinds: Vec<String>,
    /// The queues from at least one of which it takes jobs.
    pub queues: Vec<String>,
    /// Its states.
    pub states: Vec<WorkerState>,
    /// Whether it must run a job.
    pub is_running: bool,
}

/// A part of the list in the order of the names.
#[derive(Debug, Default)]
pub struct WorkerPage {
    /// The workers.
    pub workers: Vec<WorkerReport>,
    /// The last of them, if others follow.
    pub next: Option<WorkerName>,
}

/// A part of the list that begins with the workers with which something is the matter.
#[derive(Debug, Default)]
pub struct RankedWorkers {
    /// The workers.
    pub workers: Vec<WorkerReport>,
    /// The position of the first of them, from 0.
    pub first: usize,
    /// The number of workers that match.
    pub matching: usize,
    /// The number of all workers in each state, in the order of [`WorkerState::ALL`].
    pub states: [usize; WorkerState::ALL.len()],
}

impl WorkerQuery {
    fn passes(&self, name: &WorkerName, worker: &WorkerEntry) -> bool {
        let about = &worker.about;
        let texts = [Some(name.as_str()), about.host.as_deref(), about.client.as_deref()];
        let (kinds, queues) = (&worker.interest.kinds, &worker.interest.queues);
        let has = |wanted: &[String], is_known: &dyn Fn(&str) -> bool| {
            wanted.is_empty() || wanted.iter().any(|name| is_known(name))
        };
        (self.states.is_empty() || self.states.contains(&worker.state()))
            && (!self.is_running || worker.held > 0)
            && has(&self.kinds, &|name| kinds.iter().any(|kind| kind.as_str() == name))
            && has(&self.queues, &|name| queues.iter().any(|queue| queue.as_str() == name))
            && texts.into_iter().flatten().any(|text| contains(text, &self.text))
    }

    /// Whether the worker of this process passes, which takes jobs from every queue.
    pub fn passes_own<'a>(
        &self,
        name: &str,
        mut kinds: impl Iterator<Item = &'a Kind>,
        running: usize,
    ) -> bool {
        contains(name, &self.text)
            && (self.states.is_empty() || self.states.contains(&WorkerState::Active))
            && (!self.is_running || running > 0)
            && (self.kinds.is_empty()
                || kinds.any(|kind| self.kinds.iter().any(|name| name == kind.as_str())))
    }
}

/// Whether a text contains another one, in upper or lower case.
fn contains(text: &str, wanted: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    if text.is_ascii() && wanted.is_ascii() {
        let mut parts = text.as_bytes().windows(wanted.len());
        return parts.any(|part| part.eq_ignore_ascii_case(wanted.as_bytes()));
    }
    text.to_lowercase().contains(&wanted.to_lowercase())
}

/// Where a worker stands in the list: first those with which something is the matter. Jobs that an active worker starts
/// or ends do not change that, so that its row stays where it is.
fn rank(worker: &WorkerEntry) -> usize {
    match worker.state() {
        WorkerState::Silent if worker.held > 0 => 0,
        WorkerState::Stopping => 1,
        WorkerState::Quiet => 2,
        WorkerState::Active => 3,
        WorkerState::Silent => 4,
    }
}

impl RemoteWorkers {
    /// Visits the workers after a name in the order of their names, until `visit` breaks.
    pub fn visit(
        &self,
        after: Option<&WorkerName>,
        mut visit: impl FnMut(&WorkerName, &WorkerEntry) -> ControlFlow<()>,
    ) {
        let mut after = after.cloned();
        loop {
            let table = self.table();
            let mut last = None;
            for (at, (name, worker)) in table.after(after.as_ref()).take(STEP).enumerate() {
                if visit(name, worker).is_break() {
                    return;
                }
                last = (at + 1 == STEP).then_some(name);
            }
            let Some(last) = last.cloned() else { return };
            drop(table);
            after = Some(last);
        }
    }

    /// The workers that match and whose names come after `after`, at most `limit`.
    pub fn page(
        &self,
        query: &WorkerQuery,
        after: Option<&WorkerName>,
        limit: usize,
    ) -> WorkerPage {
        let now = self.clock.now();
        let mut page = WorkerPage::default();
        self.visit(after, |name, worker| {
            if !query.passes(name, worker) {
                return ControlFlow::Continue(());
            }
            if page.workers.len() >= limit {
                page.next = page.workers.last().map(|worker| worker.name.clone());
                return ControlFlow::Break(());
            }
            page.workers.push(worker.report(name, now));
            ControlFlow::Continue(())
        });
        page
    }

    /// The workers that match, those first with which something is the matter. `choose` returns the positions that are
    /// wanted when it is told how many match.
    pub fn ranked(
        &self,
        query: &WorkerQuery,
        choose: impl FnOnce(usize) -> Range<usize>,
    ) -> RankedWorkers {
        let now = self.clock.now();
        let (mut ranks, mut states) = ([0; RANKS], [0; WorkerState::ALL.len()]);
        self.visit(None, |name, worker| {
            states[worker.state() as usize] += 1;
            if query.passes(name, worker) {
                ranks[rank(worker)] += 1;
            }
            ControlFlow::Continue(())
        });
        let matching = ranks.iter().sum();
        let wanted = choose(matching);
        // The position of the next worker of each rank.
        let mut next = 0;
        let mut positions = ranks.map(|count| {
            next += count;
            next - count
        });
        let mut shown: Vec<(usize, WorkerReport)> = Vec::new();
        self.visit(None, |name, worker| {
            if shown.len() >= wanted.len() {
                return ControlFlow::Break(());
            }
            if query.passes(name, worker) {
                let position = &mut positions[rank(worker)];
                if wanted.contains(&*position) {
                    shown.push((*position, worker.report(name, now)));
                }
                *position += 1;
            }
            ControlFlow::Continue(())
        });
        shown.sort_by_key(|(position, _)| *position);
        let workers = shown.into_iter().map(|(_, worker)| worker).collect();
        RankedWorkers { workers, first: wanted.start, matching, states }
    }
}

impl Engine {
    /// The remote workers that match and whose names come after `after`, at most `limit`, in the order of their names.
    pub fn remote_worker_page(
        &self,
        query: &WorkerQuery,
        after: Option<&WorkerName>,
        limit: usize,
    ) -> WorkerPage {
        self.parts.remote.page(query, after, limit)
    }

    /// The remote workers that match, those first with which something is the matter. `choose` returns the positions that
    /// are wanted when it is told how many match.
    pub fn ranked_remote_workers(
        &self,
        query: &WorkerQuery,
        choose: impl FnOnce(usize) -> Range<usize>,
    ) -> RankedWorkers {
        self.parts.remote.ranked(query, choose)
    }

    /// The kinds that this process runs.
    pub fn own_kinds(&self) -> Vec<Kind> {
        self.kinds().own()
    }

    /// All remote workers.
    #[cfg(test)]
    pub fn remote_workers(&self) -> Vec<WorkerReport> {
        self.remote_worker_page(&WorkerQuery::default(), None, usize::MAX).workers
    }
}
