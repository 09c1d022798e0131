//! The nodes that share the store: what this one says about itself, and the warnings about configurations that disagree.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::attempts::leases::Leases;
use super::bulk::runs::Bulks;
use super::stream::subscriber_counts::SubscriberCounts;
use super::workers::entry::WorkerState;
use super::workers::node_names::NodeNames;
use super::workers::remote::RemoteWorkers;
use super::{Engine, EngineConfig};
use crate::clock::Clock;
use crate::job::Kind;
use crate::store::{ConfiguredTopic, Disagreement, NodeFigures, NodeReport, Store};
use crate::supervise::{Part, pass};

/// How often the figures are taken; about as often as heartbeats are sent.
const INTERVAL: Duration = Duration::from_secs(1);

/// The loop that tells the other nodes about this one.
pub struct NodeReporter {
    pub store: Arc<dyn Store>,
    pub config: Arc<EngineConfig>,
    /// The kinds that this process runs.
    pub own_kinds: Vec<Kind>,
    pub leases: Arc<Leases>,
    pub remote: Arc<RemoteWorkers>,
    pub subscriber_counts: Arc<SubscriberCounts>,
    /// The bulk runs, of which the nodes tell each other.
    pub bulks: Arc<Bulks>,
    /// The names of the workers in the processes of the nodes.
    pub node_names: Arc<NodeNames>,
    pub clock: Arc<dyn Clock>,
    /// Ends the loop.
    pub end: CancellationToken,
}

impl NodeReporter {
    /// Runs until `end` is cancelled.
    pub async fn run(self) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let configured = configured(&self.config);
        let mut warnings = ConfigurationWarnings::default();
        loop {
            pass(Part::NodeReporter);
            tokio::select! {
                () = self.end.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.store.describe_node(self.figures(configured.clone()));
            let nodes = self.store.nodes();
            self.node_names.hear(&nodes);
            self.bulks.hear(&nodes, self.clock.now());
            self.bulks.tell(&*self.store);
            for disagreement in warnings.update(&nodes) {
                let topic = disagreement.topic.as_str();
                tracing::warn!(topic, "{disagreement}");
            }
        }
    }

    /// The figures of this moment; `configured` has those that do not change.
    fn figures(&self, configured: NodeFigures) -> NodeFigures {
        let mut workers = 0;
        self.remote.visit(None, |_, worker| {
            workers += u64::from(worker.state() != WorkerState::Silent);
            ControlFlow::Continue(())
        });
        let of_workers = self.remote.table().workers_by_kind();
        let kinds: BTreeSet<Kind> =
            self.own_kinds.iter().cloned().chain(of_workers.into_keys()).collect();
        NodeFigures {
            kinds: Some(kinds).filter(|kinds| kinds.len() <= NodeFigures::MAX_KINDS),
            running: self.leases.len() as u64,
            subscribers: self.subscriber_counts.total(),
            workers,
            ..configured
        }
    }
}

/// The figures that the configuration decides.
fn configured(config: &EngineConfig) -> NodeFigures {
    let mut figures = NodeFigures {
        address: config.address.clone(),
        worker: Some(config.worker.as_str().to_owned()),
        max_running: config.max_running as u64,
        ..NodeFigures::default()
    };
    let schedule = |(name, spec): &(_, _)| {
        let name: &crate::job::ScheduleName = name;
        format!("{name} {}", serde_json::to_string(spec).unwrap_or_default())
    };
    let mut schedules: Vec<String> = config.schedules.iter().map(schedule).collect();
    schedules.sort_unstable();
    figures.set_digest(ConfiguredTopic::Schedules, schedules.iter().map(String::as_str));
    let kinds = serde_json::to_string(&*config.kinds).unwrap_or_default();
    figures.set_digest(ConfiguredTopic::Kinds, [kinds.as_str()]);
    figures
}

/// The disagreements that were logged.
#[derive(Debug, Default)]
struct ConfigurationWarnings(BTreeSet<(u64, ConfiguredTopic)>);

impl ConfigurationWarnings {
    /// The disagreements between this node and another one that were not logged yet.
    fn update(&mut self, nodes: &[NodeReport]) -> Vec<Disagreement> {
        let own = nodes.iter().find(|node| node.is_own).map(|node| node.session);
        let of_own = |found: &Disagreement| {
            let (session, last) = (found.session, found.last_session);
            let other = if Some(session) == own { Some(last) } else { None };
            other.or((Some(last) == own).then_some(session)).map(|other| (other, found.topic))
        };
        let mut new = Vec::new();
        let mut current = BTreeSet::new();
        for found in Disagreement::among(nodes) {
            let Some(key) = of_own(&found) else { continue };
            current.insert(key);
            if !self.0.contains(&key) {
                new.push(found);
            }
        }
        // One that has ended is logged again when it comes back.
        self.0 = current;
        new
    }
}

impl Engine {
    /// The nodes that share the store, by name; none where only this process uses it.
    pub fn nodes(&self) -> Vec<NodeReport> {
        self.parts.store.nodes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Time;
    use crate::store::nodes::samples::node as sample;

    fn node(session: u64, queues: &str) -> NodeReport {
        let mut node = sample(&format!("node-{session}"), session.cast_signed());
        node.is_own = session == 1;
        node.figures.set_digest(ConfiguredTopic::Queues, [queues]);
        node
    }

    #[test]
    fn a_disagreement_of_this_node_is_logged_once_and_again_when_it_comes_back() {
        let mut warnings = ConfigurationWarnings::default();
        let mut names = |nodes: &[NodeReport]| {
            let new = warnings.update(nodes).into_iter();
            new.map(|found| (found.node, found.last)).collect::<Vec<_>>()
        };
        let pair = |one: &str, two: &str| (one.to_owned(), two.to_owned());
        assert_eq!(names(&[node(1, "a"), node(2, "a")]), []);
        assert_eq!(names(&[node(1, "a"), node(2, "b")]), [pair("node-1", "node-2")]);
        assert_eq!(names(&[node(1, "a"), node(2, "b")]), []);
        // Node 2 is started again with another configuration; what others disagree about is theirs to log.
        assert_eq!(names(&[node(1, "b"), node(3, "b"), node(2, "a")]), []);
        assert_eq!(names(&[node(1, "a"), node(2, "b")]), [pair("node-1", "node-2")]);
    }

    #[test]
    fn the_order_in_which_schedules_are_declared_does_not_matter() {
        let declared = |names: [&str; 2]| {
            let schedules = names.map(|name| {
                let submission = crate::engine::ScheduleSubmission {
                    cron: "@daily".to_owned(),
                    kind: "echo".to_owned(),
                    ..Default::default()
                };
                let origin = crate::job::Origin::Config;
                let spec = submission.into_spec(origin, &Default::default(), Time::default());
                (crate::job::ScheduleName::parse(name).unwrap(), spec.unwrap())
            });
            let config = EngineConfig { schedules: schedules.into(), ..EngineConfig::default() };
            configured(&config).configuration["schedules"].clone()
        };
        assert_eq!(declared(["a", "b"]), declared(["b", "a"]));
        assert_ne!(declared(["a", "b"]), declared(["a", "c"]));
    }
}
