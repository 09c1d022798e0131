//! Rules for the heartbeats of the nodes that share a log.

use super::SharedLogHarness;
use crate::store::log::Log;

/// The nodes that a heartbeat of this one shows, and whether each reads a snapshot.
fn nodes(log: &dyn Log, own: u64, reads_snapshot: bool) -> Vec<(u64, bool)> {
    let heartbeats = log.heartbeat(own, reads_snapshot).unwrap();
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

pub(crate) fn a_node_that_sends_no_heartbeat_falls_silent(harness: &impl SharedLogHarness) {
    let (one, two) = (harness.open_as("one"), harness.open_as("two"));
    let silence = || {
        let heartbeats = two.heartbeat(2, false).unwrap();
        heartbeats.iter().find(|node| node.node == 1).unwrap().silent_for
    };
    one.heartbeat(1, false).unwrap();
    let before = silence();
    while silence() <= before {
        std::thread::yield_now();
    }
    let own = two.heartbeat(2, false).unwrap();
    let own = own.iter().find(|node| node.node == 2).unwrap().silent_for;
    assert!(own < silence(), "its own heartbeat is newer");
}

pub(crate) fn a_node_that_has_signed_off_is_not_shown(harness: &impl SharedLogHarness) {
    let (one, two) = (harness.open_as("one"), harness.open_as("two"));
    one.heartbeat(1, false).unwrap();
    assert_eq!(nodes(&*two, 2, false), [(1, false), (2, false)]);
    one.sign_off(1).unwrap();
    one.sign_off(1).unwrap();
    assert_eq!(nodes(&*two, 2, false), [(2, false)]);
}

pub(crate) fn a_process_replaces_an_earlier_one_of_its_name(harness: &impl SharedLogHarness) {
    let (before, other) = (harness.open_as("one"), harness.open_as("two"));
    before.heartbeat(1, true).unwrap();
    other.heartbeat(2, false).unwrap();
    let after = harness.open_as("one");
    assert_eq!(nodes(&*after, 3, false), [(2, false), (3, false)]);
    assert_eq!(nodes(&*other, 2, false), [(2, false), (3, false)]);
}
