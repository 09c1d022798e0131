//! Rules for the heartbeats of the nodes that share a log.

use std::time::Duration;

use super::{SharedLogHarness, chunk, puts};
use crate::store::log::{Log, NodeHeartbeat, NodeMessage};

fn message(node: u64, reads_snapshot: bool) -> NodeMessage {
    NodeMessage { node, reads_snapshot, ..NodeMessage::default() }
}

/// The nodes that a heartbeat of this one shows, and whether each reads a snapshot.
fn nodes(log: &dyn Log, own: u64, reads_snapshot: bool) -> Vec<(u64, bool)> {
    let heartbeats = log.heartbeat(message(own, reads_snapshot)).unwrap();
    let mut nodes: Vec<_> =
        heartbeats.iter().map(|node| (node.node, node.reads_snapshot)).collect();
    nodes.sort_unstable();
    nodes
}

pub(crate) fn every_node_is_known_to_all(harness: &impl SharedLogHarness) {
    let (one, two) = (harness.open_as("one"), harness.open_as("two"));
    assert_eq!(nodes(&*one, 1, false), [(1, false)]);
    assert_eq!(nodes(&*two, 2, true), [(1, false), (2, true)]);
    assert_eq!(nodes(&*one, 1, true), [(1, true), (2, true)]);
    assert_eq!(nodes(&*two, 2, false), [(1, true), (2, false)]);
}

pub(crate) fn what_a_node_says_about_itself_is_known_to_all(harness: &impl SharedLogHarness) {
    let (one, two) = (harness.open_as("one"), harness.open_as("two"));
    let mut said =
        NodeMessage { seq: 7, figures: r#"{"running": 1}"#.to_owned(), ..message(1, false) };
    let seen_by = |log: &dyn Log, own: NodeMessage| {
        let heartbeats = log.heartbeat(own).unwrap();
        heartbeats.into_iter().find(|node| node.node == 1).unwrap()
    };
    let of = |seen: &NodeHeartbeat| (seen.name.clone(), seen.seq, seen.figures.clone());
    let started = seen_by(&*one, said.clone()).started_at;
    for (seq, figures) in [(7, r#"{"running": 1}"#), (9, "{}")] {
        (said.seq, said.figures) = (seq, figures.to_owned());
        for seen in [seen_by(&*one, said.clone()), seen_by(&*two, message(2, false))] {
            assert_eq!(of(&seen), ("one".to_owned(), seq, figures.to_owned()));
            assert_eq!(seen.started_at, started);
            assert!(!seen.version.is_empty());
        }
    }
    let later = one.heartbeat(message(1, false)).unwrap();
    assert!(later.iter().all(|node| node.node == 1 || node.started_at >= started));
}

pub(crate) fn a_node_that_has_read_the_whole_log_has_no_lag(harness: &impl SharedLogHarness) {
    let log = harness.open_as("one");
    log.apply_alone(puts(&[(&chunk(0), b"zero")])).unwrap();
    let seen = log.heartbeat(NodeMessage { next_chunk: 1, ..message(1, false) }).unwrap();
    assert_eq!(seen[0].lag, Duration::ZERO);
}

pub(crate) fn a_node_that_sends_no_heartbeat_falls_silent(harness: &impl SharedLogHarness) {
    let (one, two) = (harness.open_as("one"), harness.open_as("two"));
    let silence = || {
        let heartbeats = two.heartbeat(message(2, false)).unwrap();
        heartbeats.iter().find(|node| node.node == 1).unwrap().silent_for
    };
    one.heartbeat(message(1, false)).unwrap();
    let before = silence();
    while silence() <= before {
        std::thread::yield_now();
    }
    let own = two.heartbeat(message(2, false)).unwrap();
    let own = own.iter().find(|node| node.node == 2).unwrap().silent_for;
    assert!(own < silence(), "its own heartbeat is newer");
}

pub(crate) fn a_node_that_has_signed_off_is_not_shown(harness: &impl SharedLogHarness) {
    let (one, two) = (harness.open_as("one"), harness.open_as("two"));
    one.heartbeat(message(1, false)).unwrap();
    assert_eq!(nodes(&*two, 2, false), [(1, false), (2, false)]);
    one.sign_off(1).unwrap();
    one.sign_off(1).unwrap();
    assert_eq!(nodes(&*two, 2, false), [(2, false)]);
}

pub(crate) fn a_process_replaces_an_earlier_one_of_its_name(harness: &impl SharedLogHarness) {
    let (before, other) = (harness.open_as("one"), harness.open_as("two"));
    before.heartbeat(message(1, true)).unwrap();
    other.heartbeat(message(2, false)).unwrap();
    let after = harness.open_as("one");
    assert_eq!(nodes(&*after, 3, false), [(2, false), (3, false)]);
    assert_eq!(nodes(&*other, 2, false), [(2, false), (3, false)]);
}
