//! The nodes that share a store: what each says about itself, and how the others see it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::StoreLimits;
use crate::job::{Kind, Time, stable_hash};

/// What the program on a node says about itself with every heartbeat. Nodes of other versions read it as well: what they do
/// not say is missing, and what this version does not know is ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFigures {
    /// The URL at which it serves.
    pub address: Option<String>,
    /// The name of the worker in its process.
    pub worker: Option<String>,
    /// The attempts that run in its process.
    pub running: u64,
    /// The most attempts that may run there at once.
    pub max_running: u64,
    /// The subscribers to events and logs that are connected to it.
    pub subscribers: u64,
    /// The workers in other processes that are connected to it.
    pub workers: u64,
    /// The kinds that it runs, itself or by the workers that are connected to it; missing if there are very many.
    pub kinds: Option<BTreeSet<Kind>>,
    /// Its bulk runs, which only the engine understands.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub bulk: serde_json::Value,
    /// A digest of its configuration for each of the [`ConfiguredTopic`]s, by their names.
    pub configuration: BTreeMap<String, String>,
}

/// A part of the configuration that should be the same on all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfiguredTopic {
    /// The limits of queues.
    Queues,
    /// The declared schedules.
    Schedules,
    /// The declared kinds and the defaults of kinds.
    Kinds,
    /// How long finished jobs and events are kept.
    Retention,
}

impl ConfiguredTopic {
    /// All topics.
    pub const ALL: [ConfiguredTopic; 4] = [
        ConfiguredTopic::Queues,
        ConfiguredTopic::Schedules,
        ConfiguredTopic::Kinds,
        ConfiguredTopic::Retention,
    ];

    /// The public name.
    pub fn as_str(self) -> &'static str {
        match self {
            ConfiguredTopic::Queues => "queues",
            ConfiguredTopic::Schedules => "schedules",
            ConfiguredTopic::Kinds => "kinds",
            ConfiguredTopic::Retention => "retention",
        }
    }

    /// The name in sentences.
    pub fn words(self) -> &'static str {
        match self {
            ConfiguredTopic::Queues => "limits of queues",
            ConfiguredTopic::Schedules => "schedules",
            ConfiguredTopic::Kinds => "kinds",
            ConfiguredTopic::Retention => "retention",
        }
    }
}

impl NodeFigures {
    /// The most kinds that a node tells the others.
    pub const MAX_KINDS: usize = 500;

    /// Whether it may run jobs of a kind.
    pub fn may_run(&self, kind: &Kind) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    /// Adds the digest of a topic: of texts that are the same where the configuration is.
    pub fn set_digest<'a>(
        &mut self,
        topic: ConfiguredTopic,
        texts: impl IntoIterator<Item = &'a str>,
    ) {
        let digest = format!("{:016x}", stable_hash(texts));
        self.configuration.insert(topic.as_str().to_owned(), digest);
    }

    /// Adds the digests of the topics that a store decides about.
    pub fn set_digests_of(&mut self, limits: &StoreLimits) {
        let queues = format!("{:?}", limits.queues);
        self.set_digest(ConfiguredTopic::Queues, [queues.as_str()]);
        let retention = format!("{:?}", limits.retention);
        self.set_digest(ConfiguredTopic::Retention, [retention.as_str()]);
    }
}

/// A node as the one that was asked sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// The run of its process.
    pub session: u64,
    /// Its name.
    pub name: String,
    /// Its version of Cortado.
    pub version: String,
    /// Whether it is the node that was asked.
    pub is_own: bool,
    /// Whether it has been silent for so long that the others give back what it was running.
    pub is_silent: bool,
    /// When it opened the store.
    pub started_at: Time,
    /// How long ago its last heartbeat was.
    pub silent_for: Duration,
    /// The number of the last event that it knew then.
    pub seq: u64,
    /// How long the oldest entry of the log that it had not read was there by then.
    pub lag: Duration,
    /// What it said about itself.
    pub figures: NodeFigures,
}

impl NodeReport {
    /// Its state in a word: `active`, or `silent`.
    pub fn state(&self) -> &'static str {
        if self.is_silent { "silent" } else { "active" }
    }

    /// When it was last heard of, if it is `now`.
    pub fn seen_at(&self, now: Time) -> Time {
        let ago = i64::try_from(self.silent_for.as_millis()).unwrap_or(i64::MAX);
        Time::from_millis(now.millis().saturating_sub(ago))
    }

    /// The topics about which the configurations of two nodes disagree. Nodes of different versions are not compared,
    /// because they may write the same configuration in different ways.
    pub fn disagreements(&self, other: &NodeReport) -> Vec<ConfiguredTopic> {
        if self.version != other.version {
            return Vec::new();
        }
        let digest = |node: &NodeReport, topic: ConfiguredTopic| {
            node.figures.configuration.get(topic.as_str()).cloned()
        };
        let disagree = |topic: &ConfiguredTopic| {
            let digests = digest(self, *topic).zip(digest(other, *topic));
            digests.is_some_and(|(one, two)| one != two)
        };
        ConfiguredTopic::ALL.into_iter().filter(disagree).collect()
    }
}

/// Two nodes at work whose configurations disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// What they disagree about.
    pub topic: ConfiguredTopic,
    /// The run of the process of a node.
    pub session: u64,
    /// Its name.
    pub node: String,
    /// The run of the process of the node that was started last.
    pub last_session: u64,
    /// Its name.
    pub last: String,
}

impl Disagreement {
    /// The disagreements among nodes: each node that is at work is compared with the one of them that was started last.
    pub fn among(nodes: &[NodeReport]) -> Vec<Disagreement> {
        let at_work = || nodes.iter().filter(|node| !node.is_silent);
        let Some(last) = at_work().max_by_key(|node| (node.started_at, node.session)) else {
            return Vec::new();
        };
        let with_last = |node: &NodeReport| {
            let (session, name) = (node.session, node.name.clone());
            node.disagreements(last).into_iter().map(move |topic| Disagreement {
                topic,
                session,
                node: name.clone(),
                last_session: last.session,
                last: last.name.clone(),
            })
        };
        at_work().flat_map(with_last).collect()
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Disagreement { topic, node, last, .. } = self;
        let words = topic.words();
        write!(f, "the configurations of {node} and {last} have different {words}; ")?;
        match topic {
            ConfiguredTopic::Kinds => f.write_str("each node applies its own to what it accepts"),
            ConfiguredTopic::Queues | ConfiguredTopic::Schedules | ConfiguredTopic::Retention => {
                write!(f, "those of {last} apply, because it was started last")
            }
        }
    }
}

/// Nodes for tests of the pages and of the API.
#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A node that was started at this second.
    pub(crate) fn node(name: &str, second: i64) -> NodeReport {
        let figures = NodeFigures {
            address: Some(format!("http://{name}:8080")),
            running: 3,
            max_running: 1_000,
            subscribers: 21,
            workers: 4,
            ..NodeFigures::default()
        };
        NodeReport {
            session: second.unsigned_abs(),
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            is_own: false,
            is_silent: false,
            started_at: Time::from_millis(second * 1_000),
            silent_for: Duration::from_millis(300),
            seq: 17,
            lag: Duration::ZERO,
            figures,
        }
    }

    /// The node that is asked, one whose queues have other limits, and a silent one.
    pub(crate) fn three() -> Vec<NodeReport> {
        let (mut web_1, mut web_2, web_3) = (node("web-1", 1), node("web-2", 2), node("web-3", 3));
        web_1.is_own = true;
        web_1.figures.set_digest(ConfiguredTopic::Queues, ["mail 3"]);
        web_2.figures.set_digest(ConfiguredTopic::Queues, ["mail 5"]);
        web_2.lag = Duration::from_millis(2_500);
        let silent_for = Duration::from_secs(90);
        vec![web_1, web_2, NodeReport { is_silent: true, silent_for, ..web_3 }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: &str, queues: &str) -> NodeReport {
        let mut node = samples::node("one", 1);
        node.version = version.to_owned();
        node.figures.set_digest(ConfiguredTopic::Queues, [queues]);
        node.figures.set_digest(ConfiguredTopic::Kinds, ["the same"]);
        node
    }

    #[test]
    fn nodes_of_the_same_version_disagree_about_what_both_say_differently() {
        let one = node("1.0.0", "a");
        assert_eq!(one.disagreements(&node("1.0.0", "a")), []);
        assert_eq!(one.disagreements(&node("1.0.0", "b")), [ConfiguredTopic::Queues]);
        assert_eq!(one.disagreements(&node("1.1.0", "b")), []);
        let says_nothing = NodeReport { figures: NodeFigures::default(), ..one.clone() };
        assert_eq!(one.disagreements(&says_nothing), []);
    }

    #[test]
    fn every_node_at_work_is_compared_with_the_one_that_was_started_last() {
        let started = |name: &str, queues: &str, at: i64| NodeReport {
            name: name.to_owned(),
            session: at.unsigned_abs(),
            started_at: Time::from_millis(at),
            ..node("1.0.0", queues)
        };
        let silent = NodeReport { is_silent: true, ..started("silent", "d", 9) };
        let nodes =
            [started("one", "a", 1), started("two", "b", 3), started("three", "b", 2), silent];
        let found = Disagreement::among(&nodes);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        let text = "the configurations of one and two have different limits of queues; those of two apply, \
                    because it was started last";
        assert_eq!(one.to_string(), text);
        assert_eq!(Disagreement::among(&[]), []);
    }

    #[test]
    fn figures_of_other_versions_can_be_read() {
        let newer = r#"{"running": 3, "moods": ["good"]}"#;
        let figures: NodeFigures = serde_json::from_str(newer).unwrap();
        assert_eq!(figures, NodeFigures { running: 3, ..NodeFigures::default() });
        assert_eq!(serde_json::from_str::<NodeFigures>("{}").unwrap(), NodeFigures::default());
    }

    #[test]
    fn digests_tell_configured_limits_apart() {
        let digests = |limits: &StoreLimits| {
            let mut figures = NodeFigures::default();
            figures.set_digests_of(limits);
            figures.configuration
        };
        let (one, mut two) = (StoreLimits::default(), StoreLimits::default());
        two.retention.events.count += 1;
        two.max_waiting += 1;
        let (one, two) = (digests(&one), digests(&two));
        assert_eq!(one["queues"], two["queues"]);
        assert_ne!(one["retention"], two["retention"]);
    }
}
