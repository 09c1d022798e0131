//! The nodes that share the store as rows of a table.

use crate::engine::{Disagreement, Engine, NodeReport};
use crate::job::Time;

use super::time_format::{TimeText, length};

/// The nodes, and what their configurations disagree about. Both are empty on a server that is alone.
pub struct NodeList {
    /// The nodes by name.
    pub nodes: Vec<NodeRow>,
    /// The disagreements, in sentences.
    pub disagreements: Vec<String>,
}

/// The values of a row.
pub struct NodeRow {
    /// The name.
    pub name: String,
    /// Its version, and where it serves.
    pub about: String,
    /// Whether it is the node that shows the page.
    pub is_own: bool,
    /// Its state in a word, and the style of that word.
    pub state: &'static str,
    /// The style of that word.
    pub tone: &'static str,
    /// What that word means, unless everything is as usual.
    pub meaning: &'static str,
    /// When it opened the store.
    pub started: TimeText,
    /// When it was last heard of, if that is longer ago than usual.
    pub seen: Option<TimeText>,
    /// How far it is behind the log.
    pub lag: String,
    /// The attempts that it runs.
    pub running: u64,
    /// The most that it may run at once.
    pub max_running: u64,
    /// The subscribers that are connected to it.
    pub subscribers: u64,
    /// The workers that are connected to it.
    pub workers: u64,
}

/// A heartbeat that is older than this is late.
const LATE_MS: u128 = 4_000;
/// A lag of less than this is that of a node which is about to read what was just written.
const LAG_MS: u128 = 250;

impl NodeList {
    /// The nodes as this one knows them.
    pub fn of(engine: &Engine, now: Time) -> NodeList {
        let nodes = engine.nodes();
        NodeList {
            disagreements: Disagreement::among(&nodes).iter().map(sentence).collect(),
            nodes: nodes.iter().map(|node| NodeRow::of(node, now)).collect(),
        }
    }

    /// Whether there are several nodes, so that it matters which of them a fact is about.
    pub fn are_several(&self) -> bool {
        self.nodes.len() > 1
    }
}

/// What pages call the process that shows them.
pub fn this_process(engine: &Engine) -> &'static str {
    if engine.nodes().len() > 1 { "this node" } else { "the server" }
}

fn sentence(found: &Disagreement) -> String {
    let text = found.to_string();
    let first = text.chars().next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), text.get(1..).unwrap_or_default())
}

impl NodeRow {
    fn of(node: &NodeReport, now: Time) -> NodeRow {
        let figures = &node.figures;
        let parts = [Some(format!("cortado {}", node.version)), figures.address.clone()];
        let is_late = node.silent_for.as_millis() > LATE_MS;
        let (tone, meaning) = if node.is_silent {
            ("lost", "The others have given back what it was running.")
        } else {
            ("active", "")
        };
        NodeRow {
            name: node.name.clone(),
            about: parts.into_iter().flatten().collect::<Vec<_>>().join(" · "),
            is_own: node.is_own,
            state: node.state(),
            tone,
            meaning,
            started: TimeText::new(node.started_at, now),
            seen: is_late.then(|| TimeText::new(node.seen_at(now), now)),
            lag: if node.lag.as_millis() < LAG_MS { "none".to_owned() } else { length(node.lag) },
            running: figures.running,
            max_running: figures.max_running,
            subscribers: figures.subscribers,
            workers: figures.workers,
        }
    }
}
