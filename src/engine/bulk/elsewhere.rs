//! The bulk runs of the other nodes that share the store, as they have told about them with their heartbeats. Those of a
//! node that has ended are kept and told on, so that every node lists the same runs for as long as one is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use super::report::{BulkId, BulkReport};
use super::told::{ToldRun, ToldRuns};
use crate::job::Time;
use crate::store::NodeReport;

/// The most runs that a node tells the others, besides those that are running. A heartbeat is written every second.
const MAX_TOLD: usize = 12;

/// What this process knows of them.
#[derive(Default)]
pub struct RunsElsewhere {
    known: Mutex<KnownRuns>,
}

#[derive(Default)]
struct KnownRuns {
    /// What the nodes at work have said last, by the runs of their processes.
    heard: BTreeMap<u64, ToldRuns>,
    /// The runs of nodes that have ended.
    left: BTreeMap<Uuid, ToldRun>,
    /// The runs of other nodes that somebody has asked this one to stop.
    stops: BTreeSet<Uuid>,
}

impl RunsElsewhere {
    /// What this process tells: about its own runs, and about those that it has heard of from nodes that have ended.
    pub fn told(&self, own: Vec<ToldRun>) -> ToldRuns {
        let known = self.lock();
        let runs = newest(own.into_iter().chain(known.left.values().cloned()));
        ToldRuns { runs, stop: known.stops.iter().copied().collect() }
    }

    /// Takes note of what the other nodes have said by their last heartbeats. Returns the runs that one of them wants to be
    /// stopped.
    pub fn hear(&self, nodes: &[NodeReport], now: Time) -> Vec<BulkId> {
        let (mut wanted, mut known) = (Vec::new(), self.lock());
        for node in nodes.iter().filter(|node| !node.is_own) {
            let told = serde_json::from_value::<ToldRuns>(node.figures.bulk.clone());
            let told = told.unwrap_or_default();
            wanted.extend(told.stop.iter().copied().map(BulkId));
            known.heard.insert(node.session, told);
        }
        let at_work =
            |session: u64| nodes.iter().any(|node| node.session == session && !node.is_silent);
        let gone: Vec<u64> =
            known.heard.keys().copied().filter(|session| !at_work(*session)).collect();
        for session in gone {
            let last = nodes.iter().find(|node| node.session == session);
            let seen_at = last.map_or(now, |node| node.seen_at(now));
            let told = known.heard.remove(&session).unwrap_or_default();
            for run in told.runs {
                known.left.entry(run.id).or_insert_with(|| run.after_its_node(seen_at));
            }
        }
        known.left.retain(|_, run| !at_work(run.session)); // it was only silent for a while
        let kept = newest(known.left.values().cloned());
        known.left = kept.into_iter().map(|run| (run.id, run)).collect();
        let running = known.running();
        known.stops.retain(|id| running.contains(id));
        wanted
    }

    /// The reports of the runs of all nodes, newest first; `told` is what the node `own` tells.
    pub fn reports_of_all(&self, own: u64, told: ToldRuns) -> Vec<BulkReport> {
        let mut runs: BTreeMap<Uuid, ToldRun> = BTreeMap::new();
        let heard = self.lock().heard.clone();
        for (teller, told) in heard.into_iter().chain([(own, told)]) {
            for run in told.runs {
                let is_better = runs.get(&run.id).is_none_or(|known| {
                    // Whoever executes it knows best. Others have noticed the end of its node at different times.
                    let end = |run: &ToldRun| run.ended.as_ref().map_or(i64::MAX, |end| end.at);
                    run.session == teller || end(&run) < end(known)
                });
                if is_better {
                    runs.insert(run.id, run);
                }
            }
        }
        let mut runs: Vec<ToldRun> = runs.into_values().collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.age()));
        runs.iter().filter_map(ToldRun::report).collect()
    }

    /// Asks the node that executes a run to stop it. It hears of that with a heartbeat.
    pub fn want_stop(&self, id: BulkId) {
        self.lock().stops.insert(id.0);
    }

    fn lock(&self) -> MutexGuard<'_, KnownRuns> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownRuns {
    /// The runs of other nodes that have not ended.
    fn running(&self) -> BTreeSet<Uuid> {
        let runs = self.heard.values().flat_map(|told| &told.runs);
        runs.filter(|run| run.ended.is_none()).map(|run| run.id).collect()
    }
}

/// The runs that are running and the newest others, the newest first.
fn newest(runs: impl Iterator<Item = ToldRun>) -> Vec<ToldRun> {
    let mut runs: Vec<ToldRun> = runs.collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.age()));
    let mut others = 0;
    runs.retain(|run| {
        others += usize::from(run.ended.is_some());
        run.ended.is_none() || others <= MAX_TOLD
    });
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bulk::report::{Action, Count, End, RunProgress, Target};
    use crate::store::nodes::samples::node;

    fn run(began: i64, end: Option<End>) -> BulkReport {
        BulkReport {
            id: BulkId(crate::job::fresh_uuid()),
            node: None,
            action: Action::Retry,
            target: Target::Jobs(Vec::new()),
            began: Time::from_millis(began),
            expected: Count::Exactly(3),
            stored: 3,
            progress: RunProgress {
                ended: end.map(|end| (Time::from_millis(began + 5), end)),
                ..RunProgress::default()
            },
        }
    }

    /// This node, and another one that tells about these runs.
    fn pair(told: &[BulkReport]) -> [NodeReport; 2] {
        let (mut own, mut other) = (node("web-1", 1), node("web-2", 2));
        own.is_own = true;
        let runs = told.iter().map(|run| ToldRun::of(run, "web-2", 2)).collect();
        other.figures.bulk = serde_json::json!(ToldRuns { runs, stop: Vec::new() });
        [own, other]
    }

    fn ends(runs: &RunsElsewhere) -> Vec<Option<End>> {
        let ended = |report: BulkReport| report.progress.ended.map(|(_, end)| end);
        runs.reports_of_all(1, runs.told(Vec::new())).into_iter().map(ended).collect()
    }

    #[test]
    fn the_runs_of_a_node_that_has_ended_are_kept_and_told_on() {
        let runs = RunsElsewhere::default();
        let now = Time::from_millis(100_000);
        let nodes = pair(&[run(1, Some(End::Finished)), run(2, None)]);
        runs.hear(&nodes, now);
        assert_eq!(ends(&runs), [None, Some(End::Finished)]);
        // It signs off. Its running run has ended with it.
        let [own, other] = nodes.clone();
        let alone = [own.clone()];
        runs.hear(&alone, now);
        let kept = [Some(End::ServerStopped), Some(End::Finished)];
        assert_eq!(ends(&runs), kept);
        let told = runs.told(Vec::new());
        assert_eq!(told.runs.iter().map(|run| &*run.node).collect::<Vec<_>>(), ["web-2"; 2]);
        // A node that knows nothing of it hears of them from this one.
        let (third, mut told_by) = (RunsElsewhere::default(), own.clone());
        told_by.is_own = false;
        told_by.figures.bulk = serde_json::json!(told);
        let mut new = node("web-3", 3);
        new.is_own = true;
        third.hear(&[told_by, new], now);
        assert_eq!(ends(&third), kept);
        // A node that was only silent goes on with its runs.
        let silent = NodeReport { is_silent: true, ..other.clone() };
        runs.hear(&[own.clone(), silent.clone()], now);
        assert_eq!(ends(&runs), kept);
        runs.hear(&[own, other], now);
        assert_eq!(ends(&runs), [None, Some(End::Finished)]);
    }

    #[test]
    fn a_stop_is_asked_for_until_the_run_has_ended() {
        let runs = RunsElsewhere::default();
        let (now, mut running) = (Time::from_millis(100_000), run(2, None));
        let nodes = pair(std::slice::from_ref(&running));
        runs.hear(&nodes, now);
        runs.want_stop(running.id);
        runs.hear(&nodes, now);
        assert_eq!(runs.told(Vec::new()).stop, [running.id.0]);
        running.progress.ended = Some((now, End::Stopped));
        let nodes = pair(&[running]);
        runs.hear(&nodes, now);
        assert!(runs.told(Vec::new()).stop.is_empty());
        assert_eq!(ends(&runs), [Some(End::Stopped)]);
    }

    #[test]
    fn few_runs_are_told_and_all_that_are_running() {
        let many = (0..40).map(|began| run(began, (began != 3).then_some(End::Finished)));
        let told = newest(many.map(|run| ToldRun::of(&run, "a", 1)));
        assert_eq!(told.len(), MAX_TOLD + 1);
        assert!(told[0].age().0 == 39 && told[MAX_TOLD].ended.is_none());
    }
}
