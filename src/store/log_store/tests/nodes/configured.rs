//! What nodes know of each other, and what holds when their configurations disagree.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::memory_log::MemoryLog;
use super::together::eventually;
use super::{Nodes, TINY};
use crate::job::{Concurrency, Origin, QueueName, WorkerName};
use crate::store::conformance::schedule::{every, named};
use crate::store::conformance::{clock, draft, kinds, queue};
use crate::store::log_store::Tuning;
use crate::store::{
    Claim, ConfiguredLimits, ConfiguredTopic, Disagreement, NodeFigures, NodeReport,
    ScheduleCommand, Store, StoreLimits, WorkerPlace,
};

fn nodes() -> Nodes<MemoryLog> {
    Nodes::new(clock(), TINY, 0)
}

fn names(nodes: &[NodeReport]) -> Vec<&str> {
    nodes.iter().map(|node| node.name.as_str()).collect()
}

/// What one node knows of another one.
fn report(of: &Arc<dyn Store>, name: &str) -> Option<NodeReport> {
    of.nodes().into_iter().find(|node| node.name == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_knows_what_the_others_say_about_themselves() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    assert_eq!(names(&two.nodes()), ["node-1", "node-2"], "at once");
    two.enqueue(vec![draft().job()]).await.unwrap();
    two.describe_node(NodeFigures { running: 5, subscribers: 7, ..NodeFigures::default() });
    let figures = |report: &NodeReport| (report.figures.running, report.figures.subscribers);
    eventually(|| async {
        let two = report(&one, "node-2");
        two.is_some_and(|two| figures(&two) == (5, 7) && two.seq == 1 && !two.is_own)
    })
    .await;
    let own = report(&one, "node-1").unwrap();
    assert!(own.is_own && !own.is_silent);
    two.close().await.unwrap();
    eventually(|| async { names(&one.nodes()) == ["node-1"] }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_says_nothing_is_listed_as_silent() {
    let silence = Duration::from_millis(100);
    let nodes = Nodes::<MemoryLog>::new(clock(), Tuning { node_silence: silence, ..TINY }, 0);
    let (one, (_two, handle)) = (nodes.node(1), nodes.node_with_log(2));
    handle.is_silent.store(true, Ordering::Release);
    eventually(|| async { report(&one, "node-2").is_some_and(|two| two.is_silent) }).await;
    assert!(report(&one, "node-2").unwrap().silent_for >= silence);
}

/// Limits that allow so many attempts of a queue and keep so many events.
fn limits(concurrency: i64, events: u64) -> StoreLimits {
    let configured = ConfiguredLimits {
        concurrency: Some(Concurrency::new(concurrency).unwrap()),
        ..ConfiguredLimits::default()
    };
    let queues = BTreeMap::from([(queue("default"), configured)]);
    let mut limits = StoreLimits { queues, ..StoreLimits::default() };
    limits.retention.events.count = events;
    limits
}

async fn claim(store: &Arc<dyn Store>) -> usize {
    let claim = Claim {
        queues: vec![queue("default")],
        kinds: kinds(&["echo"]),
        max: 10,
        worker: WorkerName::parse("w").unwrap(),
        place: WorkerPlace::InProcess,
        ttl: Duration::from_secs(30),
    };
    store.claim(claim).await.unwrap().leases.len()
}

/// The concurrency that a node says is configured, and how many run.
async fn configured(store: &Arc<dyn Store>) -> Option<usize> {
    let stats = store.stats().await.unwrap();
    let name: &QueueName = &queue("default");
    stats.queues[name].configured.concurrency.map(Concurrency::get)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limits_of_the_node_that_was_started_last_apply_on_all() {
    let mut nodes = nodes();
    nodes.limits = limits(1, 1_000_000);
    let one = nodes.node(1);
    one.enqueue((0..9).map(|_| draft().job()).collect()).await.unwrap();
    assert_eq!((claim(&one).await, configured(&one).await), (1, Some(1)));
    nodes.limits = limits(4, 1_000_000);
    let two = nodes.node(2);
    for node in [&one, &two] {
        assert_eq!(configured(node).await, Some(4));
    }
    assert_eq!(claim(&one).await, 3, "node 1 goes by the limits of node 2");
    assert_eq!(claim(&two).await, 0);
    one.tick().await.unwrap();
    two.tick().await.unwrap();
    assert_eq!((configured(&one).await, configured(&two).await), (Some(4), Some(4)));
    // The end of node 2 changes nothing, and a start of node 1 puts its own limits in force.
    two.close().await.unwrap();
    drop(two);
    assert_eq!(configured(&one).await, Some(4));
    drop(one);
    nodes.limits = limits(2, 1_000_000);
    let one = nodes.node(1);
    assert_eq!(configured(&one).await, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_retention_of_the_node_that_was_started_last_applies_on_all() {
    let mut nodes = nodes();
    nodes.limits = limits(1, 1);
    let one = nodes.node(1);
    nodes.limits = limits(1, 1_000_000);
    let two = nodes.node(2);
    two.enqueue((0..50).map(|_| draft().job()).collect()).await.unwrap();
    for _ in 0..3 {
        one.tick().await.unwrap();
    }
    assert_eq!(one.stats().await.unwrap().oldest.seq, 0, "node 1 alone would keep one event");
    drop(one);
    nodes.limits = limits(1, 1);
    let one = nodes.node(1);
    two.tick().await.unwrap();
    let kept = async |store: &Arc<dyn Store>| store.stats().await.unwrap().oldest.seq;
    eventually(|| async { kept(&two).await > 0 }).await;
    drop(one);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_stays_as_the_last_start_has_declared_it() {
    let nodes = nodes();
    let (one, two) = (nodes.node(1), nodes.node(2));
    let declare = async |store: &Arc<dyn Store>, seconds: u64| {
        let mut spec = every(&format!("every {seconds}s"), draft());
        spec.origin = Origin::Config;
        let set = ScheduleCommand::Set(named("report"), Box::new(spec));
        store.schedule(set, None).await.unwrap();
    };
    declare(&one, 60).await;
    declare(&two, 90).await;
    let head = two.head();
    for _ in 0..3 {
        one.tick().await.unwrap();
        two.tick().await.unwrap();
    }
    for node in [&one, &two] {
        let (schedules, _) = node.schedules().await.unwrap();
        assert_eq!(schedules.len(), 1);
        assert_eq!(schedules[0].spec.cron, every("every 90s", draft()).cron);
        assert_eq!(node.head(), head, "no tick has changed it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_limits_differ_are_reported_on_each_of_them() {
    let mut nodes = nodes();
    nodes.limits = limits(1, 1_000_000);
    let one = nodes.node(1);
    nodes.limits = limits(2, 9);
    let two = nodes.node(2);
    let topics = [ConfiguredTopic::Queues, ConfiguredTopic::Retention];
    for node in [&one, &two] {
        let found = || Disagreement::among(&node.nodes());
        eventually(|| async { found().len() == 2 }).await;
        for (found, topic) in found().iter().zip(topics) {
            assert_eq!((found.node.as_str(), found.last.as_str()), ("node-1", "node-2"));
            assert_eq!(found.topic, topic);
        }
    }
}
